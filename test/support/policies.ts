/** Custom policies for tests: the example of `policies/examples/custom`, as it is checked in, packed and signed. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type BundleScope, formatManifest, signBundle } from "@trustwarden/core/agentscope/policy-bundle.ts";
import { encodeTar, type Files } from "@trustwarden/core/agentscope/tar.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { type RawAnswer, sendAdmin } from "./http.ts";

const EXAMPLE = fileURLToPath(new URL("../../policies/examples/custom/", import.meta.url));

/** A key that may sign policies, in a file as the configuration wants it. */
export interface PolicyKey {
  readonly id: string;
  readonly signer: Signer;
  readonly publicKeyFile: string;
  readonly privateKey: KeyObject;
}

export function createPolicyKey(id: string): PolicyKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeyFile = join(mkdtempSync(join(tmpdir(), "tw-policy-key-")), `${id}.pub.pem`);
  writeFileSync(publicKeyFile, publicKey.export({ type: "spki", format: "pem" }));
  const signer: Signer = {
    algorithm: "ES256",
    publicKey,
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
  return { id, signer, publicKeyFile, privateKey };
}

/** The files of the example under a version. */
export function exampleFiles(version: number, changes: ReadonlyMap<string, Uint8Array> = new Map()): Files {
  return new Map([
    [".manifest", formatManifest({ name: "payments", version, roots: ["custom"] })],
    ["data.json", encodeUtf8("{}")],
    ["custom.rego", readFileSync(join(EXAMPLE, "custom.rego"))],
    ["policy.wasm", readFileSync(join(EXAMPLE, "policy.wasm"))],
    ...changes,
  ]);
}

/** Files as a compressed bundle, as they are. */
export function packFiles(files: Files): Uint8Array {
  return gzipSync(encodeTar(files));
}

/** Files as a compressed bundle, signed. */
export function packSigned(
  files: Files,
  key: PolicyKey,
  scope: BundleScope = "trustwarden-custom",
): Uint8Array {
  return packFiles(signBundle(files, { signer: key.signer, keyId: key.id, scope }));
}

/** Asks a server to put a bundle in force. */
export function loadBundle(adminSocket: string, bundle: Uint8Array): Promise<RawAnswer> {
  const body = JSON.stringify({ bundle: encodeBase64(bundle) });
  return sendAdmin(adminSocket, { method: "POST", target: "/v1/policy", body });
}
