/**
 * Reads the members of one signed enrolment document, once each and closed: whatever is not read is refused, so that
 * nothing rides along unseen under a signature. Which members a document has is the business of `enrolment.ts`.
 */
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import { parseScope, type Scope } from "../scope.ts";
import { requireTtlSeconds } from "../ttl.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

const MAX_TEXT_CHARS = 2048;
/** Deeper trees or wider families than any owner means; also the bound of every walk along a chain. */
const MAX_DEPTH = 32;
const MAX_FAN_OUT = 1_000_000;
const DIGEST = /^[A-Za-z0-9_-]{43}$/;
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
export type MalformedCode = "ticket_invalid" | "grant_invalid" | "possession_invalid" | "request_malformed";

/** Lives for the parse of one document; `end` must be called last. */
export class Members {
  readonly #json: JsonObject;
  readonly #code: MalformedCode;
  readonly #read = new Set<string>();

  constructor(json: JsonObject, code: MalformedCode) {
    this.#json = json;
    this.#code = code;
  }

  version(): 1 {
    return this.#take("v") === 1 ? 1 : this.#refuse("v");
  }

  literal<T extends string>(name: string, expected: T): T {
    return this.#take(name) === expected ? expected : this.#refuse(name);
  }

  /** Non-empty unless `allowEmpty` names the one text that may be. */
  text(name: string, { maxChars = MAX_TEXT_CHARS, allowEmpty = false } = {}): string {
    const value = this.#take(name);
    if (typeof value !== "string" || value.length > maxChars) return this.#refuse(name);
    return value === "" && !allowEmpty ? this.#refuse(name) : value;
  }

  digest(name: string): string {
    return this.#matching(name, DIGEST);
  }

  ulid(name: string): string {
    return this.#matching(name, ULID);
  }

  ownerId(name: string): string {
    return this.#matching(name, OWNER_ID);
  }

  integer(name: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value)) return this.#refuse(name);
    return value < 0 || value > max ? this.#refuse(name) : value;
  }

  /** @throws TrustWardenError `spiffe_id_malformed` besides the document's code. */
  spiffeId(name: string): SpiffeId {
    return parseSpiffeId(this.text(name));
  }

  /** @throws TrustWardenError `ttl_malformed` besides the document's code. */
  ttlSeconds(name: string): number {
    const value = this.integer(name);
    requireTtlSeconds(value);
    return value;
  }

  /**
   * A scope in canonical form: a signed set has one spelling.
   *
   * @throws TrustWardenError `scope_malformed` besides the document's code.
   */
  scope(name: string): Scope {
    const value = this.#take(name);
    if (!Array.isArray(value)) return this.#refuse(name);
    const scope = parseScope(
      value.map((atom: Json) => (typeof atom === "string" ? atom : this.#refuse(name))),
    );
    const isCanonical = scope.length === value.length && scope.every((atom, index) => atom === value[index]);
    return isCanonical ? scope : this.#refuse(name);
  }

  limits(name: string): SignedLimits {
    const value = this.#take(name);
    if (!isJsonObject(value)) return this.#refuse(name);
    const members = new Members(value, this.#code);
    const limits = {
      depth: members.integer("depth", MAX_DEPTH),
      fan_out: members.integer("fan_out", MAX_FAN_OUT),
      budget: value.budget === null ? members.null("budget") : members.integer("budget"),
    };
    members.end();
    return limits;
  }

  null(name: string): null {
    return this.#take(name) === null ? null : this.#refuse(name);
  }

  end(): void {
    const unknown = Object.keys(this.#json).find((name) => !this.#read.has(name));
    if (unknown !== undefined) this.#refuse(unknown.slice(0, 64));
  }

  #matching(name: string, pattern: RegExp): string {
    const value = this.text(name);
    return pattern.test(value) ? value : this.#refuse(name);
  }

  #take(name: string): Json | undefined {
    this.#read.add(name);
    return Object.hasOwn(this.#json, name) ? this.#json[name] : undefined;
  }

  #refuse(field: string): never {
    throw new TrustWardenError(this.#code, { field });
  }
}
