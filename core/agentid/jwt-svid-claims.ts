/**
 * The claims of a JWT-SVID: their types, audience and lifetime.
 *
 * Pure values: the signature is checked in `jwt-svid.ts`, and nothing here may be believed before it.
 *
 * @see JWT-SVID §3; RFC 7519 §4.1
 */
import { TrustWardenError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";
import { parseSpiffeId, pathOf, type SpiffeId } from "./spiffe-id.ts";

/** How far the issuer's clock may be ahead of ours; `exp` has no leeway. */
const CLOCK_SKEW_SECONDS = 10;
/** Longer-lived tokens are refused even when correctly signed: a stolen one must die soon. */
const MAX_LIFETIME_SECONDS = 3600;
const MAX_AUDIENCES = 16;

/** The claims that a JWT-SVID must or may have. Times are Unix seconds. */
export interface JwtClaims {
  /** `sub`. */
  readonly id: SpiffeId;
  /** `aud`, at least one. */
  readonly audience: readonly string[];
  /** `exp`. */
  readonly expiresAt: number;
  /** `nbf`. */
  readonly notBeforeAt: number | undefined;
  /** `iat`. */
  readonly issuedAt: number | undefined;
  readonly issuer: string | undefined;
  readonly jti: string | undefined;
  /** All claims as signed, the ones above included. */
  readonly claims: JsonObject;
}

/**
 * The claims in a JWT's payload.
 *
 * @throws TrustWardenError `svid_malformed` for a missing or ill-typed claim.
 */
export function parseClaims(claims: JsonObject): JwtClaims {
  const expiresAt = parseInstant(claims.exp);
  if (expiresAt === undefined) throw malformed("exp");
  return {
    id: parseSubject(claims.sub),
    audience: parseAudience(claims.aud),
    expiresAt,
    notBeforeAt: parseInstant(claims.nbf),
    issuedAt: parseInstant(claims.iat),
    issuer: parseOptionalText(claims.iss),
    jti: parseOptionalText(claims.jti),
    claims,
  };
}

/**
 * Requires that the token is meant for `audience`.
 *
 * @throws TrustWardenError `svid_audience`.
 * @see JWT-SVID §3.2
 */
export function requireAudience(claims: JwtClaims, audience: string): void {
  if (!claims.audience.includes(audience))
    throw new TrustWardenError("svid_audience", { expected: audience });
}

/**
 * Requires an instant within the token's lifetime, and a lifetime of at most one hour.
 *
 * @param now - Unix seconds; anything that is not a number is outside.
 * @throws TrustWardenError `svid_expired`, `svid_not_yet_valid` or `svid_too_long_lived`.
 * @see JWT-SVID §3.3
 */
export function requireWithinLifetime({ expiresAt, issuedAt, notBeforeAt }: JwtClaims, now: number): void {
  if (!(now < expiresAt)) throw new TrustWardenError("svid_expired", { expiresAt, now });
  const startsAt = Math.max(issuedAt ?? Number.NEGATIVE_INFINITY, notBeforeAt ?? Number.NEGATIVE_INFINITY);
  if (!(now >= startsAt - CLOCK_SKEW_SECONDS))
    throw new TrustWardenError("svid_not_yet_valid", { startsAt, now });
  if (expiresAt - (issuedAt ?? now) > MAX_LIFETIME_SECONDS) {
    throw new TrustWardenError("svid_too_long_lived", { expiresAt, now });
  }
}

/** `sub` of a JWT-SVID or WIT-SVID. @throws TrustWardenError `svid_malformed`. */
export function parseSubject(sub: Json | undefined): SpiffeId {
  if (typeof sub !== "string") throw malformed("sub");
  let id: SpiffeId;
  try {
    id = parseSpiffeId(sub);
  } catch (cause) {
    throw new TrustWardenError("svid_malformed", { reason: "sub" }, { cause });
  }
  if (pathOf(id) === "") throw malformed("sub without a path");
  return id;
}

/** RFC 7519 allows one text or a list of them. */
function parseAudience(aud: Json | undefined): readonly string[] {
  const list: readonly (Json | undefined)[] = isList(aud) ? aud : [aud];
  if (list.length === 0 || list.length > MAX_AUDIENCES) throw malformed("aud");
  return list.map((value) => {
    if (typeof value !== "string" || value === "") throw malformed("aud");
    return value;
  });
}

/** Whole seconds only: 1e400 is infinite and a text is not a time. @throws TrustWardenError `svid_malformed`. */
export function parseInstant(value: Json | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed("time");
  return value;
}

/** @throws TrustWardenError `svid_malformed`. */
export function parseOptionalText(value: Json | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw malformed("text");
  return value;
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("svid_malformed", { reason });
}
