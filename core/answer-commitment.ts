/** What the ledger gets of an answer: a salted commitment, which says nothing to whoever has not the salt. */
import { encodeBase64url } from "./bytes.ts";
import { hmacSha256 } from "./crypto.ts";
import { encodeCanonicalJson } from "./json.ts";

/** base64url HMAC-SHA-256(salt, JCS{answer_sha256}) over the bytes that the caller got. */
export function formatAnswerCommitment(digest: Uint8Array, salt: Uint8Array): string {
  return encodeBase64url(hmacSha256(salt, encodeCanonicalJson({ answer_sha256: encodeBase64url(digest) })));
}
