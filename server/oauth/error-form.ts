/**
 * From a failure to what OAuth clients can read: the RFCs' words, with a sentence of our table and nothing else.
 *
 * @see RFC 6749 §5.2; RFC 8707 §2; RFC 9449 §5 and §8
 */
import type { OAuthErrorAnswer } from "@trustwarden/core/api/oauth.ts";
import { type ErrorCode, publicError, type TrustWardenError } from "@trustwarden/core/error.ts";

/** An OAuth failure and its HTTP status. */
export interface OAuthFailure {
  readonly status: number;
  readonly body: OAuthErrorAnswer;
}

/** Codes whose word is not told by their status. */
const WORDS: Partial<Record<ErrorCode, string>> = {
  dpop_invalid: "invalid_dpop_proof",
  dpop_replayed: "invalid_dpop_proof",
  dpop_nonce_missing: "use_dpop_nonce",
  grant_type_unsupported: "unsupported_grant_type",
  target_malformed: "invalid_target",
  scope_malformed: "invalid_scope",
  scope_not_subset: "invalid_scope",
  denied: "unauthorized_client",
  access_token_revoked: "invalid_request",
  assertion_refused: "invalid_grant",
  assertion_replayed: "invalid_grant",
};

/** What is sent for a failure of an OAuth endpoint. */
export function formatOAuthFailure(error: TrustWardenError): OAuthFailure {
  const { code, message, counterexample } = publicError(error).error;
  const word = WORDS[error.code] ?? wordOfStatus(error.status);
  const description = counterexample === undefined ? message : `${message} (${counterexample})`;
  return {
    // Words of the RFCs come with 400; a client that could not prove itself gets 401.
    status: WORDS[error.code] !== undefined || error.status === 403 ? 400 : error.status,
    body: { error: word, error_description: `${code}: ${descriptionOf(description)}` },
  };
}

function wordOfStatus(status: number): string {
  if (status === 401) return "invalid_client";
  if (status === 403 || status === 409) return "unauthorized_client";
  if (status === 429 || status >= 500) return "temporarily_unavailable";
  return "invalid_request";
}

/** RFC 6749 §5.2: printable ASCII without quotation marks and backslashes. */
function descriptionOf(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|["\\]/g, "'");
}
