/**
 * SPIFFE IDs: the one spelling of an identity.
 *
 * An id is compared byte for byte everywhere, so this parser accepts exactly one spelling and returns its input. It
 * never decodes, lower-cases or joins: a path helper that resolves `..` lets one workload impersonate another
 * (Cure53 SPI-01-003).
 *
 * @see SPIFFE-ID §2; upper-case schemes and trust domains are refused, although §2.4 calls them equal to lower case.
 */
import { TrustWardenError } from "../error.ts";

/** What every implementation must support, and more than anyone should generate (SPIFFE-ID §2.3). */
const MAX_ID_BYTES = 2048;
/** SPIFFE-ID §2.3. */
const MAX_TRUST_DOMAIN_BYTES = 255;
const SCHEME = "spiffe://";
const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
const INSTANCE_SEGMENT = /^inst-./;

declare const idBrand: unique symbol;
declare const tdBrand: unique symbol;

/** A well-formed SPIFFE ID; equal ids are equal strings. */
export type SpiffeId = string & { readonly [idBrand]: true };

/** A well-formed trust domain name, without the scheme. */
export type TrustDomain = string & { readonly [tdBrand]: true };

/**
 * The SPIFFE ID of untrusted text, unchanged. An id without a path (of the trust domain itself) is accepted; whoever
 * needs a workload checks `pathOf`.
 *
 * @throws TrustWardenError `spiffe_id_malformed`.
 * @see SPIFFE-ID §2.1 to §2.4
 */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > MAX_ID_BYTES) throw malformed("longer than 2048 bytes");
  if (!text.startsWith(SCHEME)) throw malformed("scheme");
  const slash = text.indexOf("/", SCHEME.length);
  parseTrustDomain(slash === -1 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash));
  if (slash !== -1)
    text
      .slice(slash + 1)
      .split("/")
      .forEach(requireSegment);
  // The one cast: everything the brand promises is checked above.
  return text as SpiffeId;
}

/**
 * The trust domain of untrusted text, unchanged.
 *
 * @throws TrustWardenError `spiffe_id_malformed`.
 * @see SPIFFE-ID §2.1
 */
export function parseTrustDomain(text: string): TrustDomain {
  if (text.length > MAX_TRUST_DOMAIN_BYTES || !TRUST_DOMAIN.test(text)) throw malformed("trust domain");
  // The one cast: everything the brand promises is checked above.
  return text as TrustDomain;
}

/** The trust domain of an id. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  const slash = id.indexOf("/", SCHEME.length);
  return parseTrustDomain(slash === -1 ? id.slice(SCHEME.length) : id.slice(SCHEME.length, slash));
}

/** The path of an id with its leading slash, or `""` for the id of a trust domain. */
export function pathOf(id: SpiffeId): string {
  const slash = id.indexOf("/", SCHEME.length);
  return slash === -1 ? "" : id.slice(slash);
}

/**
 * An id from a trust domain and literal path segments; no segments give the id of the trust domain itself.
 *
 * @throws TrustWardenError `spiffe_id_malformed` for a segment that a path may not hold, or above 2048 bytes.
 */
export function formatSpiffeId(trustDomain: TrustDomain, segments: readonly string[]): SpiffeId {
  segments.forEach(requireSegment);
  return parseSpiffeId([`${SCHEME}${trustDomain}`, ...segments].join("/"));
}

/** The `inst-...` segment of an instance's id, or undefined for any other id; there is always a class before it. */
export function instanceIdOf(id: SpiffeId): string | undefined {
  const segments = pathOf(id).split("/").slice(1);
  const last = segments.at(-1);
  return segments.length > 1 && last !== undefined && INSTANCE_SEGMENT.test(last) ? last : undefined;
}

/** The id of the agent that an instance is a copy of; the id itself where there is no instance segment. */
export function classIdOf(id: SpiffeId): SpiffeId {
  const instance = instanceIdOf(id);
  return instance === undefined ? id : parseSpiffeId(id.slice(0, -instance.length - 1));
}

function requireSegment(segment: string): void {
  if (!SEGMENT.test(segment) || segment === "." || segment === "..") throw malformed("path segment");
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("spiffe_id_malformed", { reason });
}
