import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import type { JsonObject } from "../json.ts";
import { parseRequestTarget } from "../request-target.ts";
import { formatModelPath, LLM_OPERATIONS, type LlmDialect, parseLlmCall } from "./llm-call.ts";
import { boundCost } from "./llm-cost.ts";
import { parseLlmSettings } from "./llm-settings.ts";
import { planLlm } from "./plan-llm.ts";
import { parseUpstreamName } from "./upstream.ts";

const post = (body: unknown, rest = "v1/chat/completions", dialect: LlmDialect = "openai") =>
  parseLlmCall(dialect, {
    upstream: "llm",
    method: "POST",
    rest,
    body: encodeUtf8(typeof body === "string" ? body : JSON.stringify(body)),
  });
const chat = (more: object = {}) => post({ model: "m", messages: [{ role: "user", content: "x" }], ...more });
const coded = (code: string) => expect.objectContaining({ code });

describe("what a provider does besides answering", () => {
  const plan = (body: object, settings: JsonObject = {}) => {
    const content = encodeUtf8(JSON.stringify({ model: "m", input: "x", ...body }));
    const target = parseRequestTarget("/v1/responses");
    const upstream = {
      name: parseUpstreamName("llm"),
      kind: "openai" as const,
      resource: "llm://llm",
      settings,
    };
    return planLlm("openai", upstream, { method: "POST", target, headers: {}, body: content });
  };

  it.each([
    ["hosted_tools", { tools: [{ type: "web_search" }] }, { hosted_tools: ["web_search"] }],
    [
      "remote_content",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "https://a.test/x.png" }] }] },
      { remote_content: true },
    ],
    ["stored_state", { previous_response_id: "resp_1" }, { stored_state: true }],
  ])("is refused unless the operator's setting %s allows it", (setting, body, settings) => {
    expect(() => plan(body)).toThrow(
      expect.objectContaining({
        code: "model_feature_refused",
        details: expect.objectContaining({ setting }),
      }),
    );
    expect(plan(body, settings).action).toBe("infer:llm:llm/m");
  });
});

describe("a call to a model API", () => {
  it("is named by its upstream and model, so that scopes can list models", () => {
    expect(chat().action).toBe("infer:llm:llm/m");
    expect(post({ model: "meta/llama-3:8b", messages: [] }).action).toBe("infer:llm:llm/meta/llama-3_3A8b");
    const list = { upstream: "llm", method: "GET", rest: "v1/models", body: new Uint8Array() };
    expect(parseLlmCall("anthropic", list).action).toBe("list:llm:llm");
    expect(parseLlmCall("openai", { ...list, rest: "v1/models/gpt" }).action).toBe("list:llm:llm/gpt");
  });

  it("has a name of its own for every model", () => {
    const name = fc.string({ minLength: 1, maxLength: 40, unit: "binary-ascii" });
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(formatModelPath(a) === formatModelPath(b)).toBe(a === b);
      }),
    );
  });

  it("is on the list of its vendor's methods, or is none", () => {
    for (const [dialect, rest, method] of [
      ["openai", "v1/messages", "POST"],
      ["anthropic", "v1/chat/completions", "POST"],
      ["openai", "v1/files", "GET"],
      ["openai", "v1/responses/resp_1", "GET"],
      ["openai", "v1/models", "DELETE"],
      ["openai", "chat/completions", "POST"],
      ["openai", "v1/models/", "GET"],
    ] as const) {
      const request = { upstream: "llm", method, rest, body: new Uint8Array() };
      expect(() => parseLlmCall(dialect, request)).toThrow(coded("route_unknown"));
    }
    expect(LLM_OPERATIONS.openai.length + LLM_OPERATIONS.anthropic.length).toBe(10);
  });

  it.each([
    ['{"model":"a","model":"b","messages":[]}', "json_duplicate_key"],
    ['{"model":"a","Model":"b","messages":[]}', "request_malformed"],
    ['{"model":"a","mo\\u0064el":"b"}', "json_duplicate_key"],
    ['{"model":"a","stream":"true"}', "request_malformed"],
    ['{"model":"a","max_tokens":-1}', "request_malformed"],
    ['{"model":"a","n":1000,"max_tokens":1}', "request_malformed"],
    ['{"messages":[]}', "request_malformed"],
    ['{"model":"../x"}', "request_malformed"],
    ['{"model":"a//b"}', "request_malformed"],
    ['{"model":"a b"}', "request_malformed"],
    ["[]", "json_malformed"],
    ["", "json_malformed"],
  ])("has one reading: %s is refused with %s", (body, code) => {
    expect(() => post(body)).toThrow(coded(code));
  });

  it("refuses bytes that are no UTF-8", () => {
    const body = new Uint8Array([0x7b, 0xff, 0x7d]);
    const request = { upstream: "llm", method: "POST", rest: "v1/chat/completions", body };
    expect(() => parseLlmCall("openai", request)).toThrow(coded("json_malformed"));
  });

  it("knows the tools that the provider would run from those of the caller", () => {
    const own = { type: "function", function: { name: "search", parameters: { type: "object" } } };
    expect(chat({ tools: [own] })).toMatchObject({ tools: ["search"], hostedTools: [] });
    expect(chat({ tools: [own, { type: "web_search" }, { type: "new-thing" }, 7] }).hostedTools).toEqual([
      "new-thing",
      "unknown",
      "web_search",
    ]);
    expect(chat({ web_search_options: {} }).hostedTools).toEqual(["web_search"]);
    const message = { model: "c", max_tokens: 5, messages: [] };
    const claude = (more: object) => post({ ...message, ...more }, "v1/messages", "anthropic").hostedTools;
    expect(
      claude({
        tools: [
          { name: "a", input_schema: {} },
          { type: "bash_20250124", name: "bash" },
        ],
      }),
    ).toEqual([]);
    expect(claude({ tools: [{ type: "web_fetch_20250910", name: "web_fetch" }] })).toEqual([
      "web_fetch_20250910",
    ]);
    expect(claude({ mcp_servers: [{ type: "url", url: "https://x.test" }] })).toEqual(["mcp"]);
  });

  it("sees addresses and stored state wherever they stand, and not in what the caller's tools say", () => {
    const image = (url: string) =>
      chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] });
    expect(image("https://x.test/a.png").hasRemoteContent).toBe(true);
    expect(image("data:image/png;base64,AAAA").hasRemoteContent).toBe(false);
    expect(chat({ input: [{ type: "input_file", file_id: "file_1" }] }).usesStoredState).toBe(true);
    expect(chat({ previous_response_id: "resp_1" }).usesStoredState).toBe(true);
    expect(chat({ store: true }).usesStoredState).toBe(true);
    expect(chat({ store: false }).usesStoredState).toBe(false);
    const schema = { type: "object", properties: { url: { type: "string", url: "https://x.test" } } };
    const tool = { type: "function", function: { name: "get", parameters: schema } };
    expect(chat({ tools: [tool] }).hasRemoteContent).toBe(false);
    const used = { type: "tool_use", id: "1", name: "get", input: { url: "https://x.test" } };
    const message = { model: "c", max_tokens: 5, messages: [{ role: "assistant", content: [used] }] };
    expect(post(message, "v1/messages", "anthropic").hasRemoteContent).toBe(false);
  });
});

describe("what a call may cost", () => {
  const prices = {
    as_of: "2026-11-22",
    source: "test",
    models: { m: { input: 1_000_000, output: 2_000_000, max_output_tokens: 100 } },
  };
  const settings = parseLlmSettings({ prices });

  it("is bounded by its bytes, its limit and its choices", () => {
    expect(boundCost(chat({ max_tokens: 10 }), 1000, settings)).toEqual({ tokens: 3058, microUsd: 3068 });
    expect(boundCost(chat({ max_tokens: 10, n: 3 }), 1000, settings).tokens).toBe(3078);
    expect(boundCost(chat(), 1000, settings).tokens).toBe(3148);
  });

  it("is not bounded where the provider adds what nobody knows", () => {
    const searching = chat({ max_tokens: 10, tools: [{ type: "web_search" }] });
    expect(boundCost(searching, 1000, settings)).toEqual({
      tokens: Number.POSITIVE_INFINITY,
      microUsd: Number.POSITIVE_INFINITY,
    });
    const open = post({ model: "other", messages: [] });
    expect(boundCost(open, 1000, settings)).toEqual({ tokens: Number.POSITIVE_INFINITY, microUsd: null });
  });

  it.each([
    [{ price: {} }],
    [{ prices: { ...prices, as_of: "yesterday" } }],
    [{ prices: { ...prices, source: "" } }],
    [{ prices: { ...prices, models: { m: { input: 1.5, output: 1 } } } }],
    [{ prices: { ...prices, models: { m: { input: 1 } } } }],
    [{ hosted_tools: "web_search" }],
    [{ remote_content: "yes" }],
    [{ disclose: "all" }],
  ])("takes no settings that it does not understand: %j", (settings_) => {
    expect(() => parseLlmSettings(settings_)).toThrow(coded("upstream_malformed"));
  });
});
