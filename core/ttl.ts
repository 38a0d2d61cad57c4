/**
 * Lifetimes as people write them: `30s`, `10m`, `1h`, `7d`.
 *
 * One number, one unit, one spelling. Signs, fractions, exponents, spaces and leading zeros are refused rather than
 * guessed at: a lifetime that two readers understand differently is an identity that outlives its owner's intention.
 */
import { TrustWardenError } from "./error.ts";

/** Ten years (3650 days) and more is a typing error or an attack, never a lifetime. */
const TOO_LONG_SECONDS = 315_360_000;
const TTL = /^([1-9][0-9]{0,8})([smhd])$/;
const SECONDS_OF = new Map([
  ["s", 1],
  ["m", 60],
  ["h", 3600],
  ["d", 86_400],
]);

/**
 * Seconds of a lifetime text.
 *
 * @throws TrustWardenError `ttl_malformed`.
 */
export function parseTtl(text: string): number {
  const match = TTL.exec(text);
  const unitSeconds = SECONDS_OF.get(match?.[2] ?? "");
  if (match === null || unitSeconds === undefined) throw new TrustWardenError("ttl_malformed");
  const ttlSeconds = Number(match[1]) * unitSeconds;
  requireTtlSeconds(ttlSeconds);
  return ttlSeconds;
}

/**
 * Refuses a number that is no lifetime: zero, negative, fractional, not finite, ten years or more.
 *
 * @throws TrustWardenError `ttl_malformed`.
 */
export function requireTtlSeconds(ttlSeconds: number): void {
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds <= 0 || ttlSeconds >= TOO_LONG_SECONDS) {
    throw new TrustWardenError("ttl_malformed");
  }
}
