/** Model APIs behind the gateway: what goes in, what comes out, what it costs, and who may use which model. */
import { createHash, createHmac } from "node:crypto";
import { type EventView, eventAnswer } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, type TestInstance, type TestOwner } from "./support/actors.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { type FakeModel, startFakeModel } from "./support/model/fake-model.ts";
import {
  callModel,
  chatOf,
  FAKE_PRICES,
  registerModel,
  signedModelCall,
} from "./support/model/gateway-llm.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let model: FakeModel;
let owner: TestOwner;
let agent: TestInstance;
const CHAT = "/v1/chat/completions";

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  model = await startFakeModel();
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { name: "chatter", scope: ["infer:llm", "list:llm"] });
  for (const kind of ["openai", "anthropic"] as const)
    expect((await registerModel(server, model, kind)).status).toBe(200);
});
afterAll(async () => {
  await server.close();
  await model.close();
  server.home.remove();
});

const openai = () => ({ server, model, kind: "openai" }) as const;
const anthropic = () => ({ server, model, kind: "anthropic" }) as const;
const chat = (text: string, more: object = {}, by = agent) =>
  callModel(openai(), by, { path: CHAT, body: chatOf(text, more) });
const setBudget = (subject: string, limits: object, window = "lifetime") =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/budgets",
    body: JSON.stringify({
      subject,
      window,
      limits: { calls: null, tokens: null, micro_usd: null, ...limits },
    }),
  });
async function usedBy(subject: string): Promise<unknown> {
  const answer = await sendAdmin(server.adminSocket, { target: `/v1/budgets?subject=${subject}` });
  const { budgets } = jsonOf(answer);
  return Array.isArray(budgets) ? budgets[0]?.used : undefined;
}
async function lastEvent(by: TestInstance): Promise<EventView | undefined> {
  const events = await eventsOf(server, "action");
  return events.find((event) => event.agent_identity === by.answer.spiffe_id);
}

describe("a model behind the gateway", () => {
  it("gets the caller's own bytes, and nothing that names or proves the caller", async () => {
    const body = `{ "model":"gpt-test",\n "messages":[{"role":"user","content":"hi"}], "seed": 12345678901234567890 }`;
    const got = await callModel(openai(), agent, { path: CHAT, body });
    expect(got.status).toBe(200);
    const sent = model.requests.at(-1);
    expect(sent?.body).toBe(body);
    for (const name of ["authorization", "trustwarden-intent", "trustwarden-salt", "openai-organization"])
      expect(sent?.headers[name]).toBeUndefined();
  });

  it("answers whole, and the ledger holds a commitment to the answer that its caller can open", async () => {
    const request = await signedModelCall(openai(), agent, { path: CHAT, body: chatOf("one two #words=2") });
    const got = await send(server.gatewayUrl ?? "", request, agent.tls);
    expect(jsonOf(got)).toMatchObject({ choices: [{ message: { content: "one two" } }] });
    const answer_sha256 = createHash("sha256").update(got.bytes).digest("base64url");
    const salt = Buffer.from(request.headers?.["trustwarden-salt"] ?? "", "base64url");
    const result = createHmac("sha256", salt)
      .update(formatCanonicalJson({ answer_sha256 }))
      .digest("base64url");
    const event = await lastEvent(agent);
    expect(event).toMatchObject({ action: "infer:llm:openai/gpt-test", class: "C", enforcement: "gateway" });
    const stored = await sendAdmin(server.adminSocket, { target: `/v1/events/${event?.event_id}` });
    const { records } = eventAnswer.parse(jsonOf(stored));
    const texts = records.map(({ entry }) => parseUtf8(parseEnvelope(entry).payload));
    expect(texts.at(-1)).toContain(`"result":"${result}"`);
    expect(texts.join()).not.toContain("one two");
  });

  it("streams, and leaves out the usage that only the gateway asked for", async () => {
    const plain = await chat("a b c #words=3", { stream: true });
    expect(plain.text).toContain("data: [DONE]");
    expect(plain.text).not.toContain('"choices":[]');
    expect(model.requests.at(-1)?.body).toContain('"stream_options":{"include_usage":true}');
    const asked = await chat("a b c #words=3", { stream: true, stream_options: { include_usage: true } });
    expect(asked.text).toContain('"choices":[]');
    const refused = await chat("a b", { stream: true, stream_options: { include_usage: false } });
    expect(refused.text).not.toContain('"choices":[]');
  });

  it("keeps nothing of responses, unless the operator lets it", async () => {
    const body = { model: "gpt-test", input: "hello #words=2" };
    expect((await callModel(openai(), agent, { path: "/v1/responses", body })).status).toBe(200);
    expect(model.requests.at(-1)?.body).toContain('"store":false');
  });

  it("serves messages, embeddings, token counts and completions", async () => {
    const message = {
      model: "claude-test",
      max_tokens: 50,
      messages: [{ role: "user", content: "hi #words=2" }],
    };
    const got = await callModel(anthropic(), agent, { path: "/v1/messages", body: message });
    expect(jsonOf(got)).toMatchObject({ type: "message", content: [{ type: "text", text: "hi word1" }] });
    const { max_tokens: _, ...count } = message;
    const counted = await callModel(anthropic(), agent, { path: "/v1/messages/count_tokens", body: count });
    expect(jsonOf(counted)).toEqual({ input_tokens: 3 });
    const embedding = { model: "embed-test", input: ["a", "b"] };
    expect((await callModel(openai(), agent, { path: "/v1/embeddings", body: embedding })).status).toBe(200);
    const completion = { model: "gpt-test", prompt: "x #words=2", stream: true };
    expect((await callModel(openai(), agent, { path: "/v1/completions", body: completion })).text).toContain(
      "[DONE]",
    );
  });

  it("lists exactly the models that a call would be allowed", async () => {
    const scope = ["infer:llm:openai/gpt-test", "infer:llm:openai/vendor/**", "list:llm"];
    const picky = await enrolAgent(server, owner, { name: "picky", scope });
    const list = jsonOf(await callModel(openai(), picky, { method: "GET", path: "/v1/models" }));
    expect(list.data).toMatchObject([{ id: "gpt-test" }, { id: "vendor/model:8b" }]);
    const other = await chat("x", { model: "gpt-test-mini" }, picky);
    expect([other.status, codeOf(other)]).toEqual([403, "denied"]);
    expect((await chat("x", { model: "vendor/model:8b" }, picky)).status).toBe(200);
  });

  it("refuses in the words of each vendor", async () => {
    const nobody = await enrolAgent(server, owner, { name: "nobody", scope: ["read:x"] });
    const denied = jsonOf(await chat("x", {}, nobody));
    expect(denied).toMatchObject({ error: { type: "permission_error", param: null, code: "denied" } });
    const body = { model: "claude-test", max_tokens: 5, messages: [{ role: "user", content: "x" }] };
    const other = jsonOf(await callModel(anthropic(), nobody, { path: "/v1/messages", body }));
    expect(other).toMatchObject({ type: "error", error: { type: "permission_error" } });
  });

  it("passes the provider's own refusals on, and charges them as a call alone", async () => {
    const one = await enrolAgent(server, owner, { name: "unlucky", scope: ["infer:llm"] });
    const id = one.answer.instance_id;
    await setBudget(id, { tokens: 100_000 });
    expect((await chat("x #status=503", {}, one)).status).toBe(503);
    expect(await usedBy(id)).toEqual({ calls: 1, tokens: 0, micro_usd: 0 });
  });

  it("has no other methods", async () => {
    for (const path of ["/v1/files", "/v1/responses/resp_1", "/v1/fine_tuning/jobs"]) {
      const got = await send(server.gatewayUrl ?? "", { target: `/openai${path}` }, agent.tls);
      expect(got.status).toBeGreaterThan(400);
    }
  });
});

describe("budgets at the gateway", () => {
  it("charge what the provider counted, in tokens and money, whole and streamed", async () => {
    const one = await enrolAgent(server, owner, { name: "counted", scope: ["infer:llm"] });
    const id = one.answer.instance_id;
    await setBudget(id, { calls: 10, tokens: 100_000, micro_usd: 1_000_000 });
    await chat("a b #words=5", { max_tokens: 50 }, one);
    // Four tokens in at one micro-USD, five out at two.
    expect(await usedBy(id)).toEqual({ calls: 1, tokens: 9, micro_usd: 14 });
    await chat("a b #words=5", { max_tokens: 50, stream: true }, one);
    expect(await usedBy(id)).toEqual({ calls: 2, tokens: 18, micro_usd: 28 });
    const message = {
      model: "claude-test",
      max_tokens: 9,
      stream: true,
      messages: [{ role: "user", content: "hi #words=2" }],
    };
    await callModel(anthropic(), one, { path: "/v1/messages", body: message });
    expect(await usedBy(id)).toEqual({ calls: 3, tokens: 18 + 5, micro_usd: 28 + 9 + 30 });
  });

  it("refuse the call that finds nothing left, as vendors do, and record which budget it was", async () => {
    const one = await enrolAgent(server, owner, { name: "broke", scope: ["infer:llm"] });
    await setBudget(one.answer.instance_id, { calls: 1 }, "hour");
    expect((await chat("x", {}, one)).status).toBe(200);
    const got = await chat("x", {}, one);
    expect([got.status, codeOf(got)]).toEqual([429, "budget_exhausted"]);
    expect(jsonOf(got)).toMatchObject({
      error: { type: "rate_limit_error", message: "A budget is used up: calls, hour." },
    });
    expect(got.headers["x-should-retry"]).toBe("false");
    expect(Number(got.headers["retry-after"])).toBeGreaterThan(3000);
    expect(await lastEvent(one)).toMatchObject({ outcome: "denied", reasons: ["budget_exhausted"] });
  });

  it("refuse a model without a price where money is limited", async () => {
    const one = await enrolAgent(server, owner, { name: "priceless", scope: ["infer:llm"] });
    await setBudget(one.answer.instance_id, { micro_usd: 1_000_000 });
    const got = await chat("x", { model: "gpt-test-mini" }, one);
    expect([got.status, codeOf(got)]).toEqual([403, "price_unknown"]);
    const seen = model.requests.length;
    expect(seen).toBe(model.requests.length);
  });

  it("charge a stream that its caller leaves, and one that the provider breaks off", async () => {
    const one = await enrolAgent(server, owner, { name: "leaver", scope: ["infer:llm"] });
    const id = one.answer.instance_id;
    await setBudget(id, { tokens: 1_000_000 });
    await expect(chat("x #abort=3", { stream: true, max_tokens: 40 }, one)).rejects.toThrow();
    await expect.poll(async () => await usedBy(id)).toMatchObject({ calls: 1 });
    const used = await usedBy(id);
    expect(used).toMatchObject({ tokens: expect.any(Number) });
    expect(JSON.stringify(used)).not.toContain('"tokens":0');
    expect(await lastEvent(one)).toMatchObject({ outcome: "failure" });
  });
});

describe("what a request reaches for", () => {
  it.each([
    ["a tool that the provider runs", { tools: [{ type: "web_search" }] }],
    ["somebody's MCP server", { tools: [{ type: "mcp", server_url: "https://x.test" }] }],
    [
      "an address in the prompt",
      {
        messages: [
          { role: "user", content: [{ type: "image_url", image_url: { url: "https://x.test/?q=1" } }] },
        ],
      },
    ],
    ["state at the provider", { store: true }],
  ])("is refused unless its upstream allows it: %s", async (_what, more) => {
    const count = model.requests.length;
    const name = "open";
    const settings = {
      prices: FAKE_PRICES,
      hosted_tools: ["web_search", "mcp"],
      remote_content: true,
      stored_state: true,
    };
    await registerModel(server, model, "openai", { name, settings });
    const request = await signedModelCall({ ...openai(), name, settings }, agent, {
      path: CHAT,
      body: chatOf("x", more),
    });
    const refused = await send(server.gatewayUrl ?? "", { ...request, target: `/openai${CHAT}` }, agent.tls);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(model.requests.length).toBe(count);
    expect((await send(server.gatewayUrl ?? "", request, agent.tls)).status).toBe(200);
  });

  it("is not guessed at: a body with two readings is refused", async () => {
    const count = model.requests.length;
    const bodies = [
      '{"model":"gpt-test","model":"gpt-test-mini","messages":[]}',
      '{"model":"gpt-test","Model":"gpt-test-mini","messages":[]}',
      '\ufeff{"model":"gpt-test","messages":[]}',
    ];
    for (const body of bodies) {
      const made = await signedModelCall(openai(), agent, { path: CHAT, body: chatOf("x") });
      const got = await send(server.gatewayUrl ?? "", { ...made, body }, agent.tls);
      expect(got.status).toBeGreaterThanOrEqual(400);
    }
    expect(model.requests.length).toBe(count);
  });
});
