/**
 * The authority of a trust domain: an offline-able root, an online intermediate, and a key for JWT-SVIDs.
 *
 * Pure: the private keys stay behind their signers, time and randomness are arguments. The root's signer is needed
 * to issue an intermediate and for nothing else, so its key can be kept offline between rotations.
 *
 * @see X509-SVID §3.2; SPIFFE Trust Domain and Bundle §4
 */
import { encodeSpki, formatThumbprint, type PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Random } from "../id.ts";
import type { Signer } from "../signer.ts";
import { REFRESH_HINT_SECONDS } from "./authority-slots.ts";
import type { Certificate } from "./certificate.ts";
import { formatSpiffeId, type TrustDomain } from "./spiffe-id.ts";
import {
  type CaCertificate,
  createSerial,
  issueIntermediate,
  issueLeafCertificate,
  issueRoot,
  parseCaCertificate,
} from "./svid-profile.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { findAnchor, verifyX509Svid } from "./x509-svid.ts";

const DAY_SECONDS = 86_400;
/** Five years: a root is replaced by publishing its successor long before, not by waiting for its end. */
const ROOT_TTL_SECONDS = 5 * 365 * DAY_SECONDS;
/** An online key is replaced at least every quarter. */
const MAX_INTERMEDIATE_TTL_SECONDS = 90 * DAY_SECONDS;
const FIRST_SEQUENCE = 1;

/** Everything public that is needed to issue for a trust domain; the keys are with its signers. */
export interface Authority {
  readonly trustDomain: TrustDomain;
  readonly root: CaCertificate;
  /** Issues the leaves; presented behind each of them. */
  readonly intermediate: CaCertificate;
  /** RFC 7638 thumbprint of the JWT key. */
  readonly jwtKid: string;
  readonly bundle: TrustBundle;
}

/**
 * A new authority: root, intermediate of at most 90 days, JWT key, and bundle number 1. Keep `intermediate.der` and
 * the bundle document; `verifyAuthority` brings the authority back from them.
 *
 * @param options.now - Unix seconds.
 * @param options.intermediateTtlSeconds - 90 days unless given.
 * @throws TrustWardenError `ttl_malformed`, or `ttl_exceeds_limit` for an intermediate of more than 90 days.
 */
export function createAuthority(options: {
  readonly trustDomain: TrustDomain;
  readonly rootSigner: Signer;
  readonly intermediateSigner: Signer;
  readonly jwtSigner: Signer;
  readonly random: Random;
  readonly now: number;
  readonly intermediateTtlSeconds?: number;
}): Authority {
  const { trustDomain, rootSigner, intermediateSigner, jwtSigner, random, now } = options;
  requireDistinctKeys([rootSigner, intermediateSigner, jwtSigner]);
  const notAfter = now + ROOT_TTL_SECONDS;
  const rootDer = issueRoot({ trustDomain, signer: rootSigner, serial: createSerial(random), now, notAfter });
  const root = parseCaCertificate(rootDer, trustDomain);
  const intermediateDer = issueOnlineIntermediate({ ...options, root });
  const bundle: TrustBundle = {
    trustDomain,
    sequence: FIRST_SEQUENCE,
    refreshHintSeconds: REFRESH_HINT_SECONDS,
    x509Authorities: [root],
    jwtAuthorities: new Map([[formatThumbprint(jwtSigner.publicKey), jwtSigner.publicKey]]),
    witAuthorities: new Map(),
    revokedAuthorities: new Set(),
  };
  return verifyAuthority({ bundle, intermediateDer, intermediateSigner, jwtSigner, random, now });
}

/**
 * A further intermediate under the root, for rotation: the bundle stays as it is.
 *
 * @returns DER.
 * @throws TrustWardenError `ttl_malformed`, `ttl_exceeds_limit` above 90 days, or `authority_expired`.
 */
export function issueOnlineIntermediate(options: {
  readonly trustDomain: TrustDomain;
  readonly root: CaCertificate;
  readonly rootSigner: Signer;
  readonly intermediateSigner: Signer;
  readonly random: Random;
  readonly now: number;
  readonly intermediateTtlSeconds?: number;
}): Uint8Array {
  const ttlSeconds = options.intermediateTtlSeconds ?? MAX_INTERMEDIATE_TTL_SECONDS;
  if (ttlSeconds > MAX_INTERMEDIATE_TTL_SECONDS) {
    throw new TrustWardenError("ttl_exceeds_limit", {
      ttlSeconds,
      maxTtlSeconds: MAX_INTERMEDIATE_TTL_SECONDS,
    });
  }
  return issueIntermediate({
    trustDomain: options.trustDomain,
    spki: encodeSpki(options.intermediateSigner.publicKey),
    ca: options.root,
    signer: options.rootSigner,
    serial: createSerial(options.random),
    now: options.now,
    notAfter: options.now + ttlSeconds,
  });
}

/**
 * An authority from what was kept of it, proven to work: the signers hold the right keys, the bundle names them, and
 * an SVID issued for the purpose, and thrown away, verifies against the bundle.
 *
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `svid_untrusted` when the parts do not belong together, `svid_malformed`,
 *   `svid_expired` for the root, or `authority_expired` for the intermediate.
 */
export function verifyAuthority(options: {
  readonly bundle: TrustBundle;
  readonly intermediateDer: Uint8Array;
  readonly intermediateSigner: Signer;
  readonly jwtSigner: Signer;
  readonly random: Random;
  readonly now: number;
}): Authority {
  const { bundle, intermediateSigner, jwtSigner } = options;
  const { trustDomain } = bundle;
  const intermediate = parseCaCertificate(options.intermediateDer, trustDomain);
  const jwtKid = formatThumbprint(jwtSigner.publicKey);
  requireSameKey(bundle.jwtAuthorities.get(jwtKid), jwtSigner.publicKey);
  const trial = issueLeafCertificate({
    id: formatSpiffeId(trustDomain, ["trustwarden", "self-check"]),
    spki: encodeSpki(jwtSigner.publicKey),
    ca: intermediate,
    signer: intermediateSigner,
    serial: createSerial(options.random),
    now: options.now,
    notAfter: options.now + 1,
  });
  // The signer of the intermediate's key is proven by the trial too: it could not have been issued otherwise.
  verifyX509Svid([trial, intermediate.der], new Map([[trustDomain, bundle]]), options.now);
  const root = parseCaCertificate(rootOf(intermediate, bundle).der, trustDomain);
  return { trustDomain, root, intermediate, jwtKid, bundle };
}

function rootOf(intermediate: CaCertificate, bundle: TrustBundle): Certificate {
  const root = findAnchor(intermediate, bundle);
  if (root === undefined) throw new TrustWardenError("svid_untrusted", { reason: "root not in the bundle" });
  return root;
}

function requireSameKey(expected: PublicKey | undefined, actual: PublicKey): void {
  if (expected?.equals(actual) !== true) {
    throw new TrustWardenError("svid_untrusted", { reason: "a signer does not hold the authority's key" });
  }
}

/** One key in two roles would let a signature made for the one pass in the other. */
function requireDistinctKeys(signers: readonly Signer[]): void {
  const thumbprints = new Set(signers.map(({ publicKey }) => formatThumbprint(publicKey)));
  if (thumbprints.size !== signers.length) throw new Error("each role of an authority has a key of its own");
}
