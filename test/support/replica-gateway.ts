/** A service behind the gateways of servers that share a store, and calls to it by either of them. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { Agent, request as tlsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { serverIdOf, signedRequest, type TestInstance } from "./actors.ts";
import { type RawAnswer, type RawRequest, send, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

const TICK_MS = 20;
const ROUTES = [
  { method: "GET", path: "/items", action: "read:items", resource: "shop://items" },
  { method: "GET", path: "/stream", action: "read:stream", resource: "shop://stream" },
  {
    method: "GET",
    path: "/mail",
    action: "read:mail",
    resource: "shop://mail",
    labels: ["private", "untrusted"],
  },
  { method: "POST", path: "/notes", action: "write:notes", resource: "shop://notes" },
];

/** What an agent needs for all of it. */
export const SHOP_SCOPE = ["read:items", "read:stream", "read:mail", "write:notes"];

/** Calls whose meaning is a row of the table. */
export const CALLS = {
  items: { method: "GET", target: "/shop/items", action: "read:items", resource: "shop://items" },
  stream: { method: "GET", target: "/shop/stream", action: "read:stream", resource: "shop://stream" },
  mail: { method: "GET", target: "/shop/mail", action: "read:mail", resource: "shop://mail" },
  notes: {
    method: "POST",
    target: "/shop/notes",
    action: "write:notes",
    resource: "shop://notes",
    body: "n",
  },
} as const;

/** One of them. */
export type ShopCall = (typeof CALLS)[keyof typeof CALLS];

/** The service. */
export interface ReplicaShop {
  readonly url: string;
  /** Heads of what reached it. */
  readonly seen: readonly IncomingMessage["headers"][];
  close(): void;
}

export async function openReplicaShop(): Promise<ReplicaShop> {
  const seen: IncomingMessage["headers"][] = [];
  const server = createServer((request, response) => {
    request.resume();
    seen.push(request.headers);
    if (request.url !== "/stream") return void response.end("done");
    const timer = setInterval(() => response.write("tick"), TICK_MS);
    response.once("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // The cast: a TCP server has an address of that form.
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Registers the service as `shop`. */
export function registerShop(
  { adminSocket }: TestServer,
  { url }: ReplicaShop,
  changes: object = {},
): Promise<RawAnswer> {
  const shop = { name: "shop", kind: "http", url, allow_private: true, settings: { routes: ROUTES } };
  const body = JSON.stringify({ ...shop, ...changes });
  return sendAdmin(adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

/** One call as the agent signs it. */
export async function signCall(
  server: TestServer,
  agent: TestInstance,
  call: ShopCall,
  intent: object = {},
): Promise<RawRequest> {
  const { action, resource } = call;
  const aud = await serverIdOf(server);
  return signedRequest(agent, { ...call, aud, intent: { action, resource, ...intent } });
}

export function sendCall(port: number, request: RawRequest, agent: TestInstance): Promise<RawAnswer> {
  return send(`https://127.0.0.1:${port}`, request, agent.tls);
}

/** An answer without end that has begun. */
export interface RunningCall {
  /** Milliseconds from now until it breaks off. */
  end(): Promise<number>;
}

/** Begins the call whose answer has no end. */
export async function beginStream(
  port: number,
  request: RawRequest,
  agent: TestInstance,
): Promise<RunningCall> {
  const over = new Agent({ rejectUnauthorized: false, ...agent.tls });
  const { method = "GET", target: path, headers = {} } = request;
  const sent = tlsRequest({ host: "127.0.0.1", port, method, path, headers, agent: over });
  sent.on("error", () => undefined);
  sent.end();
  const [answer]: IncomingMessage[] = await once(sent, "response");
  if (answer?.statusCode !== 200)
    throw new Error(`the stream was answered ${answer?.statusCode} ${answer?.read()}`);
  answer.on("error", () => undefined);
  await once(answer, "data");
  const closed = new Promise<void>((resolve) => answer.once("close", () => resolve()));
  answer.resume();
  return {
    end: async () => {
      const fromMs = performance.now();
      await closed;
      over.destroy();
      return performance.now() - fromMs;
    },
  };
}
