/**
 * What a person's login at an authorization server leaves: the value of a secret whose grant is `refresh_token`, as JSON
 * of one line, since client and login are shown together.
 *
 * @see RFC 6749 §1.5, §6
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

/** Printable ASCII, as tokens and the secrets of clients are (RFC 6749 appendix A). */
const TEXT = /^[!-~]{8,3072}$/;

/** Never logged. */
export interface LoginValue {
  readonly refreshToken: string;
  /** Null for a public client. */
  readonly clientSecret: string | null;
}

/** @throws TrustWardenError `secret_malformed`; never with the value. */
export function parseLoginValue(value: string): LoginValue {
  const { refresh_token: refreshToken, client_secret: clientSecret = null, ...rest } = readObject(value);
  const isFit =
    typeof refreshToken === "string" &&
    TEXT.test(refreshToken) &&
    (clientSecret === null || (typeof clientSecret === "string" && TEXT.test(clientSecret))) &&
    Object.keys(rest).length === 0;
  return isFit ? { refreshToken, clientSecret } : malformed();
}

/** @see `parseLoginValue` */
export function formatLoginValue({ refreshToken, clientSecret }: LoginValue): string {
  return JSON.stringify({
    refresh_token: refreshToken,
    ...(clientSecret === null ? {} : { client_secret: clientSecret }),
  });
}

function readObject(value: string): JsonObject {
  try {
    return parseJsonObject(value);
  } catch {
    // The parser's message may quote a token, so the cause stays here.
    return malformed();
  }
}

function malformed(): never {
  throw new TrustWardenError("secret_malformed", { field: "value" });
}
