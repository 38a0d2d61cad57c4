/**
 * The fake model's OpenAI side: whole answers and event streams of chat completions, completions, responses and embeddings.
 *
 * @see platform.openai.com/docs/api-reference (the shapes that the official clients parse)
 */
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { answerWords, countTokens, type Wish } from "./prompt.ts";

const CREATED = 1_800_000_000;
const EMBEDDING_LENGTH = 8;

/** One answer, whole or as the events of a stream. */
export interface ModelAnswer {
  readonly whole: JsonObject;
  /** `data:` lines in order; with `event:` names where the API has them. */
  readonly events: readonly { readonly event?: string; readonly data: JsonObject | "[DONE]" }[];
}

interface Asked {
  readonly id: string;
  readonly model: string;
  readonly body: JsonObject;
  readonly wish: Wish;
}

export function answerChat({ id, model, body, wish }: Asked): ModelAnswer {
  const words = answerWords(body.messages, wish);
  const usage = usageOf(countTokens(body.messages), wish.tool === undefined ? words.length : 1);
  const calls = wish.tool === undefined ? undefined : [toolCall(id, wish.tool)];
  const finish = calls === undefined ? "stop" : "tool_calls";
  const content = calls === undefined ? words.join("") : null;
  const head = { id: `chatcmpl-${id}`, created: CREATED, model, system_fingerprint: "fp_fake" };
  const message = { role: "assistant", content, refusal: null, ...(calls && { tool_calls: calls }) };
  const chunk = (delta: JsonObject, finish_reason: string | null) => ({
    data: {
      ...head,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...(wantsUsage(body) && { usage: null }),
    },
  });
  const parts =
    calls === undefined
      ? words.map((word) => chunk({ content: word }, null))
      : [chunk({ tool_calls: calls.map((call, index) => ({ index, ...call })) }, null)];
  const last = { ...head, object: "chat.completion.chunk", choices: [], usage };
  return {
    whole: {
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message, logprobs: null, finish_reason: finish }],
      ...(!wish.hidesUsage && { usage }),
    },
    events: [
      chunk({ role: "assistant", content: calls === undefined ? "" : null, refusal: null }, null),
      ...parts,
      chunk({}, finish),
      ...(wantsUsage(body) && !wish.hidesUsage ? [{ data: last }] : []),
      { data: "[DONE]" },
    ],
  };
}

export function answerCompletion({ id, model, body, wish }: Asked): ModelAnswer {
  const words = answerWords(body.prompt, wish);
  const usage = usageOf(countTokens(body.prompt), words.length);
  const head = { id: `cmpl-${id}`, object: "text_completion", created: CREATED, model };
  const choice = (text: string, finish_reason: string | null) => ({
    index: 0,
    text,
    logprobs: null,
    finish_reason,
  });
  return {
    whole: { ...head, choices: [choice(words.join(""), "stop")], usage },
    events: [
      ...words.map((word) => ({ data: { ...head, choices: [choice(word, null)] } })),
      { data: { ...head, choices: [choice("", "stop")] } },
      ...(wantsUsage(body) ? [{ data: { ...head, choices: [], usage } }] : []),
      { data: "[DONE]" },
    ],
  };
}

export function answerResponse({ id, model, body, wish }: Asked): ModelAnswer {
  const words = answerWords(body.input, wish);
  const input = countTokens(body.input);
  const output = wish.tool === undefined ? words.length : 1;
  const usage = {
    input_tokens: input,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
  const item = wish.tool === undefined ? textItem(id, words.join("")) : callItem(id, wish.tool);
  const response = (status: string, items: readonly JsonObject[]): JsonObject => ({
    ...responseHead(id, model, body),
    status,
    output: items,
    usage: status === "completed" && !wish.hidesUsage ? usage : null,
  });
  const inner = wish.tool === undefined ? textEvents(id, words) : callEvents(id);
  const empty =
    wish.tool === undefined
      ? { ...textItem(id, ""), status: "in_progress", content: [] }
      : { ...item, arguments: "" };
  const events = [
    { type: "response.created", response: response("in_progress", []) },
    { type: "response.in_progress", response: response("in_progress", []) },
    { type: "response.output_item.added", output_index: 0, item: empty },
    ...inner,
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: response("completed", [item]) },
  ];
  return {
    whole: response("completed", [item]),
    events: events.map((data, sequence_number) => ({ event: data.type, data: { ...data, sequence_number } })),
  };
}

export function answerEmbeddings({ model, body }: Pick<Asked, "model" | "body">): JsonObject {
  const inputs: readonly Json[] = Array.isArray(body.input) ? body.input : [body.input ?? ""];
  const tokens = countTokens(body.input);
  return {
    object: "list",
    model,
    data: inputs.map((input, index) => ({
      object: "embedding",
      index,
      embedding: formatVector(countTokens(input), body.encoding_format),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

export function describeModel(id: string): JsonObject {
  return { id, object: "model", created: CREATED, owned_by: "fake" };
}

export function describeOpenaiError(status: number, message: string, code: string | null): JsonObject {
  const type = status === 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param: null, code } };
}

/** The official clients ask for base64 of little-endian floats. */
function formatVector(seed: number, format: Json | undefined): Json {
  const vector = Array.from({ length: EMBEDDING_LENGTH }, (_, index) => (seed + index) / 16);
  if (format !== "base64") return vector;
  return Buffer.from(new Float32Array(vector).buffer).toString("base64");
}

function usageOf(prompt_tokens: number, completion_tokens: number): JsonObject {
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: 0 },
  };
}

function wantsUsage({ stream_options: options }: JsonObject): boolean {
  return JSON.stringify(options ?? {}).includes('"include_usage":true');
}

function toolCall(id: string, name: string): JsonObject {
  return { id: `call_${id}`, type: "function", function: { name, arguments: '{"query":"x"}' } };
}

function responseHead(id: string, model: string, body: JsonObject): JsonObject {
  return {
    id: `resp_${id}`,
    object: "response",
    created_at: CREATED,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: body.max_output_tokens ?? null,
    model,
    parallel_tool_calls: true,
    previous_response_id: null,
    store: body.store ?? true,
    temperature: 1,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: body.tools ?? [],
    top_p: 1,
    truncation: "disabled",
    metadata: {},
  };
}

function textItem(id: string, text: string): JsonObject {
  return {
    id: `msg_${id}`,
    type: "message",
    status: "completed",
    role: "assistant",
    content: [{ type: "output_text", text, annotations: [], logprobs: [] }],
  };
}

function callItem(id: string, name: string): JsonObject {
  return {
    id: `fc_${id}`,
    type: "function_call",
    status: "completed",
    call_id: `call_${id}`,
    name,
    arguments: '{"query":"x"}',
  };
}

function textEvents(id: string, words: readonly string[]) {
  const at = { item_id: `msg_${id}`, output_index: 0, content_index: 0 };
  const text = words.join("");
  const part = (value: string) => ({ type: "output_text", text: value, annotations: [] });
  return [
    { type: "response.content_part.added", ...at, part: part("") },
    ...words.map((delta) => ({ type: "response.output_text.delta", ...at, delta, logprobs: [] })),
    { type: "response.output_text.done", ...at, text, logprobs: [] },
    { type: "response.content_part.done", ...at, part: part(text) },
  ];
}

function callEvents(id: string) {
  const at = { item_id: `fc_${id}`, output_index: 0 };
  return [
    { type: "response.function_call_arguments.delta", ...at, delta: '{"query":"x"}' },
    { type: "response.function_call_arguments.done", ...at, arguments: '{"query":"x"}' },
  ];
}
