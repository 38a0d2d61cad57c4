/**
 * The intent: one agent's signed wish to do one thing, bound to one request, for one enforcement point.
 *
 * Issuing is the agent's side, verifying everybody else's. Whether the intent is new (`intent_replayed`) and whether
 * the instance is alive is state, and so the business of the server.
 *
 * @see docs/path.md, "The intent"
 */
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { hmacSha256, isEqualSecret, type PublicKey, sha256 } from "./crypto.ts";
import { draftEnvelope, parseEnvelope, parseUnverifiedPayload, requireSigned, signDraft } from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import { type Intent, MAX_INTENT_SECONDS, parseIntent } from "./event.ts";
import { encodeCanonicalJson, type JsonObject } from "./json.ts";
import type { Signer } from "./signer.ts";

/** How far two honest clocks may disagree. */
const CLOCK_SKEW_SECONDS = 30;

/** The leaf of the agent's SVID, as far as an intent needs it. */
export interface SigningLeaf {
  /** base64url SHA-256 of the DER. */
  readonly sha256: string;
  readonly publicKey: PublicKey;
}

/** An intent whose signature, time and audience are proven. */
export interface VerifiedIntent {
  readonly intent: Intent;
  /** Exact envelope text; logged byte for byte. */
  readonly envelope: string;
  /** base64url SHA-256 of the envelope's UTF-8 bytes. */
  readonly sha256: string;
  /** base64url SHA-256 of the payload bytes: what the next intent's `prev` must be. */
  readonly payloadSha256: string;
}

/** An intent that holds in all but its signature, which nobody has checked yet. */
export interface OpenedIntent {
  readonly unverifiedIntent: Intent;
  /** Exact envelope text. */
  readonly envelope: string;
  /** @throws TrustWardenError `signature_invalid`. */
  prove(): VerifiedIntent;
}

/** Whose intent it has to be, for whom, and when; `now` in Unix seconds. */
interface IntentExpectations {
  readonly leaf: SigningLeaf;
  readonly audience: string;
  readonly now: number;
}

/** The request that an intent is bound to. */
export interface BoundRequest {
  readonly method: string;
  /** Request target as sent: path and query. */
  readonly target: string;
  readonly body: Uint8Array;
}

/** base64url commitment to a request under a fresh 32-byte salt; without the salt it says nothing. */
export function formatRequestCommitment(request: BoundRequest, salt: Uint8Array): string {
  const { method, target, body } = request;
  return commitToRequest({ method, target, body_sha256: encodeBase64url(sha256(body)) }, salt);
}

/** `formatRequestCommitment` for who knows the body's digest only. */
export function commitToRequest(
  { method, target, body_sha256 }: Omit<BoundRequest, "body"> & { readonly body_sha256: string },
  salt: Uint8Array,
): string {
  return encodeBase64url(hmacSha256(salt, encodeCanonicalJson({ body_sha256, method, target })));
}

/** base64url commitment to an action's parameters under a fresh 32-byte salt. */
export function formatParamsCommitment(params: JsonObject, salt: Uint8Array): string {
  return encodeBase64url(hmacSha256(salt, encodeCanonicalJson(params)));
}

/** Signs an intent with the instance's SVID key. */
export function issueIntent(intent: Intent, signer: Signer): VerifiedIntent {
  const payload = { ...intent, agent: { ...intent.agent }, seen: intent.seen && { ...intent.seen } };
  const draft = draftEnvelope("intent", payload, intent.agent.svid_sha256);
  const envelope = signDraft(draft, signer);
  return { intent, envelope, ...digestsOf(envelope, draft.payload) };
}

/**
 * An intent that the holder of `leaf` signed, for this audience, just now.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `dsse_malformed`, `record_malformed`, `signature_invalid`, `svid_mismatch`,
 *   `intent_audience` or `intent_expired`.
 */
export function verifyIntent(envelope: string, expected: IntentExpectations): VerifiedIntent {
  return openIntent(envelope, expected).prove();
}

/**
 * `verifyIntent` up to the signature, for whoever has something to wait for while that is checked.
 *
 * @throws TrustWardenError as `verifyIntent`: what is refused for anything else has a good signature.
 */
export function openIntent(envelope: string, { leaf, audience, now }: IntentExpectations): OpenedIntent {
  const parsed = parseEnvelope(envelope);
  const requireSignature = (): void => requireSigned(parsed, "intent", leaf.publicKey);
  const intent = signatureFirst(requireSignature, () => {
    const read = parseIntent(parseUnverifiedPayload(parsed));
    // A key may be certified twice: the certificate counts, not only the key.
    if (read.agent.svid_sha256 !== leaf.sha256 || parsed.unverifiedKeyid !== leaf.sha256) {
      throw new TrustWardenError("svid_mismatch");
    }
    requireAudience(read, audience);
    requireNow(read, now);
    return read;
  });
  return {
    unverifiedIntent: intent,
    envelope,
    prove: () => {
      requireSignature();
      return { intent, envelope, ...digestsOf(envelope, parsed.payload) };
    },
  };
}

/** What `read` gives; where it refuses, a bad signature is what is wrong first. */
export function signatureFirst<Read>(requireSignature: () => unknown, read: () => Read): Read {
  try {
    return read();
  } catch (error) {
    requireSignature();
    throw error;
  }
}

/**
 * Refuses an intent that was made for another request: a read's intent sent with a delete, a changed body.
 *
 * @throws TrustWardenError `intent_mismatch`.
 */
export function requireSameRequest(intent: Intent, request: BoundRequest, salt: Uint8Array): void {
  const expected = encodeUtf8(formatRequestCommitment(request, salt));
  if (intent.request === null || !isEqualSecret(encodeUtf8(intent.request), expected)) {
    throw new TrustWardenError("intent_mismatch", { reason: "request" });
  }
}

function requireAudience(intent: Intent, audience: string): void {
  if (intent.aud !== audience) throw new TrustWardenError("intent_audience", { audience: intent.aud });
}

function requireNow({ exp, time }: Intent, now: number): void {
  const issuedAt = Math.floor(Date.parse(time) / 1000);
  if (now >= exp + CLOCK_SKEW_SECONDS) throw new TrustWardenError("intent_expired", { exp, now });
  if (issuedAt > now + CLOCK_SKEW_SECONDS)
    throw new TrustWardenError("intent_expired", { reason: "from the future" });
  if (exp - issuedAt > MAX_INTENT_SECONDS)
    throw new TrustWardenError("intent_expired", { reason: "too long-lived" });
}

function digestsOf(
  envelope: string,
  payload: Uint8Array,
): { readonly sha256: string; readonly payloadSha256: string } {
  return {
    sha256: encodeBase64url(sha256(encodeUtf8(envelope))),
    payloadSha256: encodeBase64url(sha256(payload)),
  };
}
