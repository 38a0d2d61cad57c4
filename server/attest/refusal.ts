/**
 * The refusals of the attestors: exact reasons for the ledger and the log, chosen here and never taken from the
 * evidence or from what a server answered, since both are somebody else's text.
 */
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";

/** Evidence that proves nothing. */
export function refused(reason: string, cause?: unknown): TrustWardenError {
  return failure("attestation_refused", reason, cause);
}

/** Evidence that is not in its one spelling. */
export function malformed(reason: string, cause?: unknown): TrustWardenError {
  return failure("attestation_malformed", reason, cause);
}

/** Evidence outside its time. */
export function expired(reason: string): TrustWardenError {
  return failure("attestation_expired", reason);
}

/** Evidence of somebody whom the configuration does not name. */
export function untrustedIssuer(reason: string): TrustWardenError {
  return failure("attestation_untrusted_issuer", reason);
}

/** What is needed to judge cannot be had; nothing is decided. */
export function unavailable(reason: string, cause?: unknown): TrustWardenError {
  return failure("attestation_unavailable", reason, cause);
}

/** Runs a parser of core on evidence; what is a bad request elsewhere is bad evidence here. Our own refusals stay. */
export function asMalformed<Value>(reason: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code.startsWith("attestation_")) throw cause;
    throw malformed(reason, cause);
  }
}

function failure(code: ErrorCode, reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError(code, { reason }, cause === undefined ? undefined : { cause });
}
