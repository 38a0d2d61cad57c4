/**
 * What `openid-client` throws, as refusals of ours: by its code alone. Its errors carry answers and claims, which are somebody
 * else's text and somebody's name, and are let go here.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { ClientError } from "openid-client";
import { refused } from "../../attest/refusal.ts";

/** What the library says of an answer that it does not take; the way out's own refusal where that is what stopped it. */
export function asRefusal(error: unknown): TrustWardenError {
  if (error instanceof TrustWardenError) return error;
  if (error instanceof ClientError)
    return error.cause instanceof TrustWardenError ? error.cause : refused(error.code ?? "OAUTH");
  // A signature that is not base64url, for one: found by the library's check of its own arguments.
  if (error instanceof TypeError && "code" in error) return refused(String(error.code));
  throw error;
}

/** Runs what the library does. @throws TrustWardenError `identity_refused`, `identity_provider_unavailable`. */
export async function translated<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    const cause = asRefusal(error);
    if (!cause.code.startsWith("attestation_")) throw cause;
    const code =
      cause.code === "attestation_unavailable" ? "identity_provider_unavailable" : "identity_refused";
    throw new TrustWardenError(code, { reason: cause.details.reason ?? cause.code }, { cause });
  }
}
