/**
 * Successions: the active root's word on which set of roots follows which, so that what pins one set (a ticket, an
 * owner's profile) is still good after the roots were rotated.
 *
 * A pin is the digest of a set of roots. A succession holds that set, names the digest of the next, and is signed by a
 * member of the first; a chain of them leads from the pin to the set of today. Whoever holds a root's key could sign
 * one too: a root that was revoked signs none that is published, and tickets that pin it alone have to be made anew.
 *
 * @see docs/decisions/0015-successions-of-roots.md
 */
import { encodeBase64, encodeHex, parseBase64 } from "../bytes.ts";
import {
  draftEnvelope,
  type EnvelopeDraft,
  parseEnvelope,
  parseUnverifiedPayload,
  verifyEnvelope,
} from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import type { Certificate } from "./certificate.ts";
import { formatSpiffeId, type TrustDomain } from "./spiffe-id.ts";
import { type CaCertificate, parseCaCertificate } from "./svid-profile.ts";
import { digestOfRoots } from "./trust-bundle.ts";

/** Steps from a pin to today; each is a root made or taken out, and roots live for years. */
const MAX_SUCCESSIONS = 32;
/** A rotation holds two roots, seldom three. */
const MAX_ROOTS = 8;

/** What one succession says. */
interface Succession {
  readonly sequence: number;
  /** Digest of the set that it follows. */
  readonly from: string;
  /** Digest of the next set. */
  readonly to: string;
}

/**
 * A succession without its signature, which the active root makes.
 *
 * @param options.sequence - of the authority after the step; rises along every chain.
 * @param options.from - every root before it, the signing one among them.
 * @param options.to - `digestOfRoots` after it.
 */
export function draftSuccession(options: {
  readonly trustDomain: TrustDomain;
  readonly sequence: number;
  readonly from: readonly Certificate[];
  readonly to: string;
  readonly signer: CaCertificate;
}): EnvelopeDraft {
  const { trustDomain, sequence, from, to, signer } = options;
  const aud = formatSpiffeId(trustDomain, []);
  const roots = from.map(({ der }) => encodeBase64(der));
  return draftEnvelope("succession", { v: 1, aud, sequence, from: roots, to }, encodeHex(signer.ski));
}

/**
 * Requires that successions lead from a pinned set of roots to another.
 *
 * @param texts - envelopes in any order, from anybody.
 * @param options.pin - the digest that is trusted.
 * @param options.target - the digest that is to be.
 * @throws TrustWardenError `svid_untrusted` when none or no unbroken chain of them does; `dsse_malformed`,
 *   `signature_invalid`, `record_malformed` and the like for one that is not what it says.
 */
export function requireSuccession(
  texts: readonly string[],
  options: { readonly trustDomain: TrustDomain; readonly pin: string; readonly target: string },
): void {
  const { trustDomain, pin, target } = options;
  if (texts.length > MAX_SUCCESSIONS) throw untrusted("too many successions");
  // The latest first: a set may have been left and come back to, and only its last successor leads on.
  const known = texts
    .map((text) => verifySuccession(text, trustDomain))
    .sort((left, right) => right.sequence - left.sequence);
  let digest = pin;
  let sequence = 0;
  while (digest !== target) {
    const next = known.find(({ from }) => from === digest);
    if (next === undefined || next.sequence <= sequence)
      throw untrusted("no succession from the pinned roots");
    ({ to: digest, sequence } = next);
  }
}

/** Proven against its own `from`: whether anybody trusts that set is for the caller's pin to say. */
function verifySuccession(text: string, trustDomain: TrustDomain): Succession {
  const envelope = parseEnvelope(text);
  const roots = rootsIn(parseUnverifiedPayload(envelope).from, trustDomain);
  const signer = roots.find(({ ski }) => encodeHex(ski) === envelope.unverifiedKeyid);
  if (signer === undefined) throw untrusted("a succession signed by none of its roots");
  const fields = new Fields(verifyEnvelope(envelope, "succession", signer.publicKey), "record_malformed");
  fields.version();
  fields.literal("aud", formatSpiffeId(trustDomain, []));
  fields.take("from");
  const to = fields.digest("to");
  const sequence = fields.integer("sequence");
  fields.end();
  return { sequence, from: digestOfRoots(roots), to };
}

function rootsIn(from: unknown, trustDomain: TrustDomain): readonly CaCertificate[] {
  if (!Array.isArray(from) || from.length < 1 || from.length > MAX_ROOTS) throw untrusted("roots");
  return from.map((root: unknown) => {
    if (typeof root !== "string") throw untrusted("roots");
    return parseCaCertificate(parseBase64(root), trustDomain);
  });
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("svid_untrusted", { reason });
}
