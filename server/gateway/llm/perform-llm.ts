/**
 * Does one call to a model: the request as the caller wrote it, the answer as the provider gives it, chunk by chunk, with the
 * usage read on the way.
 *
 * @see docs/decisions/0022-model-calls.md
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { forwardHeaders } from "@trustwarden/core/gateway/headers.ts";
import type { LlmCall, LlmDialect } from "@trustwarden/core/gateway/llm-call.ts";
import { boundCost, costOfUsage, type TokenUsage, tokensOf } from "@trustwarden/core/gateway/llm-cost.ts";
import { type LlmSettings, parseLlmSettings } from "@trustwarden/core/gateway/llm-settings.ts";
import { readLlmCall } from "@trustwarden/core/gateway/plan-llm.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";
import { parseJson } from "@trustwarden/core/json.ts";
import { dataOfEvent, EventSplitter } from "../event-stream.ts";
import { HeldEvents } from "../held-events.ts";
import type { AllowedCall, UpstreamAnswer } from "../ports.ts";
import { describeUpstream } from "../upstreams.ts";
import { readWhole } from "../whole-answer.ts";
import { cutModelList } from "./list-models.ts";
import { prepareBody } from "./request-body.ts";
import { textDeltasOf } from "./text-deltas.ts";
import { findUsage, joinUsage } from "./usage.ts";

/** A whole answer that is larger passes, but its usage is not looked for: what was reserved is charged. */
const MAX_READ_BYTES = 16_777_216;
/** Whose account at the provider is used is the operator's business. */
const ACCOUNT_HEADERS: ReadonlySet<string> = new Set(["openai-organization", "openai-project"]);

/** What is learned of an answer while it passes. */
interface Passing {
  bytes: number;
  usage: TokenUsage | undefined;
  /** The head of the provider's answer is here. */
  isAnswered: boolean;
  /** The usage is known to be the last word. */
  isWhole: boolean;
}

/** @throws TrustWardenError the codes of the upstream and of the call's end. */
export async function performLlm(dialect: LlmDialect, call: AllowedCall): Promise<void> {
  const { arrival, client, signal } = call;
  const { request, upstream, progress } = arrival;
  const settings = parseLlmSettings(upstream.settings);
  const llm = readLlmCall(dialect, describeUpstream(upstream), request);
  const { bytes, stripsUsage } = prepareBody(llm, request.body, settings);
  const passing: Passing = { bytes: 0, usage: undefined, isAnswered: false, isWhole: false };
  try {
    const sent = { method: request.method, path: request.target.text, headers: headersOf(call), body: bytes };
    const answer = await client.request(sent);
    passing.isAnswered = true;
    await passAnswer(call, { llm, answer, passing, stripsUsage });
    passing.isWhole = true;
  } catch (error) {
    // A provider that never answered has done nothing; one that broke off, or was left waiting, may have done all of it.
    const isUnreached = error instanceof TrustWardenError && error.code === "upstream_unreachable";
    if (isUnreached && !passing.isAnswered && !signal.aborted) passing.usage = NO_USAGE;
    throw error;
  } finally {
    progress.usage = chargeOf({ llm, settings, passing, requestBytes: request.body.length });
  }
}

const NO_USAGE: TokenUsage = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 };

function headersOf({ arrival }: AllowedCall): Readonly<Record<string, string>> {
  const headers = Object.entries(forwardHeaders(arrival.headers));
  return Object.fromEntries(headers.filter(([name]) => !ACCOUNT_HEADERS.has(name)));
}

async function passAnswer(
  call: AllowedCall,
  parts: {
    readonly llm: LlmCall;
    readonly answer: UpstreamAnswer;
    readonly passing: Passing;
    readonly stripsUsage: boolean;
  },
): Promise<void> {
  const { llm, answer, passing, stripsUsage } = parts;
  const isError = answer.status >= 400;
  if (llm.operation.name === "models" && !isError) return passModels(call, answer, passing);
  await call.begin(answer.status, answer.headers);
  if (isError) passing.usage = NO_USAGE;
  const isStream = answer.headers["content-type"]?.startsWith("text/event-stream") === true;
  if (isStream) {
    await passEvents(call, answer, { passing, stripsUsage });
    return call.end();
  }
  const whole = await passWhole(call, answer, { passing, isRead: !isError });
  try {
    await call.end();
  } finally {
    // The caller does not wait for what only its budget is about.
    const value = whole === null ? undefined : readJson(new TextDecoder().decode(whole));
    if (value !== undefined) passing.usage = findUsage(value);
  }
}

async function passEvents(
  call: AllowedCall,
  { body }: UpstreamAnswer,
  { passing, stripsUsage }: { readonly passing: Passing; readonly stripsUsage: boolean },
): Promise<void> {
  const splitter = new EventSplitter();
  const held = new HeldEvents(call.client.watchText(), textDeltasOf);
  for await (const part of body) {
    const events = splitter.push(part).filter((event) => !(noteEvent(event, passing) && stripsUsage));
    for (const event of events) await held.push(event);
    // Whole events only: what is left over follows with its end.
    const ready = held.take();
    if (ready.length > 0) await write(call, ready, passing);
  }
  await held.push(splitter.end());
  const rest = held.rest();
  if (rest.length > 0) await write(call, rest, passing);
}

/** Reads the usage of an event. @returns whether the event is there for its usage alone. */
function noteEvent(event: Uint8Array, passing: Passing): boolean {
  // Most events are a word of text; only those that speak of usage are worth reading.
  if (!Buffer.from(event.buffer, event.byteOffset, event.length).includes('"usage"')) return false;
  const data = dataOfEvent(event);
  const value = data === undefined ? undefined : readJson(data);
  if (value === undefined) return false;
  const usage = findUsage(value);
  if (usage === undefined) return false;
  passing.usage = joinUsage(passing.usage, usage);
  return JSON.stringify(value).includes('"choices":[]');
}

/** @returns the answer, where its usage is to be looked for. */
async function passWhole(
  call: AllowedCall,
  { body }: UpstreamAnswer,
  { passing, isRead }: { readonly passing: Passing; readonly isRead: boolean },
): Promise<Uint8Array | null> {
  const kept = new GrowingBytes();
  for await (const part of body) {
    if (isRead && kept.length + part.length <= MAX_READ_BYTES) kept.add(part);
    await write(call, part, passing);
  }
  return isRead && passing.bytes <= MAX_READ_BYTES ? kept.view() : null;
}

async function passModels(call: AllowedCall, answer: UpstreamAnswer, passing: Passing): Promise<void> {
  const list = await readWhole(answer, MAX_READ_BYTES);
  const { agent } = call.caller;
  const cut = cutModelList(list, { agent, upstream: call.arrival.upstream.name });
  await call.begin(answer.status, answer.headers);
  await write(call, cut, passing);
  await call.end();
}

async function write(call: AllowedCall, part: Uint8Array, passing: Passing): Promise<void> {
  passing.bytes += part.length;
  await call.write(part);
}

/** What a provider writes is for the caller to judge; what does not parse says nothing of its usage. */
function readJson(text: string) {
  try {
    return parseJson(text, MAX_READ_BYTES);
  } catch (error) {
    // Safe: without usage more is charged, not less.
    if (error instanceof TrustWardenError) return undefined;
    throw error;
  }
}

/** Null: all that was reserved. */
function chargeOf(parts: {
  readonly llm: LlmCall;
  readonly settings: LlmSettings;
  readonly passing: Passing;
  readonly requestBytes: number;
}): { readonly tokens: number; readonly microUsd: number | null } | null {
  const { llm, settings, passing, requestBytes } = parts;
  if (llm.model === null || llm.body === null) return { tokens: 0, microUsd: 0 };
  const price = settings.prices.get(llm.model);
  const { usage } = passing;
  const isCounted = usage !== undefined && (passing.isWhole || usage.output > 1 || usage === NO_USAGE);
  if (isCounted) return { tokens: tokensOf(usage), microUsd: costOfUsage(usage, price) };
  // Nothing came, or it is not known what: the reservation stands, unless it had no bound.
  const bound = boundCost(llm, requestBytes, settings);
  if (Number.isFinite(bound.tokens)) return null;
  const seen = { ...NO_USAGE, input: requestBytes, output: passing.bytes };
  return { tokens: tokensOf(seen), microUsd: costOfUsage(seen, price) };
}
