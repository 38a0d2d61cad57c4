/** A real A2A agent on loopback for tests, made with the protocol's own SDK: it says back what it is told. */
import { createServer } from "node:http";
import { AgentCard, type Message, Role, TaskState } from "@a2a-js/sdk";
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
  ServerCallContext,
  UnauthenticatedUser,
} from "@a2a-js/sdk/server";

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
  const requests = new DefaultRequestHandler(AgentCard.fromJSON(card), new InMemoryTaskStore(), executor);
  return new JsonRpcTransportHandler(requests);
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

export async function startEchoAgent(): Promise<RunningAgent> {
  const heard: string[] = [];
  let world: A2aWorld | undefined;
  let echo: JsonRpcTransportHandler | undefined;
  const server = createServer(async (request, response) => {
    if (request.method === "GET") return void response.end(JSON.stringify(world?.card));
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    heard.push(body);
    const context = new ServerCallContext({
      user: new UnauthenticatedUser(),
      requestedVersion: "1.0",
    } as never);
    const answer = await echo?.handle(JSON.parse(body), context);
    if (answer === undefined || !(Symbol.asyncIterator in answer)) {
      response.writeHead(200, { "content-type": "application/json" });
      return void response.end(JSON.stringify(answer));
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for await (const event of answer) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  world = { card: cardOf(url), heard };
  echo = createEcho(world.card);
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url, world, close };
}
