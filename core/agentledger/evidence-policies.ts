/**
 * The policies that decided, in an evidence bundle: code and data, under the digest by which decisions name them.
 *
 * `policies/<hex digest>/policy.wasm` and `data.json` are one policy; `policies/<hex digest>/parts` says of which policies
 * one is the sum. The digest is all that proves them, and a decision's own signature is over that.
 *
 * @see docs/decisions/0031
 */
import { concatBytes, encodeBase64url, encodeHex, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { BundleFiles } from "./archive.ts";

const FOLDER = "policies/";
const PATH = /^policies\/([0-9a-f]{64})\/(policy\.wasm|data\.json|parts)$/;
const DIGEST = /^[A-Za-z0-9_-]{43}$/;
const MAX_PARTS = 8;

/** A policy as it is asked: a module, and canonical JSON. */
export interface PolicyMaterial {
  readonly wasm: Uint8Array;
  readonly data: Uint8Array;
}

/** base64url SHA-256 over the digests of code and data, in this order: what decisions name a policy by. */
export function formatPolicyDigest({ wasm, data }: PolicyMaterial): string {
  return encodeBase64url(sha256(concatBytes(sha256(wasm), sha256(data))));
}

/** What decisions name several policies by that decided together. @param digests - in their order. */
export function formatPolicySum(digests: readonly string[]): string {
  return encodeBase64url(sha256(encodeUtf8(digests.join(" "))));
}

/**
 * The files of the policies that a decision names; empty when they are not all there.
 *
 * @param held - by digest, in the order in which they decide together.
 */
export function policyFilesOf(digest: string, held: ReadonlyMap<string, PolicyMaterial>): BundleFiles {
  const alone = held.get(digest);
  if (alone !== undefined) return filesOf(digest, alone);
  const parts = [...held.keys()];
  if (parts.length < 2 || formatPolicySum(parts) !== digest) return new Map();
  const files = new Map([[pathOf(digest, "parts"), encodeUtf8(parts.join(" "))]]);
  for (const [part, material] of held)
    for (const [path, content] of filesOf(part, material)) files.set(path, content);
  return files;
}

/**
 * Proves what a bundle says the policies are.
 *
 * @returns their digests, base64url.
 * @throws TrustWardenError `evidence_bundle_invalid` for a file that is not what its name says.
 */
export function verifyPolicyFiles(files: BundleFiles): ReadonlySet<string> {
  const folders = new Map<string, Map<string, Uint8Array>>();
  for (const [path, content] of files) {
    if (!path.startsWith(FOLDER)) continue;
    const [, folder, name] = PATH.exec(path) ?? [];
    if (folder === undefined || name === undefined) throw invalid(path);
    const known = folders.get(folder) ?? new Map<string, Uint8Array>();
    folders.set(folder, known.set(name, content));
  }
  const proven = new Set<string>();
  for (const [folder, content] of folders) {
    const digest = digestOf(content, folders);
    if (digest === null || hexOf(digest) !== folder) throw invalid(`${FOLDER}${folder}`);
    proven.add(digest);
  }
  return proven;
}

/** What the files of a folder come to; null for another set of files. */
function digestOf(
  content: ReadonlyMap<string, Uint8Array>,
  folders: ReadonlyMap<string, unknown>,
): string | null {
  const [wasm, data, parts] = ["policy.wasm", "data.json", "parts"].map((name) => content.get(name));
  if (wasm !== undefined && data !== undefined && parts === undefined)
    return formatPolicyDigest({ wasm, data });
  if (parts === undefined || wasm !== undefined || data !== undefined) return null;
  const digests = parseUtf8(parts).split(" ");
  const isWhole = digests.length <= MAX_PARTS && digests.every((one) => isHere(one, folders));
  return isWhole ? formatPolicySum(digests) : null;
}

const isHere = (digest: string, folders: ReadonlyMap<string, unknown>) =>
  DIGEST.test(digest) && folders.has(hexOf(digest));

function filesOf(digest: string, { wasm, data }: PolicyMaterial): BundleFiles {
  return new Map([
    [pathOf(digest, "policy.wasm"), wasm],
    [pathOf(digest, "data.json"), data],
  ]);
}

const hexOf = (digest: string) => encodeHex(parseBase64url(digest));
const pathOf = (digest: string, name: string) => `${FOLDER}${hexOf(digest)}/${name}`;

function invalid(place: string): TrustWardenError {
  return new TrustWardenError("evidence_bundle_invalid", { reason: "policy", place });
}
