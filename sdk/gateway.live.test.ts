/** The official clients of OpenAI and Anthropic, unmodified, over `agent.fetch` and a real gateway. */
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FakeModel, startFakeModel } from "../test/support/model/fake-model.ts";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, startLiveServer } from "./live.test.support.ts";

let server: LiveServer;
let model: FakeModel;
let agent: AgentIdentity;
let openai: OpenAI;
let anthropic: Anthropic;

const messages = [{ role: "user" as const, content: "one two #words=2" }];
const tool = (name: string) => ({
  type: "function" as const,
  function: { name, parameters: { type: "object", properties: { query: { type: "string" } } } },
});

beforeAll(async () => {
  server = await startLiveServer({ hasGateway: true });
  model = await startFakeModel();
  for (const kind of ["openai", "anthropic"]) await register(kind);
  const scope = [
    "infer:llm:openai/gpt-test",
    "infer:llm:openai/embed-test",
    "infer:llm:anthropic/**",
    "list:llm",
  ];
  agent = await AgentIdentity.create({ name: "thinker", ticket: server.ticket({ name: "thinker", scope }) });
  openai = new OpenAI({
    baseURL: `${server.gatewayUrl}/openai/v1`,
    apiKey: "none",
    fetch: agent.fetch,
    maxRetries: 0,
  });
  anthropic = new Anthropic({
    baseURL: `${server.gatewayUrl}/anthropic`,
    apiKey: "none",
    fetch: agent.fetch,
    maxRetries: 0,
  });
});
afterAll(async () => {
  await agent.close();
  await server.close();
  await model.close();
});

const register = (kind: string, settings: object = {}) =>
  server.admin("POST", "/v1/upstreams", { name: kind, kind, url: model.url, allow_private: true, settings });

describe("OpenAI's client through the gateway", () => {
  it("chats, whole and streamed", async () => {
    const whole = await openai.chat.completions.create({ model: "gpt-test", messages });
    expect(whole.choices[0]?.message.content).toBe("one two");
    const stream = await openai.chat.completions.create({ model: "gpt-test", messages, stream: true });
    const words: string[] = [];
    for await (const chunk of stream) words.push(chunk.choices[0]?.delta.content ?? "");
    expect(words.join("")).toBe("one two");
    expect(model.requests.at(-1)?.headers.authorization).toBeUndefined();
  });

  it("calls tools, responses, embeddings and lists", async () => {
    const asked = [{ role: "user" as const, content: "#tool=search" }];
    const called = await openai.chat.completions.create({
      model: "gpt-test",
      messages: asked,
      tools: [tool("search")],
    });
    expect(called.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: "search" } });
    const response = await openai.responses.create({ model: "gpt-test", input: "one two #words=2" });
    expect(response.output_text).toBe("one two");
    const events: string[] = [];
    const stream = await openai.responses.create({ model: "gpt-test", input: "x", stream: true });
    for await (const event of stream) events.push(event.type);
    expect(events.at(-1)).toBe("response.completed");
    const embedded = await openai.embeddings.create({ model: "embed-test", input: ["a", "b c"] });
    expect(embedded.data).toHaveLength(2);
    const ids = (await openai.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual(["gpt-test", "embed-test"]);
  });

  it("raises its own exceptions", async () => {
    const denied = openai.chat.completions.create({ model: "gpt-test-mini", messages });
    await expect(denied).rejects.toThrow(OpenAI.PermissionDeniedError);
    const limited = [{ role: "user" as const, content: "#status=429" }];
    const slow = openai.chat.completions.create({ model: "gpt-test", messages: limited });
    await expect(slow).rejects.toThrow(OpenAI.RateLimitError);
  });

  it("goes on when the operator changes the upstream's settings", async () => {
    await register("openai", { hosted_tools: ["web_search"] });
    const whole = await openai.chat.completions.create({ model: "gpt-test", messages });
    expect(whole.choices[0]?.message.content).toBe("one two");
  });
});

describe("Anthropic's client through the gateway", () => {
  const asked = { model: "claude-test", max_tokens: 100, messages };

  it("sends messages, whole and streamed, and counts tokens", async () => {
    const whole = await anthropic.messages.create(asked);
    expect(whole.content[0]).toMatchObject({ type: "text", text: "one two" });
    const streamed = await anthropic.messages.stream(asked).finalMessage();
    expect(streamed.content[0]).toMatchObject({ type: "text", text: "one two" });
    expect(streamed.usage.output_tokens).toBe(2);
    const { max_tokens: _, ...count } = asked;
    expect((await anthropic.messages.countTokens(count)).input_tokens).toBe(4);
    expect(model.requests.at(-1)?.headers["x-api-key"]).toBeUndefined();
  });

  it("calls tools, and lists models", async () => {
    const content = "#tool=search";
    const tools = [{ name: "search", input_schema: { type: "object" as const, properties: {} } }];
    const called = await anthropic.messages.create({
      ...asked,
      messages: [{ role: "user", content }],
      tools,
    });
    expect(called.content[0]).toMatchObject({ type: "tool_use", name: "search", input: { query: "x" } });
    const listed = await anthropic.models.list();
    expect(listed.data.map(({ id }) => id)).toContain("claude-test");
  });

  it("raises its own exceptions", async () => {
    const overloaded = { ...asked, messages: [{ role: "user" as const, content: "#status=529" }] };
    await expect(anthropic.messages.create(overloaded)).rejects.toThrow(Anthropic.InternalServerError);
    const stranger = await AgentIdentity.create({
      name: "stranger",
      ticket: server.ticket({ name: "stranger", scope: ["read:x"] }),
    });
    const other = new Anthropic({
      baseURL: `${server.gatewayUrl}/anthropic`,
      apiKey: "none",
      fetch: stranger.fetch,
    });
    await expect(other.messages.create(asked)).rejects.toThrow(Anthropic.PermissionDeniedError);
    await stranger.close();
  });
});
