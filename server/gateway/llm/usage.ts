/**
 * What a provider says of the tokens that a call used, in each of the vendors' spellings.
 *
 * Numbers that make no sense count as not said: then what was reserved is charged.
 */
import type { TokenUsage } from "@trustwarden/core/gateway/llm-cost.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

/** More than any call uses; keeps sums exact. */
const MAX_TOKENS = 1_000_000_000;

/** The usage in a whole answer or in one event of a stream; undefined when there is none. */
export function findUsage(value: Json): TokenUsage | undefined {
  if (!isJsonObject(value)) return undefined;
  const usage = [value.usage, memberOf(value.response, "usage"), memberOf(value.message, "usage")].find(
    isObject,
  );
  return usage === undefined ? undefined : readUsage(usage);
}

/** What two events of one stream say together: a later word counts, member by member, where it says something. */
export function joinUsage(before: TokenUsage | undefined, later: TokenUsage): TokenUsage {
  if (before === undefined) return later;
  return {
    input: Math.max(before.input, later.input),
    cachedInput: Math.max(before.cachedInput, later.cachedInput),
    cacheWrite: Math.max(before.cacheWrite, later.cacheWrite),
    output: Math.max(before.output, later.output),
  };
}

/** Anthropic counts cached tokens beside the input, OpenAI within it. */
function readUsage(usage: JsonObject): TokenUsage {
  const details = usage.prompt_tokens_details ?? usage.input_tokens_details;
  const within = countOf(memberOf(details, "cached_tokens"));
  const cacheRead = countOf(usage.cache_read_input_tokens);
  const input = countOf(usage.prompt_tokens ?? usage.input_tokens);
  return {
    input: Math.max(0, input - within),
    cachedInput: within + cacheRead,
    cacheWrite: countOf(usage.cache_creation_input_tokens),
    output: countOf(usage.completion_tokens ?? usage.output_tokens),
  };
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  return isJsonObject(value) ? value[name] : undefined;
}

function isObject(value: Json | undefined): value is JsonObject {
  return isJsonObject(value);
}

function countOf(value: Json | undefined): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : 0;
}
