/** A gateway with one MCP server behind it, and a plain local endpoint for clients that know nothing of us. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { catalogueAnswer } from "@trustwarden/core/api/mcp.ts";
import { publicError, TrustWardenError } from "@trustwarden/core/error.ts";
import { formatMcpRefusal } from "@trustwarden/core/gateway/mcp/refusal.ts";
import { AgentIdentity } from "trustwarden";
import { type LiveServer, startLiveServer } from "../../sdk/live.test.support.ts";
import { exploreModern } from "./exploring-client.ts";

const LOCAL = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/;

/** An upstream for a while. */
export interface Upstream {
  readonly name: string;
  readonly url: string;
  readonly settings?: object;
  /** Name of a secret that goes along. */
  readonly secret?: string;
}

/** Owns a server with its gateway and one agent, whose requests any local client may make. */
export class GatewayLab {
  readonly #server: LiveServer;
  readonly #agent: AgentIdentity;

  private constructor(server: LiveServer, agent: AgentIdentity) {
    this.#server = server;
    this.#agent = agent;
  }

  /** Of the server. */
  get dataDir(): string {
    return this.#server.dataDir;
  }

  static async open(): Promise<GatewayLab> {
    const server = await startLiveServer({ hasGateway: true });
    const scope = ["list:mcp", "call:mcp", "read:mcp", "get:mcp", "reply:mcp"];
    const ticket = server.ticket({ name: "judged", scope });
    return new GatewayLab(server, await AgentIdentity.create({ name: "judged", ticket }));
  }

  /** Registers a server, and approves all that it offers when asked to. */
  async register(
    { name, url, settings = {}, secret }: Upstream,
    { isPinned }: { readonly isPinned: boolean },
  ): Promise<void> {
    const body = {
      name,
      kind: "mcp",
      url,
      allow_private: true,
      settings,
      ...(secret === undefined ? {} : { secret }),
    };
    await this.#server.admin("POST", "/v1/upstreams", body);
    if (!isPinned) return;
    await this.#approve(name, await this.#server.admin("POST", `/v1/upstreams/${name}/mcp/look`));
  }

  /** Approves what calls of the agent have shown of a server; how many definitions that were. */
  async approveSeen(name: string): Promise<number> {
    return this.#approve(name, await this.#server.admin("GET", `/v1/upstreams/${name}/mcp`));
  }

  /** One tool of a server that agents alone may see: looked at, approved, used. @throws where a call is refused. */
  async useTool(name: string): Promise<void> {
    const local = await this.openLocal(name);
    try {
      // An operator's look has no secret with it: what the server offers is seen by the first call of an agent.
      await exploreModern(local.url, []);
      if ((await this.approveSeen(name)) === 0) throw new Error("nothing was seen of the server");
      await exploreModern(local.url, [{ name: "test-tool", arguments: {} }]);
    } finally {
      local.close();
    }
  }

  async #approve(name: string, catalogue: unknown): Promise<number> {
    const looked = catalogueAnswer.parse(catalogue);
    const approve = looked.pins.flatMap(({ kind, name: what, seen }) =>
      seen === null ? [] : [{ kind, name: what, sha256: seen.sha256 }],
    );
    await this.#server.admin("POST", `/v1/upstreams/${name}/mcp/approvals`, { approve });
    return approve.length;
  }

  /** Gives the broker a token source, for every agent of the lab at one upstream. */
  async addTokenSource(secret: {
    readonly name: string;
    readonly upstream: string;
    readonly url: string;
    readonly source: object;
    readonly value: string;
  }): Promise<void> {
    const { name, upstream, url, source, value } = secret;
    await this.#server.admin("POST", "/v1/secrets", {
      ...{ name, kind: "oauth", source, value, agents: ["agent:**"] },
      upstreams: [{ name: upstream, origin: url }],
      injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
    });
  }

  /** A plain HTTP endpoint on loopback whose every request goes through the gateway as the agent's. */
  async openLocal(upstream: string): Promise<{ readonly url: string; readonly close: () => void }> {
    const local = createServer((request, response) => {
      this.#passOn(upstream, request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => local.listen(0, "127.0.0.1", resolve));
    const { port } = local.address() as AddressInfo;
    const close = (): void => {
      local.closeAllConnections();
      local.close();
    };
    return { url: `http://127.0.0.1:${port}/mcp`, close };
  }

  async close(): Promise<void> {
    await this.#agent.close();
    await this.#server.close();
  }

  async #passOn(upstream: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    // As MCP asks of whoever listens on loopback: no web page of another origin gets through (D17).
    const { host = "", origin = host } = request.headers;
    const isOurs = LOCAL.test(host) && LOCAL.test(origin.replace("http://", ""));
    if (!isOurs) return void response.writeHead(403).end();
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const sent = await readBody(request);
    const { host: _, origin: __, connection: ___, ...headers } = request.headers;
    const asked = this.#agent.fetch(`${this.#server.gatewayUrl}/${upstream}/mcp`, {
      method: request.method ?? "GET",
      headers: headers as Record<string, string>,
      ...(sent.length === 0 ? {} : { body: sent }),
      signal: gone.signal,
    });
    const answer = await asked.catch((error: unknown) => refuse(response, error, sent));
    if (answer === undefined) return;
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body === null) return void response.end();
    const body = Readable.fromWeb(answer.body as never);
    body.on("error", () => response.destroy());
    body.pipe(response);
  }
}

/** What the agent's own planner refuses never reaches the gateway; it is said in the same words. */
function refuse(response: ServerResponse, error: unknown, sent: Uint8Array): undefined {
  if (!(error instanceof TrustWardenError)) throw error;
  response.writeHead(error.status, { "content-type": "application/json" });
  response.end(JSON.stringify(formatMcpRefusal(publicError(error), sent)));
}

async function readBody(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
