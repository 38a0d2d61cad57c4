/**
 * What a workload may believe of the Workload API's answers: each SVID is proven against the bundle of its own trust
 * domain that came with it, and its key is its leaf's. An answer of which one part is wrong is refused as a whole; only
 * authorities of kinds that we do not verify with are left out, so that a partner's choice of keys costs nobody an identity.
 *
 * @see SPIFFE_Workload_API.md §5, §6; X509-SVID §5; JWT-SVID §5
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { type Certificate, parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { parseFirst } from "@trustwarden/core/agentid/der-reader.ts";
import {
  parseSpiffeId,
  parseTrustDomain,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundleJson, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { parseJwtKey } from "./jwt-signature.ts";
import {
  decodeText,
  refused,
  type UnverifiedWitSvid,
  type UnverifiedX509State,
  type UnverifiedX509Svid,
} from "./messages.ts";

const MAX_SVIDS = 64;
const MAX_BUNDLES = 256;
const MAX_CERTIFICATES = 64;
/** As many as a trust bundle has at most. */
const MAX_KEYS = 64;
const MAX_KID_CHARS = 256;
const MAX_JWKS_CHARS = 262_144;
const MAX_JWK_CHARS = 8192;
const TRUST_DOMAIN_ID = /^spiffe:\/\/([^/]+)$/;
/** What a bundle without a hint is asked for again; the Workload API pushes, so nobody asks. */
const REFRESH_HINT_SECONDS = 300;

/** A proven X.509-SVID with its key. */
export interface WorkloadX509Svid {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, as a peer gets it. */
  readonly chain: readonly Uint8Array[];
  readonly privateKey: KeyObject;
  readonly hint: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** A proven WIT-SVID with its key: make a proof of possession with it for each request. */
export interface WorkloadWitSvid {
  readonly spiffeId: SpiffeId;
  /** Compact JWS; never a bearer token. */
  readonly svid: string;
  readonly privateKey: KeyObject;
  readonly hint: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Everything that the workload has now; what is not here any more is withdrawn. */
export interface WorkloadX509State {
  /** At least one; the first is the default. Of equal hints the first one counts. */
  readonly svids: readonly [WorkloadX509Svid, ...WorkloadX509Svid[]];
  /** Each SVID's own trust domain and the federated ones; X.509 authorities only. */
  readonly bundles: ReadonlyMap<TrustDomain, TrustBundle>;
}

/**
 * @param now - Unix seconds.
 * @throws TrustWardenError `workload_answer_refused`; its cause says which rule was broken.
 */
export function verifyX509State(
  { svids, federatedBundles }: UnverifiedX509State,
  now: number,
): WorkloadX509State {
  return believe(() => {
    if (svids.length > MAX_SVIDS) throw refused("too many SVIDs");
    const bundles = new Map(parseX509Bundles(federatedBundles));
    for (const { spiffeId, bundle } of svids) {
      const trustDomain = trustDomainOf(parseSpiffeId(spiffeId));
      bundles.set(trustDomain, x509BundleOf(trustDomain, bundle));
    }
    const [first, ...others] = svids.map((svid) => verifySvid(svid, bundles, now));
    if (first === undefined) throw refused("no SVID");
    return { svids: [first, ...others], bundles };
  });
}

/** X.509 authorities by trust domain. @throws TrustWardenError `workload_answer_refused`. */
export function parseX509Bundles(
  bundles: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<TrustDomain, TrustBundle> {
  return parseBundles(bundles, x509BundleOf);
}

/**
 * JWT authorities by trust domain: keys for every algorithm that a JWT-SVID may have, for `verifyWorkloadToken`.
 *
 * @throws TrustWardenError `workload_answer_refused`.
 */
export function parseJwtBundles(
  bundles: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<TrustDomain, TrustBundle> {
  return parseBundles(bundles, (trustDomain, bytes) => ({
    ...emptyBundleOf(trustDomain),
    jwtAuthorities: jwtAuthoritiesOf(readKeys(bytes, "jwt-svid")),
  }));
}

/** WIT authorities by trust domain. @throws TrustWardenError `workload_answer_refused`. */
export function parseWitBundles(
  bundles: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<TrustDomain, TrustBundle> {
  return parseBundles(bundles, (trustDomain, bytes) =>
    parseTrustBundleJson({ keys: readKeys(bytes, "wit-svid") }, trustDomain),
  );
}

/**
 * Tokens that are proven, each with the private key that it is bound to.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `workload_answer_refused`; its cause says which rule was broken.
 */
export function verifyWitState(
  svids: readonly UnverifiedWitSvid[],
  { bundles, now }: { readonly bundles: ReadonlyMap<TrustDomain, TrustBundle>; readonly now: number },
): readonly [WorkloadWitSvid, ...WorkloadWitSvid[]] {
  return believe(() => {
    if (svids.length > MAX_SVIDS) throw refused("too many SVIDs");
    const [first, ...others] = svids.map((unverified): WorkloadWitSvid => {
      const { spiffeId, svid, keyJwk, hint } = unverified;
      const { id, confirmationKey, expiresAt } = verifyWitSvid(svid, { bundles, now });
      if (id !== spiffeId) throw refused("the token names another");
      const privateKey = createPrivateKey({ key: parseJsonObject(keyJwk, MAX_JWK_CHARS), format: "jwk" });
      if (!createPublicKey(privateKey).equals(confirmationKey)) throw refused("the key is not the token's");
      return { spiffeId: id, svid, privateKey, hint, expiresAt };
    });
    if (first === undefined) throw refused("no SVID");
    return [first, ...others];
  });
}

/**
 * The keys of a JWK Set that are for this use. Here most stand without `use`, since the call says what they are for; what
 * names another use is another kind's key (SPIFFE Trust Domain and Bundle §4.2.2).
 */
function readKeys(bytes: Uint8Array, use: "jwt-svid" | "wit-svid"): JsonObject[] {
  const { keys } = parseJsonObject(decodeText(bytes), MAX_JWKS_CHARS);
  if (!Array.isArray(keys)) throw refused("a JWK Set without keys");
  if (keys.length > MAX_KEYS) throw refused("too many keys");
  return keys
    .filter(isJsonObject)
    .filter((key) => key.use === undefined || key.use === use)
    .map((key) => ({ ...key, use }));
}

function jwtAuthoritiesOf(keys: readonly JsonObject[]): ReadonlyMap<string, KeyObject> {
  const authorities = new Map<string, KeyObject>();
  for (const jwk of keys) {
    const key = parseJwtKey(jwk);
    if (key === undefined) continue;
    const { kid } = jwk;
    if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw refused("kid");
    if (authorities.has(kid)) throw refused("repeated kid");
    authorities.set(kid, key);
  }
  return authorities;
}

function parseBundles(
  bundles: ReadonlyMap<string, Uint8Array>,
  parse: (trustDomain: TrustDomain, bytes: Uint8Array) => TrustBundle,
): ReadonlyMap<TrustDomain, TrustBundle> {
  return believe(() => {
    if (bundles.size > MAX_BUNDLES) throw refused("too many bundles");
    return new Map(
      Array.from(bundles, ([key, bytes]) => {
        const trustDomain = parseTrustDomain(TRUST_DOMAIN_ID.exec(key)?.[1] ?? "");
        return [trustDomain, parse(trustDomain, bytes)];
      }),
    );
  });
}

function x509BundleOf(trustDomain: TrustDomain, bytes: Uint8Array): TrustBundle {
  const x509Authorities = splitCertificates(bytes).flatMap(parseAuthority);
  return { ...emptyBundleOf(trustDomain), x509Authorities };
}

/** Nothing at all when it is of a kind that we do not verify with; nobody is proven by it then. */
function parseAuthority(der: Uint8Array): readonly Certificate[] {
  try {
    return [parseCertificate(der)];
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "svid_key_refused") return [];
    throw error;
  }
}

function emptyBundleOf(trustDomain: TrustDomain): TrustBundle {
  return {
    trustDomain,
    sequence: 0,
    refreshHintSeconds: REFRESH_HINT_SECONDS,
    x509Authorities: [],
    jwtAuthorities: new Map(),
    witAuthorities: new Map(),
    revokedAuthorities: new Set(),
  };
}

function verifySvid(
  { spiffeId, chain, keyPkcs8, hint }: UnverifiedX509Svid,
  bundles: ReadonlyMap<TrustDomain, TrustBundle>,
  now: number,
): WorkloadX509Svid {
  const certificates = splitCertificates(chain);
  const { id, leaf } = verifyX509Svid(certificates, bundles, now);
  if (id !== spiffeId) throw refused("the leaf names another");
  const privateKey = createPrivateKey({ key: Buffer.from(keyPkcs8), format: "der", type: "pkcs8" });
  if (!createPublicKey(privateKey).equals(leaf.publicKey)) throw refused("the key is not the leaf's");
  return { spiffeId: id, chain: certificates, privateKey, hint, expiresAt: leaf.notAfter };
}

/** The elements of concatenated DER, one a certificate. */
function splitCertificates(bytes: Uint8Array): readonly Uint8Array[] {
  const certificates: Uint8Array[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    if (certificates.length === MAX_CERTIFICATES) throw refused("too many certificates");
    const { raw: der } = parseFirst(rest);
    certificates.push(der);
    rest = rest.subarray(der.length);
  }
  return certificates;
}

/** Every broken rule of an answer is one refusal of the answer. */
function believe<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "workload_answer_refused") throw cause;
    throw refused(cause instanceof TrustWardenError ? cause.code : "not a key", cause);
  }
}
