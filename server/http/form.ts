/**
 * Form bodies, read strictly: each name once, one decoding, no fallback for what does not decode.
 *
 * @see RFC 6749 §3.2: parameters must not be included more than once
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Every form of ours has fewer. */
const MAX_PAIRS = 64;

/**
 * Names and values of an `application/x-www-form-urlencoded` text.
 *
 * @throws TrustWardenError `request_malformed`.
 */
export function parseForm(text: string): Readonly<Record<string, string>> {
  const pairs = text === "" ? [] : text.split("&");
  if (pairs.length > MAX_PAIRS) refuse("too many parameters");
  const form = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 1) refuse("parameter");
    const name = decode(pair.slice(0, equals));
    if (form.has(name)) refuse("repeated parameter");
    form.set(name, decode(pair.slice(equals + 1)));
  }
  // RFC 6749 §3.2: a parameter without a value counts as not sent.
  return Object.fromEntries([...form].filter(([, value]) => value !== ""));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch (cause) {
    throw new TrustWardenError("request_malformed", { reason: "percent encoding" }, { cause });
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("request_malformed", { reason });
}
