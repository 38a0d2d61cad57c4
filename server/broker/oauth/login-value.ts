/**
 * What a person's login at an authorization server leaves: the value of a secret whose grant is `login`, as JSON of one
 * line, since client and login are shown together.
 *
 * A refresh token where one came, and else the access token itself, for as long as that lasts.
 *
 * @see RFC 6749 §1.5, §5.1, §6
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Json, parseJsonObject } from "@trustwarden/core/json.ts";

/** Printable ASCII, as tokens and the secrets of clients are (RFC 6749 appendix A). */
const TEXT = /^[!-~]{8,3072}$/;

/** Never logged. */
export interface LoginValue {
  /** Null where none came. */
  readonly refreshToken: string | null;
  /** Null beside a refresh token, which gets better ones. */
  readonly accessToken: string | null;
  /** Of the access token, in Unix seconds; null where nobody said. */
  readonly expiresAt: number | null;
  /** Null for a public client. */
  readonly clientSecret: string | null;
}

/** @throws TrustWardenError `secret_malformed`; never with the value. */
export function parseLoginValue(value: string): LoginValue {
  const json = readObject(value);
  const { refresh_token, access_token, expires_at, client_secret, ...rest } = json;
  const login = {
    refreshToken: textOf(refresh_token),
    accessToken: textOf(access_token),
    expiresAt: secondsOf(expires_at),
    clientSecret: textOf(client_secret),
  };
  const isOne = (login.refreshToken === null) !== (login.accessToken === null);
  return isOne && Object.keys(rest).length === 0 ? login : malformed();
}

/** @see `parseLoginValue` */
export function formatLoginValue({ refreshToken, accessToken, expiresAt, clientSecret }: LoginValue): string {
  const members = {
    refresh_token: refreshToken,
    access_token: accessToken,
    expires_at: expiresAt,
    client_secret: clientSecret,
  };
  return JSON.stringify(Object.fromEntries(Object.entries(members).filter(([, member]) => member !== null)));
}

function textOf(member: Json | undefined): string | null {
  if (member === undefined) return null;
  return typeof member === "string" && TEXT.test(member) ? member : malformed();
}

function secondsOf(member: Json | undefined): number | null {
  if (member === undefined) return null;
  return typeof member === "number" && Number.isSafeInteger(member) && member >= 0 ? member : malformed();
}

function readObject(value: string) {
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
