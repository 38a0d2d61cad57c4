/**
 * A policy in a file: an OPA bundle whose signature covers every file of it.
 *
 * The format is OPA's own, so that a stock `opa run` verifies and evaluates the very bytes that we do: a tar archive
 * with `.manifest`, `data.json`, Rego, `policy.wasm`, and in `.signatures.json` one JWT (ES256) with the digest of each
 * file. Structured files are digested as values, canonically. Ours besides: the manifest's metadata names the policy
 * and its version, which only rises, and the signature's `scope` says what the bundle may be used for.
 *
 * @see https://www.openpolicyagent.org/docs/management-bundles#signing
 */
import { encodeHex, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { isP256Signature, type PublicKey, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import { issueJws } from "../jws.ts";
import type { Signer } from "../signer.ts";
import type { Files } from "./tar.ts";

/** What a bundle may be used for: a bundle of the one kind is never taken for the other. */
export type BundleScope = "trustwarden-builtin" | "trustwarden-custom";

const SIGNATURES = ".signatures.json";
const MANIFEST = ".manifest";
const DATA = "data.json";
/** Files whose value counts, and not how it is spelled. */
const STRUCTURED: readonly string[] = [MANIFEST, DATA];
const NAME = /^[a-z][a-z0-9-]{0,63}$/;
const MAX_VERSION = 999_999_999;

/** What the manifest says of a policy. */
export interface PolicyManifest {
  readonly name: string;
  readonly version: number;
  /** Parts of `data` that the bundle owns. */
  readonly roots: readonly string[];
}

/** A bundle whose signature is good. */
export interface VerifiedBundle extends PolicyManifest {
  /** Key that signed it. */
  readonly keyId: string;
  readonly files: Files;
  readonly data: JsonObject;
}

/** The name that decisions and records carry, such as `payments-v3`. */
export function formatBundleName({ name, version }: Pick<PolicyManifest, "name" | "version">): string {
  return `${name}-v${version}`;
}

/** A manifest in OPA's words. */
export function formatManifest({ name, version, roots }: PolicyManifest): Uint8Array {
  return encodeCanonicalJson({
    revision: formatBundleName({ name, version }),
    roots: [...roots],
    rego_version: 1,
    metadata: { trustwarden: { name, version } },
  });
}

/**
 * The manifest of a bundle.
 *
 * @throws TrustWardenError `policy_bundle_malformed`.
 */
export function parseManifest(files: Files): PolicyManifest {
  const { roots, metadata } = readJson(files, MANIFEST);
  const ours = isJsonObject(metadata) ? metadata.trustwarden : undefined;
  if (!isJsonObject(ours)) return malformed("no trustwarden metadata in the manifest");
  const { name, version } = ours;
  if (typeof name !== "string" || !NAME.test(name)) return malformed("name");
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1 || version > MAX_VERSION) {
    return malformed("version");
  }
  if (!Array.isArray(roots) || !roots.every((root) => typeof root === "string")) return malformed("roots");
  return { name, version, roots };
}

/**
 * The files with a signature over all of them, in place of any that was there; structured files in canonical form,
 * which every reader digests alike.
 */
export function signBundle(
  files: Files,
  { signer, keyId, scope }: { readonly signer: Signer; readonly keyId: string; readonly scope: BundleScope },
): Files {
  const named = [...files]
    .filter(([name]) => name !== SIGNATURES)
    .map(([name, content]) => [name, normalized(name, content)] as const);
  const listed = named.map(([name, content]) => ({
    name,
    hash: digestOf(name, content),
    algorithm: "SHA-256",
  }));
  const payload = { files: listed, keyid: keyId, scope };
  const token = issueJws({ header: { kid: keyId }, payload, signer });
  return new Map([...named, [SIGNATURES, encodeCanonicalJson({ signatures: [token] })]]);
}

/**
 * The bundle, when one of the keys signed exactly these files for this use.
 *
 * @param keys - by key id; a retired key is not among them.
 * @throws TrustWardenError `policy_bundle_unsigned`, `policy_bundle_untrusted`, `policy_bundle_malformed`.
 */
export function verifyBundle(
  files: Files,
  { keys, scope }: { readonly keys: ReadonlyMap<string, PublicKey>; readonly scope: BundleScope },
): VerifiedBundle {
  if (!files.has(SIGNATURES)) throw new TrustWardenError("policy_bundle_unsigned");
  const { signatures } = readJson(files, SIGNATURES);
  const [token, second] = Array.isArray(signatures) ? signatures : [];
  if (typeof token !== "string" || second !== undefined) return malformed("not one signature");
  const { keyId, payload } = verifyToken(token, keys);
  if (payload.scope !== scope) throw new TrustWardenError("policy_bundle_untrusted", { reason: "scope" });
  requireSameFiles(files, payload.files);
  return { ...parseManifest(files), keyId, files, data: parseBundleData(files) };
}

/** The data of a bundle, signed or not; empty where it has none. @throws TrustWardenError `policy_bundle_malformed`. */
export function parseBundleData(files: Files): JsonObject {
  return files.has(DATA) ? readJson(files, DATA) : {};
}

function verifyToken(
  token: string,
  keys: ReadonlyMap<string, PublicKey>,
): { readonly keyId: string; readonly payload: JsonObject } {
  const [head = "", body = "", signature = "", rest] = token.split(".");
  if (rest !== undefined) return malformed("signature");
  const { alg, kid } = parsePart(head);
  // The algorithm is ours to choose, never the token's.
  if (alg !== "ES256" || typeof kid !== "string") throw untrusted("algorithm");
  const key = keys.get(kid);
  if (key === undefined) throw untrusted("key");
  if (
    !isP256Signature(
      key,
      encodeUtf8(`${head}.${body}`),
      asSignature(() => parseBase64url(signature)),
    )
  ) {
    throw untrusted("signature");
  }
  return { keyId: kid, payload: parsePart(body) };
}

/** Each file of the bundle is signed with its digest, and each signed file is there. */
function requireSameFiles(files: Files, listed: Json | undefined): void {
  if (!Array.isArray(listed)) throw untrusted("files");
  const expected = new Map<string, string>();
  for (const entry of listed) {
    if (!isJsonObject(entry) || entry.algorithm !== "SHA-256") throw untrusted("files");
    const { name, hash } = entry;
    if (typeof name !== "string" || typeof hash !== "string" || expected.has(name)) throw untrusted("files");
    expected.set(name, hash);
  }
  for (const [name, content] of files) {
    if (name === SIGNATURES) continue;
    if (expected.get(name) !== digestOf(name, content)) throw untrusted("a file is not as it was signed");
    expected.delete(name);
  }
  if (expected.size > 0) throw untrusted("a signed file is missing");
}

/** Hexadecimal SHA-256 of a file's bytes, or of its value in canonical form. */
function digestOf(name: string, content: Uint8Array): string {
  return encodeHex(sha256(normalized(name, content)));
}

function normalized(name: string, content: Uint8Array): Uint8Array {
  const isStructured = STRUCTURED.includes(name.slice(name.lastIndexOf("/") + 1));
  return isStructured ? encodeCanonicalJson(parseObject(content, name)) : content;
}

function readJson(files: Files, name: string): JsonObject {
  const content = files.get(name);
  return content === undefined ? malformed(`no ${name}`) : parseObject(content, name);
}

function parseObject(content: Uint8Array, name: string): JsonObject {
  try {
    return parseJsonObject(parseUtf8(content), content.length + 1);
  } catch (cause) {
    throw new TrustWardenError("policy_bundle_malformed", { reason: `${name} is no JSON object` }, { cause });
  }
}

function parsePart(text: string): JsonObject {
  return asSignature(() => parseJsonObject(parseUtf8(parseBase64url(text))));
}

/** A part of the signature that does not parse makes the bundle malformed, whatever is wrong with it. */
function asSignature<Part>(parse: () => Part): Part {
  try {
    return parse();
  } catch (cause) {
    throw new TrustWardenError("policy_bundle_malformed", { reason: "signature" }, { cause });
  }
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("policy_bundle_untrusted", { reason });
}

function malformed(reason: string): never {
  throw new TrustWardenError("policy_bundle_malformed", { reason });
}
