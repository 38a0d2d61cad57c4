/**
 * Which headers pass the gateway, in both directions.
 *
 * Nothing that names, proves or routes the caller goes on: the upstream is told by the gateway, not by the agent. What
 * belongs to one connection stays on it.
 *
 * @see RFC 9110 §7.6.1; ATTACKS.md D12, F11
 */
import { TrustWardenError } from "../error.ts";

const MAX_HEADERS = 100;
const MAX_VALUE_CHARS = 8192;
/** Visible ASCII, space and tab: no bytes that two readers split differently (F3). */
const VALUE = /^[\t\x20-\x7e]*$/;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

const CONNECTION: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Credentials, and what proxies say of whoever stands before them. */
const CALLERS: ReadonlySet<string> = new Set([
  "api-key",
  "authorization",
  "cookie",
  "dpop",
  "forwarded",
  "origin",
  "referer",
  "signature",
  "signature-input",
  "true-client-ip",
  "via",
  "workload-identity-token",
  "workload-proof-token",
  "x-api-key",
  "x-goog-api-key",
  "x-real-ip",
]);
const CALLERS_PREFIXES = ["trustwarden-", "x-forwarded-", "proxy-", "cf-", "x-envoy-", "x-amz-"] as const;
/** Of an answer: what would set state, or speak for us. */
const ANSWERS: ReadonlySet<string> = new Set([
  "alt-svc",
  "clear-site-data",
  "dpop-nonce",
  "set-cookie",
  "strict-transport-security",
  "www-authenticate",
]);

/** Headers of a caller that go to an upstream. */
export function forwardHeaders(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {};
  const named = connectionOptions(headers.connection);
  for (const [name, value] of Object.entries(headers)) {
    const isOurs = CALLERS.has(name) || CALLERS_PREFIXES.some((prefix) => name.startsWith(prefix));
    if (value === undefined || isOurs || CONNECTION.has(name) || named.has(name)) continue;
    if (name === "accept-encoding") continue;
    kept[name] = requireValue(name, typeof value === "string" ? value : value.join(", "));
  }
  if (Object.keys(kept).length > MAX_HEADERS)
    throw new TrustWardenError("request_malformed", { reason: "headers" });
  // What cannot be read cannot be searched for a secret that must not come back.
  return { ...kept, "accept-encoding": "identity" };
}

/** Headers of an upstream's answer that go to the caller. */
export function answerHeaders(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {};
  const named = connectionOptions(headers.connection);
  for (const [name, value] of Object.entries(headers)) {
    const isDropped = ANSWERS.has(name) || name.startsWith("trustwarden-") || name.startsWith("proxy-");
    if (value === undefined || isDropped || CONNECTION.has(name) || named.has(name)) continue;
    const text = typeof value === "string" ? value : value.join(", ");
    if (NAME.test(name) && VALUE.test(text) && text.length <= MAX_VALUE_CHARS) kept[name] = text;
  }
  return kept;
}

function connectionOptions(value: string | readonly string[] | undefined): ReadonlySet<string> {
  const text = typeof value === "string" ? value : (value ?? []).join(",");
  return new Set(text.split(",").map((option) => option.trim().toLowerCase()));
}

function requireValue(name: string, value: string): string {
  if (NAME.test(name) && VALUE.test(value) && value.length <= MAX_VALUE_CHARS) return value;
  throw new TrustWardenError("request_malformed", { reason: "header" });
}
