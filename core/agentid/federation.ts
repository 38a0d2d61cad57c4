/**
 * Federation: from where the bundle of another trust domain comes, and which bundles we take for it.
 *
 * Name, address, profile and the endpoint's identity are told by an operator and never inferred. A bundle is taken
 * only when it cannot speak for anybody else: it names no other trust domain, shares no key with one, and is not
 * older than what we have.
 *
 * @see SPIFFE Federation §4, §5
 */
import { encodeBase64url } from "../bytes.ts";
import { encodeSpki, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { formatCanonicalJson } from "../json.ts";
import {
  formatSpiffeId,
  parseSpiffeId,
  pathOf,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "./spiffe-id.ts";
import type { TrustBundle } from "./trust-bundle.ts";

const MAX_URL_CHARS = 2048;
const MAX_CA_CHARS = 65_536;
/** A bundle is asked for at least this often, so that a withdrawn key does not live on here. */
const MAX_REFRESH_SECONDS = 3600;
/** And not more often, whatever the other side hints. */
const MIN_REFRESH_SECONDS = 60;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----/;

/** Where a trust domain publishes its bundle, and how that endpoint proves itself. */
export type FederationEndpoint =
  | {
      readonly profile: "https_web";
      readonly url: string;
      /** PEM of the authorities to believe for this endpoint alone; null for the usual ones. */
      readonly webCa: string | null;
    }
  | {
      readonly profile: "https_spiffe";
      readonly url: string;
      /** In the federated trust domain; proven against the latest bundle that we have of it. */
      readonly spiffeId: SpiffeId;
    };

/** What an operator says of an endpoint, before it is checked. */
export interface UnverifiedEndpoint {
  readonly profile: "https_web" | "https_spiffe";
  readonly url: string;
  readonly endpointSpiffeId: string | null;
  readonly webCa: string | null;
}

/**
 * The endpoint that an operator configures.
 *
 * @throws TrustWardenError `federation_malformed` with the member, or `spiffe_id_malformed`.
 * @see SPIFFE Federation §5.1, §5.2
 */
export function parseFederationEndpoint(
  asked: UnverifiedEndpoint,
  trustDomain: TrustDomain,
): FederationEndpoint {
  const { profile, endpointSpiffeId, webCa } = asked;
  const url = parseEndpointUrl(asked.url);
  if (profile === "https_web") {
    if (endpointSpiffeId !== null) throw malformed("endpoint_spiffe_id");
    if (webCa !== null && (webCa.length > MAX_CA_CHARS || !PEM_BLOCK.test(webCa))) throw malformed("web_ca");
    return { profile, url, webCa };
  }
  if (webCa !== null) throw malformed("web_ca");
  if (endpointSpiffeId === null) throw malformed("endpoint_spiffe_id");
  const spiffeId = parseSpiffeId(endpointSpiffeId);
  // An endpoint of a third trust domain would make our trust in one depend on another.
  if (trustDomainOf(spiffeId) !== trustDomain || pathOf(spiffeId) === "")
    throw malformed("endpoint_spiffe_id");
  return { profile, url, spiffeId };
}

/** How long to wait before the bundle is asked for again: what it hints, within bounds. */
export function refreshSecondsOf({ refreshHintSeconds }: TrustBundle): number {
  return Math.min(Math.max(refreshHintSeconds, MIN_REFRESH_SECONDS), MAX_REFRESH_SECONDS);
}

/**
 * Refuses a bundle that claims more than its own trust domain: an authority with another one's name, or a key that a
 * known trust domain has already.
 *
 * @param known - every other bundle that we trust, our own among them.
 * @throws TrustWardenError `federation_bundle_refused`.
 * @see X509-SVID §3.2; SPIFFE Trust Domain and Bundle §6.2
 */
export function requireOwnClaims(bundle: TrustBundle, known: Iterable<TrustBundle>): void {
  const own = formatSpiffeId(bundle.trustDomain, []);
  for (const { uris } of bundle.x509Authorities) {
    if (uris.some((uri) => uri !== own)) throw refused("an authority of another trust domain");
  }
  const keys = new Set(keysOf(bundle));
  for (const other of known) {
    if (other.trustDomain === bundle.trustDomain) continue;
    if (keysOf(other).some((key) => keys.has(key))) throw refused("a key of another trust domain");
  }
}

/**
 * Whether a fetched bundle differs from the one at hand, which it must not be older than.
 *
 * @throws TrustWardenError `federation_rollback` for a lower sequence, or other contents under the same one.
 * @see SPIFFE Trust Domain and Bundle §4.1.1
 */
export function requireNotOlder(
  bundle: TrustBundle,
  current: TrustBundle | undefined,
): { readonly isNew: boolean } {
  if (current === undefined) return { isNew: true };
  if (bundle.sequence < current.sequence) throw rollback(bundle, current);
  const isNew = formatContents(bundle) !== formatContents(current);
  // A bundle without a sequence says 0 and may change freely.
  if (isNew && bundle.sequence === current.sequence && bundle.sequence !== 0) throw rollback(bundle, current);
  return { isNew: isNew || bundle.sequence > current.sequence };
}

/** @throws TrustWardenError `federation_malformed` unless it is an https URL without user, password or fragment. */
function parseEndpointUrl(text: string): string {
  const url = text.length > MAX_URL_CHARS ? null : URL.parse(text);
  const isPlain = url?.protocol === "https:" && url.username === "" && url.password === "" && url.hash === "";
  if (url === null || !isPlain || url.hostname === "") throw malformed("url");
  return url.href;
}

function keysOf({ x509Authorities, jwtAuthorities, witAuthorities }: TrustBundle): readonly string[] {
  const tokenKeys = [...jwtAuthorities.values(), ...witAuthorities.values()];
  const keys = [...x509Authorities.map(({ publicKey }) => publicKey), ...tokenKeys];
  return keys.map((key) => encodeBase64url(sha256(encodeSpki(key))));
}

/** The authorities alone, in one order. */
function formatContents(bundle: TrustBundle): string {
  const { x509Authorities, jwtAuthorities, witAuthorities } = bundle;
  const x509 = x509Authorities.map(({ sha256: digest }) => digest).sort();
  const tokens = [jwtAuthorities, witAuthorities].map((keys) =>
    Array.from(keys, ([kid, key]) => `${kid} ${encodeBase64url(encodeSpki(key))}`).sort(),
  );
  return formatCanonicalJson([x509, ...tokens]);
}

function rollback({ sequence }: TrustBundle, current: TrustBundle): TrustWardenError {
  return new TrustWardenError("federation_rollback", { sequence, current: current.sequence });
}

function malformed(field: string): TrustWardenError {
  return new TrustWardenError("federation_malformed", { field });
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("federation_bundle_refused", { reason });
}
