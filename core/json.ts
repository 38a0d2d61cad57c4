/**
 * JSON at a trust boundary: parse once, strictly, with limits; write canonically (RFC 8785).
 *
 * `JSON.parse` silently keeps the last of two equal keys, so two readers can see two different documents in the same
 * bytes. `parseJson` refuses duplicates, depth and size before anything looks at the value.
 */
import canonicalize from "canonicalize";
import { encodeUtf8 } from "./bytes.ts";
import { TrustWardenError } from "./error.ts";

/** Deeper documents than any of our formats. */
const MAX_DEPTH = 32;
/** Larger than any body we accept anywhere. */
const DEFAULT_MAX_CHARS = 1_048_576;

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json };

/**
 * A JSON value from untrusted text.
 *
 * @throws TrustWardenError `request_too_large`, `json_malformed`, `json_duplicate_key` or `json_too_deep`.
 */
export function parseJson(text: string, maxChars: number = DEFAULT_MAX_CHARS): Json {
  if (text.length > maxChars)
    throw new TrustWardenError("request_too_large", { chars: text.length, maxChars });
  requireUniqueKeysAndDepth(text);
  const value = parseText(text);
  requireWritable(value);
  return value;
}

/**
 * A JSON object from untrusted text.
 *
 * @throws TrustWardenError as `parseJson`, and `json_malformed` for any other value.
 */
export function parseJsonObject(text: string, maxChars: number = DEFAULT_MAX_CHARS): JsonObject {
  const value = parseJson(text, maxChars);
  if (!isJsonObject(value)) throw new TrustWardenError("json_malformed", { reason: "not an object" });
  return value;
}

/**
 * A JSON object from untrusted text that has to be written canonically.
 *
 * What the engine reads and writes again as the same text, members in order, has no key twice: that is told without
 * looking at every character, and everything else is read slowly, for the code of its refusal.
 *
 * @returns null for an object in another spelling.
 * @throws TrustWardenError as `parseJsonObject`.
 */
export function parseCanonicalObject(text: string, maxChars: number): JsonObject | null {
  if (text.length <= maxChars) {
    const value = readCanonical(text);
    if (value !== undefined) return value;
  }
  const value = parseJsonObject(text, maxChars);
  // The engine keeps members that look like numbers in an order of its own, so only the slow writer knows their form.
  return formatCanonicalJson(value) === text ? value : null;
}

/** Undefined for whatever is not a canonical object without doubt. */
function readCanonical(text: string): JsonObject | undefined {
  let value: Json;
  try {
    value = parseText(text);
  } catch {
    // Safe: the caller reads it again, strictly, and refuses it there.
    return undefined;
  }
  if (!isJsonObject(value) || !isOrdered(value, MAX_DEPTH)) return undefined;
  // The engine writes half a surrogate pair as its escape, and a number that reads as infinite as null: neither comes
  // through as it was, but for an escape that was written as such.
  return !text.includes("\\ud") && JSON.stringify(value) === text ? value : undefined;
}

/** Whether the members of all objects in a value, within a depth, are in the order of the canonical form. */
function isOrdered(value: readonly Json[] | JsonObject, depth: number): boolean {
  if (depth === 0) return false;
  if (isArray(value)) return value.every((item) => !isStructure(item) || isOrdered(item, depth - 1));
  let previous: string | undefined;
  for (const key of Object.keys(value)) {
    if (previous !== undefined && previous >= key) return false;
    const member = value[key];
    if (isStructure(member) && !isOrdered(member, depth - 1)) return false;
    previous = key;
  }
  return true;
}

function isStructure(value: Json | undefined): value is readonly Json[] | JsonObject {
  return typeof value === "object" && value !== null;
}

/** Whether a JSON value is an object (not an array, not null). */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The RFC 8785 (JCS) text of a value; equal values give equal bytes in every language. */
export function formatCanonicalJson(value: Json): string {
  // The engine's own writer is several times as fast; what was parsed from canonical text is in order already.
  if (isInCanonicalOrder(value)) return JSON.stringify(value);
  const sorted = sortMembers(value);
  const text = isInCanonicalOrder(sorted) ? JSON.stringify(sorted) : canonicalize(value);
  if (text === undefined) throw new Error("a JSON value always has a canonical form");
  return text;
}

/** UTF-8 bytes of `formatCanonicalJson`. */
export function encodeCanonicalJson(value: Json): Uint8Array {
  return encodeUtf8(formatCanonicalJson(value));
}

/**
 * Whether `JSON.stringify` writes the canonical form: members in the order of their UTF-16 code units, as they will be
 * enumerated, and nothing in it that has no canonical form.
 */
function isInCanonicalOrder(value: Json): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return typeof value === "boolean" || value === null;
  if (Array.isArray(value)) return value.every(isInCanonicalOrder);
  let previous: string | undefined;
  for (const [key, member] of Object.entries(value)) {
    if ((previous !== undefined && previous >= key) || !key.isWellFormed() || !isInCanonicalOrder(member))
      return false;
    previous = key;
  }
  return true;
}

/** The same value with its members in order, as far as an object keeps the order that it was made in (numbers do not). */
function sortMembers(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (isArray(value)) return value.map(sortMembers);
  const members = Object.entries(value).map(([key, member]): [string, Json] => [key, sortMembers(member)]);
  // Compares UTF-16 code units, as the canonical form does. Own members only, so `__proto__` is one like any other.
  return Object.fromEntries(members.sort(([left], [right]) => (left < right ? -1 : 1)));
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

function parseText(text: string): Json {
  try {
    // The one cast of this parser: JSON.parse yields exactly the `Json` type.
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new TrustWardenError("json_malformed", {}, { cause });
  }
}

/** Refuses what has no canonical form: a number that reads as infinite, half a surrogate pair (RFC 7493 §2.1, §2.2). */
function requireWritable(value: Json): void {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TrustWardenError("json_malformed", { reason: "number too large" });
  }
  if (typeof value === "string" && !value.isWellFormed()) {
    throw new TrustWardenError("json_malformed", { reason: "lone surrogate" });
  }
  if (typeof value !== "object" || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    requireWritable(key);
    requireWritable(member);
  }
}

/** Scans the text once for duplicate keys (compared after unescaping) and for depth; grammar is left to JSON.parse. */
function requireUniqueKeysAndDepth(text: string): void {
  /** Keys seen in each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  let index = 0;
  while (index < text.length) {
    if (text[index] === '"') {
      const end = endOfString(text, index);
      const keys = open.at(-1);
      if (keys && isFollowedByColon(text, end)) addKey(keys, text.slice(index, end));
      index = end;
    } else {
      trackDepth(open, text[index]);
      index += 1;
    }
  }
}

function trackDepth(open: (Set<string> | null)[], char: string | undefined): void {
  if (char === "{") open.push(new Set());
  else if (char === "[") open.push(null);
  else if (char === "}" || char === "]") open.pop();
  if (open.length > MAX_DEPTH) throw new TrustWardenError("json_too_deep", { maxDepth: MAX_DEPTH });
}

/** Index just after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1);
  while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
  if (quote === -1) throw new TrustWardenError("json_malformed", { reason: "unterminated string" });
  return quote + 1;
}

/** Whether an odd number of backslashes stands before a quote; the one that opened the string ends the count. */
function isEscaped(text: string, quote: number): boolean {
  let index = quote - 1;
  while (text[index] === "\\") index -= 1;
  return (quote - index) % 2 === 0;
}

function isFollowedByColon(text: string, from: number): boolean {
  let index = from;
  while (index < text.length && /[ \t\r\n]/.test(text[index] ?? "")) index += 1;
  return text[index] === ":";
}

function addKey(keys: Set<string>, quoted: string): void {
  const key = quoted.includes("\\") ? unescapeText(quoted) : quoted.slice(1, -1);
  if (keys.has(key)) throw new TrustWardenError("json_duplicate_key");
  keys.add(key);
}

function unescapeText(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch (cause) {
    throw new TrustWardenError("json_malformed", { reason: "bad key" }, { cause });
  }
}
