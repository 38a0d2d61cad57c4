/**
 * The members that only enrolment documents have: scopes, limits, lifetimes and identifiers of owners. The reading of
 * the document as a whole is `core/fields.ts`; which members a document has is in `enrolment.ts`.
 */
import type { Fields } from "../fields.ts";
import type { Json } from "../json.ts";
import { parseScope, type Scope } from "../scope.ts";
import { requireTtlSeconds } from "../ttl.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

/** Deeper trees or wider families than any owner means; also the bound of every walk along a chain. */
const MAX_DEPTH = 32;
const MAX_FAN_OUT = 1_000_000;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const OWNER_ID = /^own_[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Limits of an instance as they are signed. */
export interface SignedLimits {
  /** Generations below this instance that may still be made. */
  readonly depth: number;
  /** Live direct children. */
  readonly fan_out: number;
  /** Integer units; null is unlimited. */
  readonly budget: number | null;
}

/** The codes that a malformed document is refused with. */
export type MalformedCode =
  | "ticket_invalid"
  | "grant_invalid"
  | "possession_invalid"
  | "join_token_invalid"
  | "request_malformed";

/** A ULID in its one spelling. */
export function readUlid(fields: Fields, name: string): string {
  return fields.matching(name, ULID);
}

/** `own_<ulid>` */
export function readOwnerId(fields: Fields, name: string): string {
  return fields.matching(name, OWNER_ID);
}

/** @throws TrustWardenError `spiffe_id_malformed` besides the document's code. */
export function readSpiffeId(fields: Fields, name: string): SpiffeId {
  return parseSpiffeId(fields.text(name));
}

/** @throws TrustWardenError `ttl_malformed` besides the document's code. */
export function readTtlSeconds(fields: Fields, name: string): number {
  const value = fields.integer(name);
  requireTtlSeconds(value);
  return value;
}

/**
 * A scope in canonical form: a signed set has one spelling.
 *
 * @throws TrustWardenError `scope_malformed` besides the document's code.
 */
export function readScope(fields: Fields, name: string): Scope {
  const value = fields.take(name);
  if (!Array.isArray(value)) return fields.refuse(name);
  const scope = parseScope(
    value.map((atom: Json) => (typeof atom === "string" ? atom : fields.refuse(name))),
  );
  const isCanonical = scope.length === value.length && scope.every((atom, index) => atom === value[index]);
  return isCanonical ? scope : fields.refuse(name);
}

/** Depth, fan-out and budget. */
export function readLimits(fields: Fields, name: string): SignedLimits {
  const members = fields.object(name);
  const limits = {
    depth: members.integer("depth", MAX_DEPTH),
    fan_out: members.integer("fan_out", MAX_FAN_OUT),
    budget: members.integerOrNull("budget"),
  };
  members.end();
  return limits;
}
