/**
 * What a request to a model API means: its action, and the facts that policies, budgets and settings look at.
 *
 * Pure, and the same on both sides: the agent's side names in its intent what this says, the gateway holds the intent against
 * what this says of the bytes it got. Parsing is strict where two readers could differ (`json.ts`): no key twice, and every
 * top-level key in lower case, since some servers match names without regard to case and would take `Model` for `model`.
 *
 * @see docs/decisions/0022-model-calls.md
 */
import { type ActionName, parseActionName } from "../action.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import { findContentFacts } from "./llm-content.ts";
import { findHostedTools, listToolNames } from "./llm-tools.ts";

/** The largest request that is read; a prompt with a few images in it. */
export const MAX_LLM_BODY_BYTES = 8_388_608;
const MAX_MODEL_CHARS = 200;
/** More choices of one prompt than any API makes. */
const MAX_CHOICES = 128;
const LOWER_KEY = /^[a-z][a-z0-9_]*$/;
const VISIBLE = /^[\x21-\x7e]+$/;
/** Characters of a model's name that stand for themselves in an action's path; the rest are written `_XX`. */
const PLAIN = /^[A-Za-z0-9.-]$/;

/** The two families of model APIs. */
export type LlmDialect = "openai" | "anthropic";

/** One method of a model API. */
export interface LlmOperation {
  readonly name: string;
  readonly method: "GET" | "POST";
  /** Below the upstream, without a leading slash; a `*` at the end takes one or more segments, a model's name. */
  readonly path: string;
  /** Such as `infer:llm`; the upstream and the model follow as the path. */
  readonly action: "infer:llm" | "list:llm";
}

const CHAT = "v1/chat/completions";

/** Every method that is served, by dialect. Files, batches, stored answers and administration are not. */
export const LLM_OPERATIONS: Readonly<Record<LlmDialect, readonly LlmOperation[]>> = {
  openai: [
    { name: "chat", method: "POST", path: CHAT, action: "infer:llm" },
    { name: "completions", method: "POST", path: "v1/completions", action: "infer:llm" },
    { name: "responses", method: "POST", path: "v1/responses", action: "infer:llm" },
    { name: "embeddings", method: "POST", path: "v1/embeddings", action: "infer:llm" },
    { name: "models", method: "GET", path: "v1/models", action: "list:llm" },
    { name: "model", method: "GET", path: "v1/models/*", action: "list:llm" },
  ],
  anthropic: [
    { name: "messages", method: "POST", path: "v1/messages", action: "infer:llm" },
    { name: "count_tokens", method: "POST", path: "v1/messages/count_tokens", action: "infer:llm" },
    { name: "models", method: "GET", path: "v1/models", action: "list:llm" },
    { name: "model", method: "GET", path: "v1/models/*", action: "list:llm" },
  ],
};

/** What can be said of a request before anybody decides. */
export interface LlmCall {
  readonly operation: LlmOperation;
  readonly action: ActionName;
  /** As the request names it; null for a list. */
  readonly model: string | null;
  /** The parsed body; null without one. */
  readonly body: JsonObject | null;
  readonly isStreamed: boolean;
  /** Upper bound that the request itself sets on the answer, all choices together; null when it sets none. */
  readonly maxOutputTokens: number | null;
  /** Names of the tools that the caller offers. */
  readonly tools: readonly string[];
  /** Types of tools that the provider itself would run, such as `web_search`. */
  readonly hostedTools: readonly string[];
  /** Whether the provider would fetch an address that the request names. */
  readonly hasRemoteContent: boolean;
  /** Whether the request reads or leaves state in the provider's account, which other agents share. */
  readonly usesStoredState: boolean;
}

/**
 * Reads a request to a model API.
 *
 * @param request.rest - path below the upstream, without query and leading slash.
 * @throws TrustWardenError `route_unknown` for a method that is not served, `request_malformed`, `request_too_large` and the
 *   codes of `parseJson`.
 */
export function parseLlmCall(
  dialect: LlmDialect,
  request: {
    readonly upstream: string;
    readonly method: string;
    readonly rest: string;
    readonly body: Uint8Array;
  },
): LlmCall {
  const { upstream, method, rest, body } = request;
  const operation = LLM_OPERATIONS[dialect].find((row) => row.method === method && isPathOf(row.path, rest));
  if (operation === undefined)
    throw new TrustWardenError("route_unknown", { method, path: rest.slice(0, 128) });
  if (operation.method === "GET") return describeList(operation, { upstream, rest, body });
  const parsed = parseBody(body);
  const model = parseModel(parsed.model);
  return {
    operation,
    action: nameOf(operation, upstream, model),
    model,
    body: parsed,
    isStreamed: parsed.stream === true,
    maxOutputTokens: boundOf(operation, parsed),
    tools: listToolNames(parsed),
    hostedTools: findHostedTools(dialect, parsed),
    ...findContentFacts(parsed),
  };
}

/** A model's name as a path of an action: its slashes part segments, what the grammar has no room for is written `_XX`. */
export function formatModelPath(model: string): string {
  return model
    .split("/")
    .map((segment) => Array.from(segment, formatCharacter).join(""))
    .join("/");
}

function formatCharacter(character: string): string {
  if (PLAIN.test(character)) return character;
  return `_${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function isPathOf(path: string, rest: string): boolean {
  if (!path.endsWith("*")) return path === rest;
  const stem = path.slice(0, -1);
  return rest.startsWith(stem) && rest.length > stem.length;
}

function describeList(
  operation: LlmOperation,
  { upstream, rest, body }: { readonly upstream: string; readonly rest: string; readonly body: Uint8Array },
): LlmCall {
  if (body.length > 0) throw malformed("a list takes no body");
  const model = operation.path.endsWith("*") ? parseModel(rest.slice(operation.path.length - 1)) : null;
  return {
    operation,
    action: nameOf(operation, upstream, model),
    model,
    body: null,
    isStreamed: false,
    maxOutputTokens: 0,
    tools: [],
    hostedTools: [],
    hasRemoteContent: false,
    usesStoredState: false,
  };
}

function nameOf({ action }: LlmOperation, upstream: string, model: string | null): ActionName {
  const path = model === null ? upstream : `${upstream}/${formatModelPath(model)}`;
  try {
    return parseActionName(`${action}:${path}`);
  } catch (cause) {
    // A name with an empty or dotted segment.
    throw new TrustWardenError("request_malformed", { reason: "model" }, { cause });
  }
}

function parseBody(bytes: Uint8Array): JsonObject {
  if (bytes.length > MAX_LLM_BODY_BYTES)
    throw new TrustWardenError("request_too_large", { maxBytes: MAX_LLM_BODY_BYTES });
  const body = parseJsonObject(decodeStrictUtf8(bytes), MAX_LLM_BODY_BYTES);
  if (!Object.keys(body).every((key) => LOWER_KEY.test(key))) throw malformed("key");
  const { stream } = body;
  if (stream !== undefined && stream !== null && typeof stream !== "boolean") throw malformed("stream");
  return body;
}

/** A byte that is no UTF-8, or a mark at the beginning, is read in more than one way. */
function decodeStrictUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrustWardenError("json_malformed", { reason: "not UTF-8" }, { cause });
  }
}

function parseModel(value: Json | undefined): string {
  if (typeof value !== "string" || value.length > MAX_MODEL_CHARS || !VISIBLE.test(value))
    throw malformed("model");
  return value;
}

/** What the answer may hold at most: the limit of one choice, times the choices. */
function boundOf({ name }: LlmOperation, body: JsonObject): number | null {
  if (name === "embeddings" || name === "count_tokens") return 0;
  const limits = [body.max_completion_tokens, body.max_output_tokens, body.max_tokens].flatMap(asCount);
  if (limits.length === 0) return null;
  const choices = [body.n, body.best_of].flatMap(asCount);
  const most = Math.max(1, ...choices);
  if (most > MAX_CHOICES) throw malformed("choices");
  // Where two limits are given, which of them holds is the provider's choice: the larger one is safe.
  return Math.max(...limits) * most * promptsOf(body);
}

/** `completions` takes several prompts at once, each with its own answer. */
function promptsOf({ prompt }: JsonObject): number {
  if (!Array.isArray(prompt)) return 1;
  return Math.max(1, prompt.filter((item) => typeof item !== "number").length);
}

function asCount(value: Json | undefined): readonly number[] {
  if (value === undefined || value === null) return [];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed("a limit");
  return [value];
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("request_malformed", { reason });
}

/** How many entries a list member has; 0 for anything else. */
export function countOf(value: Json | undefined): number {
  if (Array.isArray(value)) return value.length;
  return value === undefined || value === null || isJsonObject(value) ? 0 : 1;
}
