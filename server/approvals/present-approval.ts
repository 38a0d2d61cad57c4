/**
 * What a call really does, opened: the parameters that somebody brings are those that the agent's own intent commits to.
 *
 * Without this check a service could show one call to the human and make another, or an agent could.
 */
import type { PresentedApproval } from "@trustwarden/core/api/approval.ts";
import type { Parameters } from "@trustwarden/core/approval.ts";
import { encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { isEqualSecret } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import { commitToRequest, formatParamsCommitment } from "@trustwarden/core/intent.ts";

const SALT_BYTES = 32;

/**
 * The parameters, proven against the intent.
 *
 * @throws TrustWardenError `intent_mismatch`, `base64_malformed`.
 */
export function verifyOpening(
  { parameters, salt }: Pick<PresentedApproval, "parameters" | "salt">,
  intent: Intent,
): Parameters {
  if (parameters.kind === "request") {
    const { method, target, body_sha256 } = parameters;
    requireEqual(intent.request, commitToRequest({ method, target, body_sha256 }, parseSalt(salt)));
    return { kind: "request", method, target, body_sha256 };
  }
  const params = parameters.params;
  if (params === null && intent.params === null && intent.request === null) return { kind: "params", params };
  if (params === null || intent.request !== null) throw mismatch("params");
  requireEqual(intent.params, formatParamsCommitment(params, parseSalt(salt)));
  return { kind: "params", params };
}

function parseSalt(text: string): Uint8Array {
  const salt = parseBase64url(text);
  if (salt.length !== SALT_BYTES) throw mismatch("salt");
  return salt;
}

function requireEqual(committed: string | null, opened: string): void {
  if (committed === null || !isEqualSecret(encodeUtf8(committed), encodeUtf8(opened)))
    throw mismatch("commitment");
}

function mismatch(reason: string): TrustWardenError {
  return new TrustWardenError("intent_mismatch", { reason });
}
