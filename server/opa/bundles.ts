/**
 * Bundles for a stock OPA: the built-in policy and the discovery document, signed by this server; the custom policy as
 * its signer made it.
 *
 * Only whole bundles are served. OPA takes deltas too, but checks no signature on them, so that whoever could answer in
 * our place would change data without any key.
 *
 * @see https://www.openpolicyagent.org/docs/management-bundles
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { formatManifest, signBundle } from "@trustwarden/core/agentscope/policy-bundle.ts";
import { encodeTar, type Files } from "@trustwarden/core/agentscope/tar.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { OpaBundles, ServedBundle } from "./ports.ts";

const SCOPE = "trustwarden-builtin";
/** The service's name in an OPA's own configuration, which discovery refers to. */
const SERVICE = "trustwarden";

export interface OpaBundlesOptions {
  /** Path of `policies/`. */
  readonly policyDir: string;
  readonly signer: Signer;
  /** Such as `v1`, of the built-in policy. */
  readonly builtinVersion: string;
  /** The custom policy in force, compressed. */
  readonly custom: () => { readonly bundle: Uint8Array; readonly keyId: string } | undefined;
  /** Whether this server waits for two admins, and so nobody decides by what it gave out before (decision 0104). */
  readonly isHeld: () => boolean;
}

/** In the place of the built-in policy while the server is held: an OPA that has it allows nothing. */
const HELD_REGO = `package trustwarden.decision

default allow := false

result := {"allow": false, "reasons": ["restore_held"], "policy": "held"}
`;

/** @throws TrustWardenError `policy_unavailable` when the sources of the built-in policy cannot be read. */
export function createOpaBundles(options: OpaBundlesOptions): OpaBundles {
  const { policyDir, signer, isHeld } = options;
  // Removed from discovery, and so out of force at who had it: it is its signer's, and nothing else can be put in its place.
  const custom = () => (isHeld() ? undefined : options.custom());
  const keyId = formatThumbprint(signer.publicKey);
  const sign = (files: Files): ServedBundle =>
    served(gzipSync(encodeTar(signBundle(files, { signer, keyId, scope: SCOPE }))));
  const version = Number.parseInt(options.builtinVersion.slice(1), 10);
  const bundleOf = (name: string, files: Files): ServedBundle =>
    sign(
      new Map([
        [".manifest", formatManifest({ name, version, roots: ["trustwarden", "policy", "system/log"] })],
        ...files,
        ["system/log/mask.rego", read(policyDir, "opa", "mask.rego")],
      ]),
    );
  const builtin = once(() =>
    bundleOf(
      "builtin",
      new Map([
        ["data.json", read(policyDir, "trustwarden", "data.json")],
        ["trustwarden/decision.rego", read(policyDir, "trustwarden", "decision.rego")],
      ]),
    ),
  );
  const held = once(() => bundleOf("held", new Map([["trustwarden/decision.rego", encodeUtf8(HELD_REGO)]])));
  return {
    signingKey: { id: keyId, pem: formatPem("PUBLIC KEY", encodeSpki(signer.publicKey)) },
    find(name) {
      switch (name) {
        case "builtin.tar.gz":
          return isHeld() ? held() : builtin();
        case "custom.tar.gz": {
          const bundle = custom()?.bundle;
          return bundle === undefined ? undefined : served(bundle);
        }
        case "discovery.tar.gz":
          return sign(
            new Map([
              [".manifest", formatManifest({ name: "discovery", version: 1, roots: ["discovery"] })],
              ["data.json", encodeCanonicalJson({ discovery: configOf(keyId, custom()?.keyId) })],
            ]),
          );
        default:
          return undefined;
      }
    },
  };
}

/** What an OPA is told to do; its service and keys stay in its own hands. */
function configOf(keyId: string, customKeyId: string | undefined): JsonObject {
  const bundle = (name: string, keyid: string, scope: string): JsonObject => ({
    service: SERVICE,
    resource: `bundles/${name}.tar.gz`,
    polling: { min_delay_seconds: 5, max_delay_seconds: 10 },
    signing: { keyid, scope },
  });
  return {
    bundles: {
      builtin: bundle("builtin", keyId, SCOPE),
      ...(customKeyId === undefined ? {} : { custom: bundle("custom", customKeyId, "trustwarden-custom") }),
    },
    decision_logs: {
      service: SERVICE,
      resource: "logs",
      reporting: { min_delay_seconds: 1, max_delay_seconds: 5 },
    },
    status: { service: SERVICE },
  };
}

function served(bytes: Uint8Array): ServedBundle {
  return { bytes, etag: `"${encodeBase64url(sha256(bytes))}"` };
}

function read(...path: readonly string[]): Uint8Array {
  try {
    return encodeUtf8(readFileSync(join(...path), "utf8"));
  } catch (cause) {
    throw new TrustWardenError(
      "policy_unavailable",
      { reason: "not readable", path: join(...path) },
      { cause },
    );
  }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
