/** What the ledger gets of a model's answer. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { hmacSha256 } from "@trustwarden/core/crypto.ts";
import { encodeCanonicalJson } from "@trustwarden/core/json.ts";

/** base64url HMAC-SHA-256(salt, JCS{answer_sha256}) over the bytes that the caller got. */
export function formatAnswerCommitment(digest: Uint8Array, salt: Uint8Array): string {
  return encodeBase64url(hmacSha256(salt, encodeCanonicalJson({ answer_sha256: encodeBase64url(digest) })));
}
