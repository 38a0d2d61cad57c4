/**
 * Policy bundles on this machine: built by the real `opa` with only the built-ins that a policy may use, signed with a
 * key in a file that nobody else can read.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  formatManifest,
  type PolicyManifest,
  parseManifest,
  signBundle,
} from "@trustwarden/core/agentscope/policy-bundle.ts";
import { encodeTar, type Files, parseTar } from "@trustwarden/core/agentscope/tar.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { POLICIES_DIR, runOpa } from "./opa.ts";

const MAX_BYTES = 8_388_608;
const ENTRYPOINT = "custom/result";
const ROOT = "custom";
const MANIFEST = ".manifest";
/** Permission bits of group and others. */
const OTHERS = 0o077;

/** A built bundle, unsigned, compressed. */
export interface BuiltBundle {
  readonly manifest: PolicyManifest;
  readonly bytes: Uint8Array;
}

/**
 * Compiles a folder of Rego whose package is `custom`.
 *
 * @throws TrustWardenError `policy_refused` when `opa` refuses it, a built-in that no policy may use included.
 */
export function buildBundle(
  opa: string,
  folder: string,
  { name, version }: Pick<PolicyManifest, "name" | "version">,
): BuiltBundle {
  const work = mkdtempSync(join(tmpdir(), "warden-policy-"));
  try {
    const output = join(work, "bundle.tar.gz");
    const capabilities = join(POLICIES_DIR, "capabilities.json");
    const run = runOpa(opa, [
      ...["build", "--target", "wasm", "--entrypoint", ENTRYPOINT, "--capabilities", capabilities],
      ...["--ignore", "*_test.rego,*.wasm", "--bundle", folder, "--output", output],
    ]);
    if (run.exitCode !== 0) {
      throw new TrustWardenError("policy_refused", {
        why: (run.stderr || run.stdout).trim().slice(-1000),
        next: "A policy may use what policies/capabilities.json lists; everything else has to come in input or data.",
      });
    }
    const manifest: PolicyManifest = { name, version, roots: [ROOT] };
    const files = new Map(unpack(readFileSync(output)));
    files.set(MANIFEST, formatManifest(manifest));
    return { manifest: parseManifest(files), bytes: pack(files) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * The bundle with a signature of the key, and another version if one is given.
 *
 * @throws TrustWardenError `policy_bundle_malformed`, `file_mode_too_open`, `config_invalid`.
 */
export function signBundleFile(
  bytes: Uint8Array,
  {
    keyFile,
    keyId,
    version,
  }: { readonly keyFile: string; readonly keyId: string; readonly version?: number | undefined },
): BuiltBundle {
  const files = new Map(unpack(bytes));
  const before = parseManifest(files);
  const manifest = { ...before, version: version ?? before.version };
  files.set(MANIFEST, formatManifest(manifest));
  const signer = openSigner(keyFile);
  return { manifest, bytes: pack(signBundle(files, { signer, keyId, scope: "trustwarden-custom" })) };
}

/** @throws TrustWardenError `policy_bundle_malformed` when the file cannot be read. */
export function readBundleFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TrustWardenError("policy_bundle_malformed", { why: `${path} cannot be read` }, { cause });
  }
}

/** Writes a bundle; what was there is replaced. */
export function writeBundleFile(path: string, bytes: Uint8Array): void {
  writeFileSync(path, bytes);
}

function unpack(bytes: Uint8Array): Files {
  try {
    return parseTar(gunzipSync(bytes, { maxOutputLength: MAX_BYTES }));
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("policy_bundle_malformed", { why: "it is not a gzipped archive" }, { cause });
  }
}

function pack(files: Files): Uint8Array {
  return gzipSync(encodeTar(files), { level: 9 });
}

function openSigner(path: string): Signer {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new TrustWardenError("config_invalid", { why: `${path} does not exist` });
  if (found.isSymbolicLink() || (found.mode & OTHERS) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new TrustWardenError("file_mode_too_open", { why: `${path} has mode ${mode}`, path });
  }
  const privateKey = parsePrivateKey(path);
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}

function parsePrivateKey(path: string): KeyObject {
  try {
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { why: `${path} is not a private key` }, { cause });
  }
  throw new TrustWardenError("config_invalid", { why: `${path} is not a P-256 key` });
}
