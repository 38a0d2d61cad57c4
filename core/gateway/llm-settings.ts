/**
 * What an operator says of a model API: prices, and what its requests may reach for.
 *
 * Public to agents, who plan with it. Closed: a misspelt member must not leave a limit out. There are no prices built in:
 * they are the operator's data, with a date and a source, since a stale price is a budget that does not hold.
 */
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import { type Disclosure, parseDisclosure } from "./disclosure.ts";

const MAX_MODELS = 1000;
const MAX_TOOLS = 64;
/** 1,000 USD a token; keeps every product below 2^53. */
const MAX_PRICE = 1_000_000_000_000;
const MAX_TOKENS = 100_000_000;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TOOL = /^[A-Za-z0-9_.:-]{1,64}$/;

/** Micro-USD for a million tokens. */
export interface ModelPrice {
  readonly input: number;
  /** Tokens that the provider had in its cache. */
  readonly cachedInput: number;
  /** Tokens that it puts there. */
  readonly cacheWrite: number;
  readonly output: number;
  /** The most that one answer of the model can hold; null when the operator does not say. */
  readonly maxOutputTokens: number | null;
}

/** Settings of an upstream of kind `openai` or `anthropic`. */
export interface LlmSettings {
  /** By model as requests name it. */
  readonly prices: ReadonlyMap<string, ModelPrice>;
  /** Tools that the provider may run, by type. */
  readonly hostedTools: readonly string[];
  /** Whether requests may name addresses for the provider to fetch. */
  readonly remoteContent: boolean;
  /** Whether requests may read and leave state in the provider's account. */
  readonly storedState: boolean;
  /** Of prompts and answers. */
  readonly disclose: Disclosure;
}

/** Settings by the object they were read of, which never changes. */
const known = new WeakMap<object, LlmSettings>();

/** @throws TrustWardenError `upstream_malformed`. */
export function parseLlmSettings(json: JsonObject): LlmSettings {
  const before = known.get(json);
  if (before !== undefined) return before;
  requireMembers(json, ["prices", "hosted_tools", "remote_content", "stored_state", "disclose"]);
  const settings: LlmSettings = {
    prices: parsePrices(json.prices),
    hostedTools: parseTools(json.hosted_tools),
    remoteContent: parseSwitch(json.remote_content, "remote_content"),
    storedState: parseSwitch(json.stored_state, "stored_state"),
    disclose: parseDisclosure(json.disclose),
  };
  known.set(json, settings);
  return settings;
}

function parsePrices(json: Json | undefined): LlmSettings["prices"] {
  if (json === undefined) return new Map();
  if (!isJsonObject(json)) return refuse("prices");
  requireMembers(json, ["as_of", "source", "models"]);
  const { as_of: asOf, source, models } = json;
  if (typeof asOf !== "string" || !DATE.test(asOf)) refuse("prices.as_of");
  if (typeof source !== "string" || source.length === 0 || source.length > 512) refuse("prices.source");
  if (!isJsonObject(models) || Object.keys(models).length > MAX_MODELS) return refuse("prices.models");
  return new Map(Object.entries(models).map(([model, price]) => [model, parsePrice(price)]));
}

function parsePrice(json: Json): ModelPrice {
  if (!isJsonObject(json)) return refuse("price");
  requireMembers(json, ["input", "cached_input", "cache_write", "output", "max_output_tokens"]);
  const input = parseCount(json.input, MAX_PRICE);
  return {
    input,
    output: parseCount(json.output, MAX_PRICE),
    // What is not said is taken as dear as it may be: no discount, and the dearest write that providers ask.
    cachedInput: json.cached_input === undefined ? input : parseCount(json.cached_input, MAX_PRICE),
    cacheWrite: json.cache_write === undefined ? input * 2 : parseCount(json.cache_write, MAX_PRICE),
    maxOutputTokens:
      json.max_output_tokens === undefined ? null : parseCount(json.max_output_tokens, MAX_TOKENS),
  };
}

function parseTools(json: Json | undefined): readonly string[] {
  if (json === undefined) return [];
  if (!Array.isArray(json) || json.length > MAX_TOOLS) return refuse("hosted_tools");
  return json.map((tool: Json) =>
    typeof tool === "string" && TOOL.test(tool) ? tool : refuse("hosted_tools"),
  );
}

function parseSwitch(json: Json | undefined, field: string): boolean {
  if (json === undefined) return false;
  return typeof json === "boolean" ? json : refuse(field);
}

function parseCount(json: Json | undefined, most: number): number {
  return typeof json === "number" && Number.isSafeInteger(json) && json >= 0 && json <= most
    ? json
    : refuse("number");
}

function requireMembers(json: JsonObject, names: readonly string[]): void {
  if (!Object.keys(json).every((key) => names.includes(key))) refuse("an unknown member");
}

function refuse(field: string): never {
  throw new TrustWardenError("upstream_malformed", { field });
}
