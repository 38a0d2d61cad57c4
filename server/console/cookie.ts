/**
 * The session's cookie: a secret of 32 bytes that scripts cannot read and other sites cannot send.
 *
 * `__Host-` keeps other hosts of the same domain from laying one out; `SameSite=Strict` keeps other sites from using it.
 *
 * @see RFC 6265bis §4.1.3, §5.5
 */
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

export const SESSION_COOKIE = "__Host-trustwarden";
const SECRET_BYTES = 32;
const MAX_HEADER_CHARS = 8192;
const MAX_COOKIES = 64;

/**
 * The value of a cookie; undefined without it.
 *
 * @throws TrustWardenError `session_invalid` when the header is too long or names it twice.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  if (header.length > MAX_HEADER_CHARS) refuse("cookies");
  const pairs = header.split(";").map((pair) => pair.trim());
  if (pairs.length > MAX_COOKIES) refuse("cookies");
  const values = pairs
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  if (values.length > 1) refuse("two of one name");
  return values[0];
}

/** base64url SHA-256 of the secret in a session's cookie. @throws TrustWardenError `session_invalid`. */
export function digestOfSecret(secret: string): string {
  const bytes = parseSecret(secret);
  return encodeBase64url(sha256(bytes));
}

/** `set-cookie` of a secret, or its removal. @param maxAgeSeconds - 0 takes it away. */
export function formatCookie(name: string, value: string, maxAgeSeconds: number): string {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}`;
}

function parseSecret(secret: string): Uint8Array {
  try {
    const bytes = parseBase64url(secret);
    if (bytes.length === SECRET_BYTES) return bytes;
  } catch {
    // Safe to go on: it is refused below, without the text, which may be a secret.
  }
  return refuse("form");
}

function refuse(reason: string): never {
  throw new TrustWardenError("session_invalid", { reason });
}
