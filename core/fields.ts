/**
 * Reads the members of one signed JSON object, once each and closed: whatever is not read is refused, so that nothing
 * rides along unseen under a signature. Which members a document has is the business of its own parser.
 */
import { type ErrorCode, TrustWardenError } from "./error.ts";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";

const MAX_TEXT_CHARS = 2048;
const MAX_ITEMS = 256;
const DIGEST = /^[A-Za-z0-9_-]{43}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Lives for the parse of one object; `end` must be called last. Every method throws the code it was made with. */
export class Fields {
  readonly #json: JsonObject;
  readonly #code: ErrorCode;
  /** Path of this object inside the document, for the refusal's details. */
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(json: JsonObject, code: ErrorCode, path = "") {
    this.#json = json;
    this.#code = code;
    this.#path = path;
  }

  /** The member `v`, which is 1 in every document of ours. */
  version(): 1 {
    return this.take("v") === 1 ? 1 : this.refuse("v");
  }

  /** Exactly one given text. */
  literal<T extends string>(name: string, expected: T): T {
    return this.take(name) === expected ? expected : this.refuse(name);
  }

  /** Text of at most 2048 characters; not empty unless the caller says that it may be. */
  text(name: string, { maxChars = MAX_TEXT_CHARS, allowEmpty = false } = {}): string {
    const value = this.take(name);
    if (typeof value !== "string" || value.length > maxChars) return this.refuse(name);
    return value === "" && !allowEmpty ? this.refuse(name) : value;
  }

  textOrNull(name: string): string | null {
    return this.#json[name] === null ? this.null(name) : this.text(name);
  }

  /** At most 256 texts, each possibly empty. */
  texts(name: string): readonly string[] {
    const value = this.take(name);
    if (!Array.isArray(value) || value.length > MAX_ITEMS) return this.refuse(name);
    return value.map((item: Json) =>
      typeof item === "string" && item.length <= MAX_TEXT_CHARS ? item : this.refuse(name),
    );
  }

  matching(name: string, pattern: RegExp): string {
    const value = this.text(name);
    return pattern.test(value) ? value : this.refuse(name);
  }

  /** base64url of 32 bytes. */
  digest(name: string): string {
    return this.matching(name, DIGEST);
  }

  digestOrNull(name: string): string | null {
    return this.#json[name] === null ? this.null(name) : this.digest(name);
  }

  /** RFC 3339 UTC with milliseconds. */
  time(name: string): string {
    const value = this.matching(name, TIME);
    return Number.isNaN(Date.parse(value)) ? this.refuse(name) : value;
  }

  /** A safe integer from 0 to `max`. */
  integer(name: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.take(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value)) return this.refuse(name);
    return value < 0 || value > max ? this.refuse(name) : value;
  }

  integerOrNull(name: string): number | null {
    return this.#json[name] === null ? this.null(name) : this.integer(name);
  }

  boolean(name: string): boolean {
    const value = this.take(name);
    return typeof value === "boolean" ? value : this.refuse(name);
  }

  null(name: string): null {
    return this.take(name) === null ? null : this.refuse(name);
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.text(name);
    return allowed.find((item) => item === value) ?? this.refuse(name);
  }

  /** The members of an object inside; the caller ends it too. */
  object(name: string): Fields {
    return new Fields(this.json(name), this.#code, `${this.#path}${name}.`);
  }

  /** An object whose members are open. */
  json(name: string): JsonObject {
    const value = this.take(name);
    return isJsonObject(value) ? value : this.refuse(name);
  }

  /** Any own member, marked as read; undefined when there is none. */
  take(name: string): Json | undefined {
    this.#read.add(name);
    return Object.hasOwn(this.#json, name) ? this.#json[name] : undefined;
  }

  /** Refuses whatever was not read. */
  end(): void {
    const unknown = Object.keys(this.#json).find((name) => !this.#read.has(name));
    if (unknown !== undefined) this.refuse(unknown.slice(0, 64));
  }

  refuse(field: string): never {
    throw new TrustWardenError(this.#code, { field: `${this.#path}${field}` });
  }
}
