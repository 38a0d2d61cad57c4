/** Spans of a real server at a collector: a request and its steps, whose trace it is of, and nothing of what was sent. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { parseTraceparent } from "../server/traces/trace-context.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  serverIdOf,
  signedRequest,
  visitIntent,
} from "./support/actors.ts";
import { expectRejection } from "./support/expect-code.ts";
import { send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { type CollectedSpan, type SpanCollector, startSpanCollector } from "./support/span-collector.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID = "b7ad6b7169203331";
let collector: SpanCollector;
let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  server?.home.remove();
  server = undefined;
  await collector.close();
});

async function start(settings: object = {}, status?: () => number, more: object = {}): Promise<TestServer> {
  collector = await startSpanCollector(status);
  server = await startTestServer({ traces: { url: collector.url, ...settings }, ...more });
  return server;
}

/** Sends what is left. */
async function closed(running: TestServer): Promise<readonly CollectedSpan[]> {
  await running.close();
  return collector.spans();
}

describe("spans", () => {
  it("are one for a decision and one for each step of it, in the caller's trace", async () => {
    const running = await start();
    const owner = await createOwner(running);
    const [agent, verifier] = [await enrolAgent(running, owner), await enrolVerifier(running)];
    await askDecision(running, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    const headers = { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01`, tracestate: "vendor=canary-4711" };
    await send(running.url, { target: "/v1/agents", headers });
    const spans = await closed(running);
    const decision = spans.find(({ name }) => name === "POST /v1/decisions");
    expect(decision).toMatchObject({ kind: 2 });
    expect(decision?.parentSpanId).toBeUndefined();
    const steps = spans.filter(({ parentSpanId }) => parentSpanId === decision?.spanId);
    expect(steps.map(({ name }) => name)).toEqual(["authenticate", "decide", "record"]);
    for (const { traceId, startTimeUnixNano, endTimeUnixNano } of steps) {
      expect(traceId).toBe(decision?.traceId);
      expect(BigInt(startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(decision?.startTimeUnixNano ?? 0));
      expect(BigInt(endTimeUnixNano)).toBeLessThanOrEqual(BigInt(decision?.endTimeUnixNano ?? 0));
    }
    const refused = spans.find(({ traceId, kind }) => traceId === TRACE_ID && kind === 2);
    expect(refused).toMatchObject({ name: "GET /v1/agents", parentSpanId: PARENT_ID });
    expect(refused?.attributes).toContainEqual({
      key: "trustwarden.code",
      value: { stringValue: "no_svid" },
    });
    const failed = spans.find(({ parentSpanId }) => parentSpanId === refused?.spanId);
    expect(failed).toMatchObject({ name: "authenticate", status: { code: 2 } });
  });

  it("hold nothing that anybody sent, wherever it was put (D16)", async () => {
    const running = await start();
    const secret = "canary-0123456789abcdef";
    const owner = await createOwner(running, "carol");
    const agent = await enrolAgent(running, owner, { name: "payment-agent" });
    for (const headers of [
      { authorization: `Bearer ${secret}` },
      { "trustwarden-intent": secret },
      { traceparent: secret },
      { tracestate: secret },
      { baggage: `token=${secret}` },
      { "x-request-id": secret },
      { "user-agent": secret },
    ])
      await send(running.url, { target: "/v1/agents", headers }, agent.tls);
    await send(running.url, { target: `/v1/agents/${secret}?token=${secret}` }, agent.tls);
    await send(running.url, {
      method: "POST",
      target: "/v1/outcomes",
      body: JSON.stringify({ outcome: secret }),
    });
    expect((await closed(running)).length).toBeGreaterThan(10);
    const text = collector.bodies.join("\n");
    for (const word of [secret, "canary", "carol", "payment-agent", agent.answer.instance_id, owner.ownerId])
      expect(text).not.toContain(word);
  });

  it("of a call through the gateway name the trace to the upstream, over whatever the agent said", async () => {
    const running = await start({}, undefined, { gateway: { port: 0 } });
    const seen: IncomingMessage["headers"][] = [];
    const upstream = createServer((request, response) => {
      seen.push(request.headers);
      response.end("ok");
    });
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
    const { port } = upstream.address() as AddressInfo;
    const routes = [{ method: "GET", path: "/x", action: "read:x", resource: "shop://x" }];
    const shop = { name: "shop", kind: "http", url: `http://127.0.0.1:${port}`, allow_private: true };
    const body = JSON.stringify({ ...shop, settings: { routes } });
    await sendAdmin(running.adminSocket, { method: "POST", target: "/v1/upstreams", body });
    const agent = await enrolAgent(running, await createOwner(running), { scope: ["read:x"] });
    const aud = await serverIdOf(running);
    const intent = { action: "read:x", resource: "shop://x" };
    const headers = { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` };
    const call = signedRequest(agent, { target: "/shop/x", action: "read:x", aud, intent, headers });
    expect((await send(running.gatewayUrl ?? "", call, agent.tls)).status).toBe(200);
    upstream.close();
    const spans = await closed(running);
    const root = spans.find(({ name }) => name === "gateway http");
    expect(root).toMatchObject({ traceId: TRACE_ID, parentSpanId: PARENT_ID });
    expect(seen[0]?.traceparent).toBe(`00-${TRACE_ID}-${root?.spanId}-01`);
    const steps = spans.filter(({ parentSpanId }) => parentSpanId === root?.spanId).map(({ name }) => name);
    expect(steps).toEqual(["authenticate", "decide", "record", "act", "outcome"]);
  });

  it("are left out as the operator or the caller says, and never more are made for a caller", async () => {
    const running = await start({ sample: 0 });
    await send(running.url, {
      target: "/v1/nonce",
      headers: { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` },
    });
    expect(await closed(running)).toEqual([]);
    await collector.close();
    const whole = await start();
    await send(whole.url, {
      target: "/v1/nonce",
      headers: { traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` },
    });
    await send(whole.url, { target: "/v1/nonce" });
    expect((await closed(whole)).map(({ name }) => name)).toEqual(["GET /v1/nonce"]);
  });

  it("hold up nobody while the collector fails or is away", async () => {
    const running = await start({ timeoutMs: 200 }, () => 503);
    for (let count = 0; count < 20; count += 1)
      expect((await send(running.url, { target: "/healthz" })).status).toBe(200);
    await collector.close();
    expect((await send(running.url, { target: "/healthz" })).status).toBe(200);
    expect(await closed(running)).toEqual([]);
    collector = await startSpanCollector();
  });

  it("go over TLS beyond this machine, or the server does not start", async () => {
    collector = await startSpanCollector();
    const traces = { url: "http://collector.example:4318/v1/traces" };
    await expectRejection(startTestServer({ traces }), "config_invalid");
  });
});

describe("a caller's trace", () => {
  it.each([
    ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true],
    ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false],
    ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true],
  ])("%s is continued", (header, isSampled) => {
    expect(parseTraceparent(header)).toEqual({ traceId: TRACE_ID, spanId: PARENT_ID, isSampled });
  });

  it.each([
    undefined,
    "",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ])("%s begins a new one", (header) => {
    expect(parseTraceparent(header)).toBeUndefined();
  });
});
