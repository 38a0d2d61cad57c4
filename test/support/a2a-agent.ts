/** A real A2A agent on loopback for tests, made with the protocol's own SDK: it says back what it is told. */
import { createServer, type RequestListener } from "node:http";
import { createRequire } from "node:module";
import { AgentCard, type Message, Role, TaskState } from "@a2a-js/sdk";
import { LegacyJsonRpcTransportHandler } from "@a2a-js/sdk/compat/v0_3/server";
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
  ServerCallContext,
  UnauthenticatedUser,
} from "@a2a-js/sdk/server";
import { restHandler, UserBuilder } from "@a2a-js/sdk/server/express";

/** What the SDK's routes are made for; it comes along with the SDK of MCP. */
const express: () => RequestListener & {
  use(path: string, handler: unknown): void;
  get(path: string, handle: RequestListener): void;
} = createRequire(import.meta.url)("express");

/** What tests change of the agent while it runs, and what it heard. */
export interface A2aWorld {
  /** The card as it is served. */
  card: Readonly<Record<string, unknown>>;
  /** Bodies of every message. */
  readonly heard: string[];
}

export interface RunningAgent {
  readonly url: string;
  readonly world: A2aWorld;
  close(): void;
}

/** A card of an agent that speaks JSON-RPC. */
export function cardOf(url: string): Readonly<Record<string, unknown>> {
  return {
    name: "echo",
    description: "Says it again.",
    version: "1.0.0",
    supportedInterfaces: [{ url, protocolBinding: "JSONRPC", protocolVersion: "1.0" }],
    capabilities: { streaming: true, pushNotifications: false },
    defaultInputModes: ["text/plain"],
    defaultOutputModes: ["text/plain"],
    skills: [{ id: "echo", name: "Echo", description: "Says it again.", tags: ["echo"] }],
  };
}

const executor: AgentExecutor = {
  execute: async (context, bus) => {
    const { taskId, contextId, userMessage } = context;
    const status = (state: TaskState) => ({ state, message: undefined, timestamp: new Date().toISOString() });
    const ids = { taskId, contextId };
    bus.publish(
      AgentEvent.task({
        id: taskId,
        contextId,
        status: status(TaskState.TASK_STATE_WORKING),
        artifacts: [],
        history: [userMessage],
        metadata: {},
      }),
    );
    const artifact = {
      artifactId: "a",
      name: "echo",
      description: "",
      parts: userMessage.parts,
      metadata: {},
      extensions: [],
    };
    bus.publish(
      AgentEvent.artifactUpdate({ ...ids, artifact, append: false, lastChunk: true, metadata: {} }),
    );
    const isWaiting = JSON.stringify(userMessage.parts).includes("wait");
    const state = isWaiting ? TaskState.TASK_STATE_INPUT_REQUIRED : TaskState.TASK_STATE_COMPLETED;
    bus.publish(AgentEvent.statusUpdate({ ...ids, status: status(state), metadata: {} }));
    bus.finished();
  },
  cancelTask: async (taskId, bus) => {
    const status = {
      state: TaskState.TASK_STATE_CANCELED,
      message: undefined,
      timestamp: new Date().toISOString(),
    };
    bus.publish(AgentEvent.statusUpdate({ taskId, contextId: "", status, metadata: {} }));
    bus.finished();
  },
};

/** What answers one body of JSON-RPC. */
export function createEcho(card: Readonly<Record<string, unknown>>): JsonRpcTransportHandler {
  return new JsonRpcTransportHandler(requestsOf(card));
}

/** A message of a user, as the SDK's clients send it. */
export function messageOf(text: string, more: Partial<Message> = {}): Message {
  return {
    messageId: crypto.randomUUID(),
    contextId: "",
    taskId: "",
    role: Role.ROLE_USER,
    parts: [
      { content: { $case: "text", value: text }, metadata: undefined, filename: "", mediaType: "text/plain" },
    ],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
    ...more,
  } as Message;
}

/** An agent that is called by JSON-RPC, in the words of 1.0, or of 0.3 alone. */
export async function startEchoAgent({ isLegacy = false } = {}): Promise<RunningAgent> {
  const heard: string[] = [];
  const running = await listen((request, response) => void answer(request, response));
  const world: A2aWorld = { card: isLegacy ? legacyCardOf(running.url) : cardOf(running.url), heard };
  const requests = requestsOf(cardOf(running.url));
  const echo = isLegacy ? new LegacyJsonRpcTransportHandler(requests) : new JsonRpcTransportHandler(requests);
  const answer: (...given: Parameters<RequestListener>) => Promise<void> = async (request, response) => {
    if (request.method === "GET") return void response.end(JSON.stringify(world.card));
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    heard.push(body);
    const context = new ServerCallContext({
      user: new UnauthenticatedUser(),
      requestedVersion: isLegacy ? "0.3" : "1.0",
    } as never);
    const said = await echo.handle(JSON.parse(body), context);
    if (!(Symbol.asyncIterator in said)) {
      response.writeHead(200, { "content-type": "application/json" });
      return void response.end(JSON.stringify(said));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for await (const event of said) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end();
  };
  return { ...running, world };
}

/** An agent that is called by HTTP+JSON alone, behind the SDK's own routes. */
export async function startRestAgent(): Promise<RunningAgent> {
  const app = express();
  const running = await listen(app);
  const card = {
    ...cardOf(running.url),
    supportedInterfaces: [
      { url: `${running.url}/a2a`, protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
    ],
  };
  app.get("/.well-known/agent-card.json", (_request, response) => void response.end(JSON.stringify(card)));
  app.use(
    "/a2a",
    restHandler({ requestHandler: requestsOf(card), userBuilder: UserBuilder.noAuthentication }),
  );
  return { ...running, world: { card, heard: [] } };
}

function legacyCardOf(url: string): Readonly<Record<string, unknown>> {
  const { supportedInterfaces: _, ...words } = cardOf(url);
  return { ...words, url, protocolVersion: "0.3.0", preferredTransport: "JSONRPC" };
}

function requestsOf(card: Readonly<Record<string, unknown>>): DefaultRequestHandler {
  return new DefaultRequestHandler(AgentCard.fromJSON(card), new InMemoryTaskStore(), executor);
}

/** An agent of any make. */
export async function listen(handle: RequestListener): Promise<{ readonly url: string; close(): void }> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
