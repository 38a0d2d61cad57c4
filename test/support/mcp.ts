/** Official MCP clients for tests, going through a gateway: each request planned, signed and sent as an agent's call. */
import { request as tlsRequest } from "node:https";
import { Readable } from "node:stream";
import { eventAnswer, eventPage } from "@trustwarden/core/api/ledger.ts";
import type { PinAnswer } from "@trustwarden/core/api/mcp.ts";
import { catalogueAnswer } from "@trustwarden/core/api/mcp.ts";
import { encodeUtf8, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { signedRequest, type TestInstance } from "./actors.ts";
import { jsonOf, type RawAnswer, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

/** An upstream, as an agent knows it. */
export interface McpUpstream {
  readonly name: string;
  readonly settings: JsonObject;
}

/** `fetch` for one agent and one upstream; what it is given goes out as it is. */
export function createGatewayFetch(options: {
  readonly gatewayUrl: string;
  readonly aud: string;
  readonly agent: TestInstance;
  readonly upstream: McpUpstream;
}): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (url, init = {}) => {
    const request = new Request(url, { ...init, duplex: "half" } as RequestInit);
    const body = init.body == null ? "" : await request.text();
    const target = `/${options.upstream.name}/mcp`;
    const headers = Object.fromEntries(request.headers);
    const { action, resource } = planOf(options.upstream, { method: request.method, headers, body });
    const signed = signedRequest(options.agent, {
      method: request.method,
      target,
      body,
      aud: options.aud,
      action,
      intent: { action, resource },
      headers,
    });
    return sendStreaming(`${options.gatewayUrl}${target}`, {
      method: request.method,
      headers: signed.headers ?? {},
      body,
      agent: options.agent,
      signal: init.signal ?? null,
    });
  };
}

/** What a request means; a request without any meaning is signed for as something else, to see it refused. */
function planOf(
  { name, settings }: McpUpstream,
  request: { readonly method: string; readonly headers: Record<string, string>; readonly body: string },
): { readonly action: string; readonly resource: string } {
  try {
    return planCall(
      { name: parseUpstreamName(name), kind: "mcp", resource: "", settings },
      { ...request, target: parseRequestTarget("/mcp"), body: encodeUtf8(request.body) },
    );
  } catch {
    return { action: `list:mcp:${name}/server`, resource: `mcp://${name}/server` };
  }
}

function sendStreaming(
  url: string,
  sent: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly agent: TestInstance;
    readonly signal: AbortSignal | null;
  },
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const { key, cert } = sent.agent.tls;
  const request = tlsRequest(
    url,
    {
      method: sent.method,
      headers: {
        ...sent.headers,
        ...(sent.body === "" ? {} : { "content-length": Buffer.byteLength(sent.body) }),
      },
      key,
      cert,
      rejectUnauthorized: false,
      agent: false,
      ...(sent.signal === null ? {} : { signal: sent.signal }),
    },
    (message) => {
      const headers = new Headers();
      for (const [name, value] of Object.entries(message.headers)) {
        if (value !== undefined) headers.append(name, typeof value === "string" ? value : value.join(", "));
      }
      const status = message.statusCode ?? 0;
      const isEmpty = status === 204 || status === 202;
      if (isEmpty) message.resume();
      message.on("error", () => undefined);
      resolve(
        new Response(isEmpty ? null : (Readable.toWeb(message) as ReadableStream), { status, headers }),
      );
    },
  );
  request.on("error", reject);
  request.end(sent.body);
  return promise;
}

/** Registers an MCP server on loopback. */
export function registerMcp(
  server: TestServer,
  { name, url, settings }: McpUpstream & { readonly url: string },
): Promise<RawAnswer> {
  const body = JSON.stringify({ name, kind: "mcp", url, allow_private: true, settings });
  return sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

/** Looks at an upstream, and approves whatever it offers, or only what is named. */
export async function pinAll(
  server: TestServer,
  name: string,
  isWanted: (pin: PinAnswer) => boolean = () => true,
): Promise<readonly PinAnswer[]> {
  const path = `/v1/upstreams/${name}/mcp`;
  const looked = await sendAdmin(server.adminSocket, { method: "POST", target: `${path}/look` });
  const { pins } = catalogueAnswer.parse(jsonOf(looked));
  const approve = pins.filter(isWanted).flatMap(({ kind, name: what, seen }) => {
    return seen === null ? [] : [{ kind, name: what, sha256: seen.sha256 }];
  });
  const body = JSON.stringify({ approve });
  const approved = await sendAdmin(server.adminSocket, { method: "POST", target: `${path}/approvals`, body });
  return catalogueAnswer.parse(jsonOf(approved)).pins;
}

/** What the ledger holds of an upstream's catalogue: every change that was seen or approved, newest event first. */
export async function changesOf(server: TestServer): Promise<readonly JsonObject[]> {
  const page = await sendAdmin(server.adminSocket, { target: "/v1/events?kind=upstream&limit=500" });
  const changes: JsonObject[] = [];
  for (const { event_id } of eventPage.parse(jsonOf(page)).events) {
    const answer = await sendAdmin(server.adminSocket, { target: `/v1/events/${event_id}` });
    for (const { entry } of eventAnswer.parse(jsonOf(answer)).records) {
      const payload = parseUtf8(parseBase64(JSON.parse(entry).payload));
      const { changed = [] } = JSON.parse(payload).details ?? {};
      changes.push(...changed);
    }
  }
  return changes;
}
