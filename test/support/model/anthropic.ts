/**
 * The fake model's Anthropic side: messages, whole and as an event stream, and token counts.
 *
 * @see docs.anthropic.com/en/api/messages (the shapes that the official clients parse)
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { ModelAnswer } from "./openai.ts";
import { answerWords, countTokens, type Wish } from "./prompt.ts";

export function answerMessage(asked: {
  readonly id: string;
  readonly model: string;
  readonly body: JsonObject;
  readonly wish: Wish;
}): ModelAnswer {
  const { id, model, body, wish } = asked;
  const words = answerWords(body.messages, wish);
  const output_tokens = wish.tool === undefined ? words.length : 1;
  const usage = {
    input_tokens: countTokens(body.messages) + countTokens(body.system),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens,
  };
  const head = { id: `msg_${id}`, type: "message", role: "assistant", model };
  const block =
    wish.tool === undefined
      ? { type: "text", text: words.join("") }
      : { type: "tool_use", id: `toolu_${id}`, name: wish.tool, input: { query: "x" } };
  const stop_reason = wish.tool === undefined ? "end_turn" : "tool_use";
  const empty = wish.tool === undefined ? { type: "text", text: "" } : { ...block, input: {} };
  const deltas =
    wish.tool === undefined
      ? words.map((text) => ({ type: "text_delta", text }))
      : [
          { type: "input_json_delta", partial_json: '{"query":' },
          { type: "input_json_delta", partial_json: '"x"}' },
        ];
  const events = [
    {
      type: "message_start",
      message: {
        ...head,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...usage, output_tokens: 1 },
      },
    },
    { type: "content_block_start", index: 0, content_block: empty },
    { type: "ping" },
    ...deltas.map((delta) => ({ type: "content_block_delta", index: 0, delta })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens } },
    { type: "message_stop" },
  ];
  return {
    whole: { ...head, content: [block], stop_reason, stop_sequence: null, usage },
    events: events.map((data) => ({ event: data.type, data })),
  };
}

export function describeAnthropicModel(id: string): JsonObject {
  return { type: "model", id, display_name: id, created_at: "2026-01-01T00:00:00Z" };
}

export function describeAnthropicError(status: number, message: string): JsonObject {
  const types: Readonly<Record<number, string>> = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
  };
  return { type: "error", error: { type: types[status] ?? "api_error", message }, request_id: "req_fake" };
}
