/**
 * A transfer: one owner gives an agent, with everything below it, to another owner who takes it.
 *
 * Both sign the same bytes, each with its own key: the giver's envelope is the offer, the receiver's the acceptance. Neither
 * is worth anything without the other. Whether the offer was taken in, whether the agent is still the giver's and whether the
 * receiver has room for it is state, and so the business of the store.
 *
 * These are wire shapes, so members are named as they are signed.
 *
 * @see docs/path.md, "Transfers"
 */
import { encodeBase64url, encodeUtf8, isEqualBytes, parseBase64url, parseUtf8 } from "./bytes.ts";
import { encodeSpki, sha256 } from "./crypto.ts";
import {
  draftEnvelope,
  type EnvelopeDraft,
  parseEnvelope,
  parseUnverifiedPayload,
  signDraft,
  verifyEnvelope,
} from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import { Fields } from "./fields.ts";
import type { JsonObject } from "./json.ts";
import { type OwnerKey, publicKeyOf } from "./passkey.ts";
import type { Signer } from "./signer.ts";

/** Two people who talk to one another; an offer that nobody takes must not lie about. */
export const MAX_TRANSFER_SECONDS = 3600;
/** How far the signer's clock may run ahead of ours. */
const CLOCK_SKEW_SECONDS = 30;
/** The event that tells of it embeds both. */
const MAX_ENVELOPE_CHARS = 4096;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const AGENT_ID = /^agt_[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const OWNER_ID = /^own_[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const OFFER_PREFIX = "two1.";

/** Signed by the owner who gives and by the owner who takes. */
export interface Transfer {
  readonly v: 1;
  /** ULID; single use. */
  readonly jti: string;
  /** SPIFFE ID of the trust domain. */
  readonly aud: string;
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds; at most an hour after `iat`. */
  readonly exp: number;
  /** `agt_<ulid>` of an agent that no other agent made. */
  readonly agent: string;
  /** `own_<ulid>` of the giver. */
  readonly from: string;
  /** `own_<ulid>` of the receiver. */
  readonly to: string;
}

/** Signs a transfer with the key of one of its two owners. @throws TrustWardenError `transfer_invalid`. */
export function issueTransfer(transfer: Transfer, signer: Signer, keyid: string): string {
  return signDraft(draftTransfer(transfer, keyid), signer);
}

/** A transfer that a passkey is to sign. @throws TrustWardenError `transfer_invalid`. */
export function draftTransfer(transfer: Transfer, keyid: string): EnvelopeDraft {
  return draftEnvelope("transfer", { ...parseTransfer({ ...transfer }) }, keyid);
}

/** What an envelope claims; for finding the key, and for showing it to who is asked. @throws TrustWardenError `transfer_invalid`, `dsse_malformed`. */
export function parseUnverifiedTransfer(envelope: string): Transfer {
  if (envelope.length > MAX_ENVELOPE_CHARS) throw invalid("envelope");
  return parseTransfer(parseUnverifiedPayload(parseEnvelope(envelope)));
}

/** Where a transfer is checked. */
export interface TransferCheck {
  /** Of one of the two owners: of a file, or a passkey. */
  readonly publicKey: OwnerKey;
  /** SPIFFE ID of the trust domain. */
  readonly audience: string;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * A transfer that this key signed, for this trust domain, not expired. Whose key it is, is the caller's check.
 *
 * @throws TrustWardenError `signature_invalid`, `transfer_invalid`, `transfer_expired`.
 */
export function verifyTransfer(envelope: string, check: TransferCheck): Transfer {
  if (envelope.length > MAX_ENVELOPE_CHARS) throw invalid("envelope");
  const parsed = parseEnvelope(envelope);
  const transfer = parseTransfer(verifyEnvelope(parsed, "transfer", check.publicKey));
  if (parsed.unverifiedKeyid !== encodeBase64url(sha256(encodeSpki(publicKeyOf(check.publicKey)))))
    throw invalid("keyid");
  if (transfer.aud !== check.audience) throw invalid("aud");
  if (transfer.iat > check.now + CLOCK_SKEW_SECONDS) throw invalid("iat");
  if (check.now >= transfer.exp)
    throw new TrustWardenError("transfer_expired", { exp: transfer.exp, now: check.now });
  return transfer;
}

/** Refuses two envelopes that are not about the same bytes. @throws TrustWardenError `transfer_invalid`. */
export function requireSameTransfer(offer: string, acceptance: string): void {
  if (!isEqualBytes(parseEnvelope(offer).payload, parseEnvelope(acceptance).payload))
    throw invalid("another transfer than was offered");
}

/** base64url SHA-256 of what both sign, whoever signed it. */
export function digestOfTransfer(envelope: string): string {
  return encodeBase64url(sha256(parseEnvelope(envelope).payload));
}

/** The `two1.` text that the giver hands to the receiver; holds no secret. */
export function formatOfferValue(envelope: string): string {
  return OFFER_PREFIX + encodeBase64url(encodeUtf8(envelope));
}

/** The giver's envelope. @throws TrustWardenError `transfer_invalid`, `base64_malformed`. */
export function parseOfferValue(text: string): string {
  if (!text.startsWith(OFFER_PREFIX) || text.length > 2 * MAX_ENVELOPE_CHARS) throw invalid("offer");
  return parseUtf8(parseBase64url(text.slice(OFFER_PREFIX.length)));
}

/** The members, closed; the signature is another matter. */
function parseTransfer(json: JsonObject): Transfer {
  const members = new Fields(json, "transfer_invalid");
  const transfer: Transfer = {
    v: members.version(),
    jti: members.matching("jti", ULID),
    aud: members.text("aud"),
    iat: members.integer("iat"),
    exp: members.integer("exp"),
    agent: members.matching("agent", AGENT_ID),
    from: members.matching("from", OWNER_ID),
    to: members.matching("to", OWNER_ID),
  };
  members.end();
  if (transfer.exp <= transfer.iat || transfer.exp - transfer.iat > MAX_TRANSFER_SECONDS)
    throw invalid("exp");
  if (transfer.from === transfer.to) throw invalid("to");
  return transfer;
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("transfer_invalid", { field });
}
