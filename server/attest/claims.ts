/**
 * Reads single claims of a verified document, and makes selectors of them.
 *
 * The documents are other people's and grow members over the years, so unknown ones are passed over; the ones that are
 * read must have the type that their issuer documents.
 */
import { parseSelectors, type Selector, type SelectorType } from "@trustwarden/core/agentid/selector.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";
import { refused } from "./refusal.ts";

/** Longer values could not be selectors. */
const MAX_TEXT_CHARS = 1000;

/** A text that must be there and not be empty. @throws TrustWardenError `attestation_refused`. */
export function textOf(claims: JsonObject, name: string): string {
  const text = optionalTextOf(claims, name);
  if (text === undefined) throw refused(`${name} is missing`);
  return text;
}

/**
 * A text that may be missing, null or empty, as issuers variously say "none".
 *
 * @throws TrustWardenError `attestation_refused` for another type, or a longer text than a selector can hold.
 */
export function optionalTextOf(claims: JsonObject, name: string): string | undefined {
  const value = memberOf(claims, name);
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string" || value.length > MAX_TEXT_CHARS)
    throw refused(`${name} is not a short text`);
  return value;
}

/** Decimal text of a whole number that must be there. @throws TrustWardenError `attestation_refused`. */
export function integerTextOf(claims: JsonObject, name: string): string {
  const value = memberOf(claims, name);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw refused(`${name} is not a whole number`);
  }
  return String(value);
}

/** An object that must be there. @throws TrustWardenError `attestation_refused`. */
export function objectOf(claims: JsonObject, name: string): JsonObject {
  const value = optionalObjectOf(claims, name);
  if (value === undefined) throw refused(`${name} is missing`);
  return value;
}

/** An object that may be missing or null. @throws TrustWardenError `attestation_refused` for another type. */
export function optionalObjectOf(claims: JsonObject, name: string): JsonObject | undefined {
  const value = memberOf(claims, name);
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw refused(`${name} is not an object`);
  return value;
}

/** Facts by key; undefined where the document says nothing. */
export type Facts = Readonly<Record<string, string | undefined>>;

/**
 * The canonical selectors `type:key:value` of verified facts.
 *
 * @throws TrustWardenError `attestation_refused` when a fact cannot be a selector, such as one with control characters.
 */
export function selectorsOf(type: SelectorType, facts: Facts): readonly Selector[] {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  try {
    return parseSelectors(known.map(([key, value]) => `${type}:${key}:${value}`));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw refused("a fact cannot be a selector", cause);
  }
}

/** The facts that are known, for the event. */
export function claimsOf(facts: Facts): JsonObject {
  return Object.fromEntries(
    Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

function memberOf(claims: JsonObject, name: string): JsonObject[string] | undefined {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
