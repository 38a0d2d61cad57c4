/**
 * What a call to a model costs: at most, before it, and really, after it.
 *
 * Before: no tokenizer is the provider's own, but every one of them needs at least a byte for a token, so a request of n bytes
 * has at most n tokens and what the provider adds. After: the provider's own count.
 */
import type { CostBound } from "./budget.ts";
import type { LlmCall } from "./llm-call.ts";
import type { LlmSettings, ModelPrice } from "./llm-settings.ts";

/** What providers add to a request of their own, such as the preamble that explains tools. */
const ADDED_TOKENS = 2048;
const MILLION = 1_000_000;

/** Tokens as a provider counted them. */
export interface TokenUsage {
  /** Neither read from a cache nor written to one. */
  readonly input: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
  readonly output: number;
}

/** @param bytes - of the request's body. */
export function boundCost(call: LlmCall, bytes: number, settings: LlmSettings): CostBound {
  if (call.model === null || call.body === null || isFree(call)) return { tokens: 0, microUsd: 0 };
  const price = settings.prices.get(call.model);
  const input = call.hostedTools.length > 0 ? Number.POSITIVE_INFINITY : bytes + ADDED_TOKENS;
  const output = call.maxOutputTokens ?? price?.maxOutputTokens ?? Number.POSITIVE_INFINITY;
  return {
    tokens: input + output,
    microUsd: price === undefined ? null : costOf({ ...dearestInput(call, input, price), output }, price),
  };
}

/** Real cost, rounded up; null when the model has no price. */
export function costOfUsage(usage: TokenUsage, price: ModelPrice | undefined): number | null {
  return price === undefined ? null : costOf(usage, price);
}

export function tokensOf({ input, cachedInput, cacheWrite, output }: TokenUsage): number {
  return input + cachedInput + cacheWrite + output;
}

/** Counting tokens is not charged by anybody. */
function isFree({ operation }: LlmCall): boolean {
  return operation.name === "count_tokens";
}

/** Only one family charges for what it puts into its cache. */
function dearestInput({ operation }: LlmCall, tokens: number, price: ModelPrice): Omit<TokenUsage, "output"> {
  return operation.name === "messages" && price.cacheWrite > price.input
    ? { input: 0, cachedInput: 0, cacheWrite: tokens }
    : { input: tokens, cachedInput: 0, cacheWrite: 0 };
}

function costOf(usage: TokenUsage, price: ModelPrice): number {
  const parts =
    times(usage.input, price.input) +
    times(usage.cachedInput, price.cachedInput) +
    times(usage.cacheWrite, price.cacheWrite) +
    times(usage.output, price.output);
  return Math.ceil(parts / MILLION);
}

/** Infinite tokens at no price cost nothing; multiplied they would be no number. */
function times(tokens: number, price: number): number {
  return price === 0 ? 0 : tokens * price;
}
