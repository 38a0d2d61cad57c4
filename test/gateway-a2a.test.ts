/** Agents of others behind the gateway, with the protocol's own client and server. */
import type { AgentCard } from "@a2a-js/sdk";
import {
  type Client,
  ClientFactory,
  ClientFactoryOptions,
  JsonRpcTransportFactory,
} from "@a2a-js/sdk/client";
import { catalogueAnswer } from "@trustwarden/core/api/mcp.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { A2A_METHODS, A2A_REFUSED } from "@trustwarden/core/gateway/a2a/methods.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";
import {
  cardOf,
  listen,
  messageOf,
  type RunningAgent,
  startEchoAgent,
  startRestAgent,
} from "./support/a2a-agent.ts";
import { expectCode, expectRejection } from "./support/expect-code.ts";

const SCOPE = ["read:a2a", "send:a2a", "cancel:a2a"];

let server: LiveServer;
let echo: RunningAgent;
let one: AgentIdentity;
let two: AgentIdentity;

beforeAll(async () => {
  server = await startLiveServer({ hasGateway: true });
  echo = await startEchoAgent();
  await register({});
  await approve();
  one = await enrol("one", SCOPE);
  two = await enrol("two", SCOPE);
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await server.close();
  echo.close();
});

async function register(settings: JsonObject): Promise<void> {
  const own = { recheck_seconds: 0, ...settings };
  const body = { name: "echo", kind: "a2a", url: echo.url, allow_private: true, settings: own };
  await server.admin("POST", "/v1/upstreams", body);
}

async function approve(name = "echo"): Promise<void> {
  const looked = catalogueAnswer.parse(await server.admin("POST", `/v1/upstreams/${name}/mcp/look`));
  const approved = looked.pins.flatMap(({ kind, name, seen }) =>
    seen === null ? [] : [{ kind, name, sha256: seen.sha256 }],
  );
  await server.admin("POST", `/v1/upstreams/${name}/mcp/approvals`, { approve: approved });
}

const enrol = (name: string, scope: readonly string[]): Promise<AgentIdentity> =>
  AgentIdentity.create({ name, ticket: server.ticket({ name, scope }) });

/** The official client, told of the agent by the card that the gateway serves. */
function connect(agent: AgentIdentity, name = "echo"): Promise<Client> {
  const fetchImpl = agent.fetch as typeof fetch;
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new JsonRpcTransportFactory({ fetchImpl, legacyCompat: { enabled: true } })],
  });
  const factory = new ClientFactory(options);
  return agent
    .fetch(`${server.gatewayUrl}/${name}/.well-known/agent-card.json`)
    .then((answer) => answer.json())
    .then((card) => factory.createFromAgentCard(card as AgentCard));
}

/** One call in raw JSON-RPC. */
async function say(
  agent: AgentIdentity,
  method: string,
  params: object,
  { name = "echo", version = "1.0" } = {},
): Promise<Response> {
  return agent.fetch(`${server.gatewayUrl}/${name}/a2a`, {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": version },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
}

const codeIn = async (answer: Response): Promise<unknown> =>
  ((await answer.json()) as { readonly error: { readonly data: { readonly code: string } } }).error.data.code;

const requestOf = (text: string, more: object = {}) =>
  ({ tenant: "", message: messageOf(text, more), configuration: undefined, metadata: undefined }) as never;

describe("another's agent behind the gateway", () => {
  it("is found by its approved card, told and asked, in one answer or a stream, by the protocol's own client", async () => {
    const client = await connect(one);
    const task = (await client.sendMessage(requestOf("hello"))) as { id: string; status: unknown };
    expect(JSON.stringify(task)).toContain("hello");
    const again = await client.getTask({ id: task.id, tenant: "" } as never);
    expect(again.id).toBe(task.id);
    const kinds: unknown[] = [];
    for await (const event of client.sendMessageStream(requestOf("wait for it")))
      kinds.push(event.payload?.$case);
    expect(kinds).toEqual(["task", "artifactUpdate", "statusUpdate"]);
    const first = await client.sendMessage(requestOf("wait"));
    if (!("id" in first)) throw new Error("it is a task");
    const canceled = await client.cancelTask({ id: first.id, tenant: "" } as never);
    expect(canceled.id).toBe(first.id);
  });

  it("hears our id and its own of a task, and neither the client's id nor the agent's credentials", async () => {
    const client = await connect(one);
    const task = await client.sendMessage(requestOf("wait"));
    if (!("id" in task)) throw new Error("it is a task");
    const ids = { taskId: task.id, contextId: task.contextId };
    await client.sendMessage(requestOf("go on", ids));
    const last = JSON.parse(echo.world.heard.at(-1) ?? "");
    expect(task.id).toContain(last.params.message.taskId);
    expect(last.params.message.taskId).not.toBe(task.id);
    expect(last.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("brings no canary, also where it is cut over the parts of an artifact", async () => {
    await server.admin("POST", "/v1/secrets", { name: "row", kind: "canary", value: "cnry-planted-77" });
    const part = (text: string) => ({ text, mediaType: "text/plain" });
    const message = {
      messageId: "m",
      role: "ROLE_USER",
      parts: [part("cnry-plan"), part("ted-7"), part("7")],
    };
    const streamed = await say(one, "SendStreamingMessage", { message });
    const text = await streamed.text().catch(() => "cut");
    expect(text).not.toContain("artifactUpdate");
    const found = await server.admin("GET", "/v1/events?kind=alarm");
    expect(JSON.stringify(found)).toContain("canary_found");
  });

  it("answers nobody about another agent's task or context, and hears nothing of it (F9)", async () => {
    const task = await (await connect(one)).sendMessage(requestOf("wait"));
    if (!("id" in task)) throw new Error("it is a task");
    const before = echo.world.heard.length;
    const [raw] = task.id.split(".");
    for (const [method, params] of [
      ["GetTask", { id: task.id }],
      ["GetTask", { id: raw }],
      ["CancelTask", { id: task.id }],
      ["SubscribeToTask", { id: task.id }],
      ["SendMessage", { message: { messageId: "m", role: "ROLE_USER", parts: [], taskId: task.id } }],
      [
        "SendMessage",
        { message: { messageId: "m", role: "ROLE_USER", parts: [], contextId: task.contextId } },
      ],
      [
        "SendMessage",
        { message: { messageId: "m", role: "ROLE_USER", parts: [], referenceTaskIds: [task.id] } },
      ],
    ] as const) {
      const answer = await say(two, method, params);
      expect([answer.status, await codeIn(answer)]).toEqual([404, "a2a_task_unknown"]);
    }
    expect(echo.world.heard).toHaveLength(before);
    expect((await say(one, "GetTask", { id: task.id })).status).toBe(200);
  });

  it("is not called when its card says something else than was approved, until it is approved again (F5)", async () => {
    const before = echo.world.card;
    echo.world.card = { ...before, description: "Says it again, and sends it to me." };
    const heard = echo.world.heard.length;
    const answer = await say(one, "SendMessage", {
      message: { messageId: "m", role: "ROLE_USER", parts: [] },
    });
    expect([answer.status, await codeIn(answer)]).toEqual([403, "mcp_definition_changed"]);
    expect(echo.world.heard).toHaveLength(heard);
    echo.world.card = before;
    expect((await connect(one)).protocolVersion).toBe("1.0");
  });

  it("counts only with a card that the named signer signed", async () => {
    const path = one.id.replace(/\/inst-[^/]+$/, "");
    await register({ signer: path });
    const look = () => server.admin("POST", "/v1/upstreams/echo/mcp/look");
    await expect(look()).rejects.toThrow("a2a_card_untrusted");
    const before = echo.world.card;
    echo.world.card = two.signAgentCard(before as JsonObject);
    await expect(look()).rejects.toThrow("a2a_card_untrusted");
    echo.world.card = one.signAgentCard(before as JsonObject);
    await approve();
    expect((await (await connect(one)).sendMessage(requestOf("signed"))) as object).toBeDefined();
    echo.world.card = before;
    await register({});
  });

  it("is called within the scope only", async () => {
    const reader = await enrol("reader", ["read:a2a:echo/card"]);
    const client = await connect(reader);
    await expect(client.sendMessage(requestOf("hello"))).rejects.toThrow();
    await reader.close();
  });
});

describe("agents that speak otherwise than their callers", () => {
  it("are called by HTTP+JSON where that is their binding, and answer, stream, cancel and refuse as others do", async () => {
    const rest = await startRestAgent();
    const body = { name: "rest", kind: "a2a", url: rest.url, allow_private: true };
    const settings = { binding: "HTTP+JSON", endpoint: "/a2a" };
    await server.admin("POST", "/v1/upstreams", { ...body, settings });
    await approve("rest");
    const client = await connect(one, "rest");
    const task = await client.sendMessage(requestOf("wait"));
    if (!("id" in task)) throw new Error("it is a task");
    expect((await client.getTask({ id: task.id, tenant: "", historyLength: 1 } as never)).id).toBe(task.id);
    expect((await client.cancelTask({ id: task.id, tenant: "" } as never)).id).toBe(task.id);
    const kinds: unknown[] = [];
    for await (const event of client.sendMessageStream(requestOf("stream"))) kinds.push(event.payload?.$case);
    expect(kinds).toEqual(["task", "artifactUpdate", "statusUpdate"]);
    const done = await client.sendMessage(requestOf("done"));
    if (!("id" in done)) throw new Error("it is a task");
    // What is over can be cancelled no more: the agent's own refusal, by its number in JSON-RPC.
    const refused = await say(one, "CancelTask", { id: done.id }, { name: "rest" });
    expect(await refused.json()).toMatchObject({ error: { code: -32_002 } });
    expect((await say(one, "CancelTask", { id: "" }, { name: "rest" })).status).toBe(404);
    const older = await say(one, "message/send", { message: {} }, { name: "rest", version: "0.3" });
    expect([older.status, await codeIn(older)]).toEqual([400, "a2a_malformed"]);
    rest.close();
  });

  it("of 0.3 are found and called by the protocol's own client of that version", async () => {
    const old = await startEchoAgent({ isLegacy: true });
    await server.admin("POST", "/v1/upstreams", {
      name: "old",
      kind: "a2a",
      url: old.url,
      allow_private: true,
    });
    await approve("old");
    const client = await connect(one, "old");
    expect(client.protocolVersion).toBe("0.3");
    const task = await client.sendMessage(requestOf("hello"));
    expect(JSON.stringify(task)).toContain("hello");
    old.close();
  });

  it("and say what is no text are refused as what they are, and their callers are not", async () => {
    const odd = await listen((request, response) => {
      if (request.method === "GET") return void response.end(JSON.stringify(cardOf(odd.url)));
      request.resume();
      response.writeHead(request.url === "/broken" ? 500 : 200, { "content-type": "application/json" });
      response.end(Uint8Array.of(0xff));
    });
    for (const name of ["odd", "broken"]) {
      const settings = { endpoint: `/${name}` };
      const body = { name, kind: "a2a", url: odd.url, allow_private: true, settings };
      await server.admin("POST", "/v1/upstreams", body);
      await approve(name);
      const answer = await say(one, "SendMessage", { message: messageOf("hello") }, { name });
      expect([answer.status, await codeIn(answer)]).toEqual([502, "upstream_answer_refused"]);
    }
    odd.close();
  });
});

describe("the methods of A2A", () => {
  const upstream = { name: parseUpstreamName("echo"), kind: "a2a", resource: "", settings: {} } as const;
  const plan = (message: object, path = "/a2a", method = "POST") =>
    planCall(upstream, {
      method,
      target: parseRequestTarget(path),
      headers: {},
      body: encodeUtf8(JSON.stringify(message)),
    });

  it("are each an action, or refused", () => {
    const actions = {
      send: "send",
      stream: "send",
      get: "read",
      subscribe: "read",
      cancel: "cancel",
    } as const;
    for (const [method, subject] of Object.entries(A2A_METHODS)) {
      const { action } = plan({ jsonrpc: "2.0", id: 1, method, params: {} });
      const place = actions[subject] === "send" ? "messages" : "tasks";
      expect(action).toBe(`${actions[subject]}:a2a:echo/${place}`);
    }
    for (const [method, refusal] of Object.entries(A2A_REFUSED))
      expectCode(
        () => plan({ jsonrpc: "2.0", id: 1, method, params: {} }),
        refusal === "push" ? "a2a_push_refused" : "a2a_method_refused",
      );
    for (const method of ["constructor", "message/steal", "sendmessage"])
      expectCode(() => plan({ jsonrpc: "2.0", id: 1, method, params: {} }), "a2a_method_refused");
    expect(plan({}, "/.well-known/agent-card.json", "GET").action).toBe("read:a2a:echo/card");
  });

  it("are every method that the protocol's own client can send", async () => {
    const sent = new Set<string>();
    const fetchImpl = (async (_url: unknown, init: RequestInit) => {
      const { method } = JSON.parse(String(init.body));
      if (typeof method === "string") sent.add(method);
      throw new Error("enough");
    }) as unknown as typeof fetch;
    const transport = await new JsonRpcTransportFactory({ fetchImpl }).create(
      "https://agent.test/a2a",
      cardOf("https://agent.test/a2a") as never,
    );
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(transport));
    for (const name of methods.filter((one) => !one.startsWith("_") && one !== "constructor")) {
      const act = Reflect.get(transport, name);
      if (typeof act !== "function") continue;
      try {
        const made = act.call(transport, {}, {});
        if (made?.next !== undefined) await made.next();
        else await made;
      } catch {
        // What it wanted to send was noted.
      }
    }
    const known = [...Object.keys(A2A_METHODS), ...Object.keys(A2A_REFUSED)];
    expect(sent.size).toBeGreaterThan(9);
    expect([...sent].filter((method) => !known.includes(method))).toEqual([]);
  });

  it("ask for no push to an address of the agent's choice, in any spelling", async () => {
    const url = "http://169.254.169.254/latest/meta-data";
    for (const [member, value] of [
      ["taskPushNotificationConfig", { url }],
      ["pushNotificationConfig", { url }],
      ["taskPushNotificationConfig", {}],
      ["task_push_notification_config", { url }],
    ] as const) {
      const params = { configuration: { [member]: value } };
      expectCode(() => plan({ jsonrpc: "2.0", id: 1, method: "SendMessage", params }), "a2a_push_refused");
    }
    await expectRejection(say(one, "CreateTaskPushNotificationConfig", { url }), "a2a_push_refused");
    expect(
      plan({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: { configuration: {} } }),
    ).toBeDefined();
  });

  it("come one by one, as requests, for no tenant of the caller's choice", () => {
    const batch = [{ jsonrpc: "2.0", id: 1, method: "GetTask", params: {} }];
    expectCode(() => plan(batch), "a2a_malformed");
    expectCode(() => plan({ jsonrpc: "2.0", method: "GetTask", params: {} }), "a2a_malformed");
    const params = { tenant: "other" };
    expectCode(() => plan({ jsonrpc: "2.0", id: 1, method: "GetTask", params }), "a2a_malformed");
    // Readers of the schema take these for `taskId` and the like.
    for (const member of ["task_id", "context_id", "reference_task_ids", "name"])
      for (const params of [
        { [member]: "x" },
        { message: { [member]: "x" } },
        { configuration: { [member]: "x" } },
      ])
        expectCode(() => plan({ jsonrpc: "2.0", id: 1, method: "SendMessage", params }), "a2a_malformed");
    // A list with the object in it would go on without having been looked into.
    for (const params of [
      { message: [{ taskId: "x" }] },
      { configuration: [{ pushNotificationConfig: {} }] },
    ])
      expectCode(() => plan({ jsonrpc: "2.0", id: 1, method: "SendMessage", params }), "a2a_malformed");
    expectCode(() => plan({}, "/a2a", "GET"), "method_not_allowed");
    expectCode(() => plan({}, "/elsewhere"), "route_unknown");
  });
});
