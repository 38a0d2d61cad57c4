/**
 * Trust bundles: the authorities of one trust domain, as the SPIFFE bundle document.
 *
 * A bundle always knows its trust domain and is never merged with another. Keys of kinds that we do not use (RSA,
 * P-384, unknown uses) are left out, as the specification asks; a key of ours that is malformed refuses the whole
 * document, because half a bundle would silently drop an authority.
 *
 * @see SPIFFE Trust Domain and Bundle §4; X509-SVID §6; JWT-SVID §6; WIT-SVID §6
 */
import {
  concatBytes,
  encodeBase64,
  encodeBase64url,
  encodeHex,
  isEqualBytes,
  parseBase64,
} from "../bytes.ts";
import { formatP256Jwk, type PublicKey, parseP256Jwk, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { formatCanonicalJson, isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import type { BundleSource } from "./ports.ts";
import type { TrustDomain } from "./spiffe-id.ts";

/** A rotation holds a few keys of each kind; this also bounds the keys a verifier may have to try. */
const MAX_KEYS = 64;
const MAX_BUNDLE_CHARS = 262_144;
const MAX_KID_CHARS = 256;
/** Ours, beside the specification's members; consumers that do not know it ignore it (Trust Domain and Bundle §4.1). */
const REVOKED_MEMBER = "trustwarden_revoked";
const MAX_REVOKED = 64;
const KEY_IDENTIFIER = /^[0-9a-f]{40}$/;
/** What a consumer assumes where the document is silent (Federation §6.2). */
const DEFAULT_REFRESH_HINT_SECONDS = 300;

/** The authorities of one trust domain at one sequence number. */
export interface TrustBundle {
  readonly trustDomain: TrustDomain;
  /** Rises whenever the contents change; 0 where the document has none. */
  readonly sequence: number;
  readonly refreshHintSeconds: number;
  /** Empty means that no X.509-SVID of the trust domain is trusted. */
  readonly x509Authorities: readonly Certificate[];
  /** By `kid`. Empty means that no JWT-SVID of the trust domain is trusted. */
  readonly jwtAuthorities: ReadonlyMap<string, PublicKey>;
  /** By `kid`, which no JWT key has too. Empty means that no WIT-SVID of the trust domain is trusted. */
  readonly witAuthorities: ReadonlyMap<string, PublicKey>;
  /** Key identifiers, lower-case hex, of intermediates whose SVIDs count no more although an authority signed them. */
  readonly revokedAuthorities: ReadonlySet<string>;
}

/**
 * The bundle of a trust domain from an untrusted document.
 *
 * @param trustDomain - whose bundle this is; the document does not say.
 * @throws TrustWardenError `bundle_malformed` or the JSON codes.
 * @see SPIFFE Trust Domain and Bundle §4.1, §4.2
 */
export function parseTrustBundle(text: string, trustDomain: TrustDomain): TrustBundle {
  return parseTrustBundleJson(parseJsonObject(text, MAX_BUNDLE_CHARS), trustDomain);
}

/**
 * As `parseTrustBundle`, for a document that was already read as strict JSON: a member of a bundle map.
 *
 * @throws TrustWardenError `bundle_malformed`.
 */
export function parseTrustBundleJson(document: JsonObject, trustDomain: TrustDomain): TrustBundle {
  const { keys, spiffe_sequence, spiffe_refresh_hint } = document;
  if (!Array.isArray(keys)) throw malformed("keys");
  if (keys.length > MAX_KEYS) throw malformed("too many keys");
  const x509Authorities: Certificate[] = [];
  const jwtAuthorities = new Map<string, PublicKey>();
  const witAuthorities = new Map<string, PublicKey>();
  for (const jwk of keys) {
    if (!isJsonObject(jwk) || !isUsable(jwk)) continue;
    if (jwk.d !== undefined) throw malformed("private key");
    if (jwk.use === "jwt-svid") addTokenAuthority(jwtAuthorities, jwk, witAuthorities);
    else if (jwk.use === "wit-svid") addTokenAuthority(witAuthorities, jwk, jwtAuthorities);
    else addX509Authority(x509Authorities, jwk);
  }
  return {
    trustDomain,
    sequence: parseWholeNumber(spiffe_sequence, 0),
    refreshHintSeconds: parseWholeNumber(spiffe_refresh_hint, DEFAULT_REFRESH_HINT_SECONDS),
    x509Authorities,
    jwtAuthorities,
    witAuthorities,
    revokedAuthorities: parseRevoked(document[REVOKED_MEMBER]),
  };
}

/** The bundle document: `spiffe_sequence`, `spiffe_refresh_hint`, and every authority with its SPIFFE `use`. */
export function formatTrustBundle(bundle: TrustBundle): string {
  const x509 = bundle.x509Authorities.map(({ der, publicKey }) => ({
    ...formatP256Jwk(publicKey),
    use: "x509-svid",
    x5c: [encodeBase64(der)],
  }));
  const jwt = formatKeys(bundle.jwtAuthorities).map((jwk) => ({ ...jwk, use: "jwt-svid" }));
  const wit = formatKeys(bundle.witAuthorities).map((jwk) => ({ ...jwk, use: "wit-svid" }));
  const revoked = [...bundle.revokedAuthorities].sort();
  return formatCanonicalJson({
    keys: [...x509, ...jwt, ...wit],
    spiffe_sequence: bundle.sequence,
    spiffe_refresh_hint: bundle.refreshHintSeconds,
    ...(revoked.length === 0 ? {} : { [REVOKED_MEMBER]: revoked }),
  });
}

/**
 * A plain JWK Set of the JWT keys, for the Workload API and for OAuth clients. It has no `use`: standard JOSE
 * libraries drop keys whose `use` they do not know.
 *
 * @see Workload API §6.2.2
 */
export function formatJwks(bundle: TrustBundle): string {
  return formatCanonicalJson({ keys: formatKeys(bundle.jwtAuthorities) });
}

/** The same of the WIT keys, for the Workload API. @see Workload API §7 */
export function formatWitJwks(bundle: TrustBundle): string {
  return formatCanonicalJson({ keys: formatKeys(bundle.witAuthorities) });
}

/**
 * What a ticket pins: base64url SHA-256 over the X.509 authorities' DER, sorted as bytes, each behind its length in
 * four bytes. Order and the JWT keys do not matter; every root does.
 */
export function digestOfAuthorities(bundle: TrustBundle): string {
  return digestOfRoots(bundle.x509Authorities);
}

/** `digestOfAuthorities` of roots that stand in no bundle. */
export function digestOfRoots(roots: readonly Certificate[]): string {
  const sorted = roots.map(({ der }) => ({ der, hex: encodeHex(der) }));
  sorted.sort((left, right) => (left.hex < right.hex ? -1 : 1));
  return encodeBase64url(sha256(concatBytes(...sorted.flatMap(lengthPrefixed))));
}

/**
 * The bundle of a trust domain, which must be known.
 *
 * @throws TrustWardenError `trust_domain_unknown`, also when the source hands out another trust domain's.
 */
export function findBundle(bundles: BundleSource, trustDomain: TrustDomain): TrustBundle {
  const bundle = bundles.get(trustDomain);
  if (bundle === undefined || bundle.trustDomain !== trustDomain) {
    throw new TrustWardenError("trust_domain_unknown", { trustDomain });
  }
  return bundle;
}

/** Whether a JWK is of a kind that we verify with; the others are ignored, so that a bundle may carry new kinds. */
function isUsable({ kty, crv, use, alg, key_ops, x5c }: JsonObject): boolean {
  if (kty !== "EC" || crv !== "P-256") return false;
  if (alg !== undefined && alg !== "ES256") return false;
  if (Array.isArray(key_ops) && !key_ops.includes("verify")) return false;
  return use === "jwt-svid" || use === "wit-svid" || (use === "x509-svid" && x5c !== undefined);
}

/** A `kid` names one key of the document, whichever kind of token it signs (WIT-SVID §6.1). */
function addTokenAuthority(
  authorities: Map<string, PublicKey>,
  jwk: JsonObject,
  others: ReadonlyMap<string, PublicKey>,
): void {
  const { kid } = jwk;
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw malformed("kid");
  if (authorities.has(kid) || others.has(kid)) throw malformed("repeated kid");
  authorities.set(kid, parseKey(jwk));
}

function addX509Authority(authorities: Certificate[], jwk: JsonObject): void {
  const [encoded] = Array.isArray(jwk.x5c) ? jwk.x5c : [];
  if (typeof encoded !== "string") throw malformed("x5c");
  const certificate = parseAuthority(encoded);
  if (!parseKey(jwk).equals(certificate.publicKey)) throw malformed("x5c of another key");
  if (!authorities.some(({ der }) => isEqualBytes(der, certificate.der))) authorities.push(certificate);
}

function parseAuthority(encoded: string): Certificate {
  try {
    return parseCertificate(parseBase64(encoded));
  } catch (cause) {
    throw new TrustWardenError("bundle_malformed", { reason: "certificate" }, { cause });
  }
}

function parseKey(jwk: JsonObject): PublicKey {
  try {
    return parseP256Jwk(jwk);
  } catch (cause) {
    throw new TrustWardenError("bundle_malformed", { reason: "public key" }, { cause });
  }
}

/** Numbers that JavaScript cannot hold exactly are refused: a sequence that is rounded no longer rises. */
function parseWholeNumber(value: Json | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed("number");
  return value;
}

/** Half a list would silently trust what was revoked, so an odd entry refuses the document. */
function parseRevoked(value: Json | undefined): ReadonlySet<string> {
  if (value === undefined) return new Set();
  if (!Array.isArray(value) || value.length > MAX_REVOKED) throw malformed(REVOKED_MEMBER);
  const ids = value.filter((id) => typeof id === "string").filter((id) => KEY_IDENTIFIER.test(id));
  if (ids.length !== value.length) throw malformed(REVOKED_MEMBER);
  return new Set(ids);
}

function formatKeys(authorities: ReadonlyMap<string, PublicKey>): readonly JsonObject[] {
  return Array.from(authorities, ([kid, key]) => ({ ...formatP256Jwk(key), kid }));
}

function lengthPrefixed({ der }: { readonly der: Uint8Array }): readonly Uint8Array[] {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, der.length);
  return [length, der];
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("bundle_malformed", { reason });
}
