/**
 * `warden protect`: verified identity in front of a service that asks nobody who they are.
 *
 * The proxy is a service of its own (`verifyAgent`): it has an SVID, a lease and a route table, and nothing reaches the
 * service behind it but visits that were proven, decided and recorded. The service sees the very path that was decided,
 * and headers that say who came; the same headers from a visitor are dropped. Where the service can ask for a
 * certificate, the proxy shows its own, so that the service can refuse whoever comes past it (E7).
 */
import {
  type IncomingMessage,
  Agent as PlainAgent,
  request as requestPlain,
  type ServerResponse,
} from "node:http";
import { type RequestOptions, request as requestTls, type Server, Agent as TlsAgent } from "node:https";
import type { Duplex } from "node:stream";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { answerHeaders, forwardHeaders } from "@trustwarden/core/gateway/headers.ts";
import type { GuardAgents, UpgradeListener, Visit } from "trustwarden";
import { joinSockets } from "../launcher/two-way.ts";

const MAX_SOCKETS = 256;
/** Until the head of the answer. */
const ANSWER_TIMEOUT_MS = 60_000;
const TARGET =
  /^https?:\/\/(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?$/;

/** The service behind the proxy. */
export interface ProtectedService {
  /** Origin; without TLS on this machine only. */
  readonly url: string;
  /** PEM to trust instead of the system's. */
  readonly ca?: string | undefined;
}

/** @throws TrustWardenError `usage` unless it is an origin that may be spoken to. */
export function parseProtectedUrl(text: string): URL {
  const url = TARGET.test(text) ? new URL(text) : undefined;
  const isLoopback = url !== undefined && /^(?:127\.|\[::1\]$|localhost$)/.test(url.hostname);
  if (url === undefined || (url.protocol === "http:" && !isLoopback))
    throw new TrustWardenError("usage", {
      why: `${text.slice(0, 100)} is no https origin, nor http on this machine`,
    });
  return url;
}

/** A server that answers for the service; not yet listening. */
export function createProtectServer(guard: GuardAgents, service: ProtectedService): Server {
  const way = new Way(guard, service);
  const server = guard.createServer((_request, response, visit) => way.passOn(_request, response, visit));
  server.on("upgrade", guard.upgradeHandler(way.upgrade));
  server.once("close", () => way.close());
  return server;
}

/** Owns the connections to the service. */
class Way {
  readonly #guard: GuardAgents;
  readonly #service: ProtectedService;
  readonly #url: URL;
  readonly #agent: PlainAgent | TlsAgent;

  constructor(guard: GuardAgents, service: ProtectedService) {
    this.#guard = guard;
    this.#service = service;
    this.#url = parseProtectedUrl(service.url);
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    // A resumed session shows no certificate of ours again.
    this.#agent =
      this.#url.protocol === "https:"
        ? new TlsAgent({ ...options, maxCachedSessions: 0 })
        : new PlainAgent(options);
  }

  /** One allowed visit; resolves when the answer is on its way, and fails it when the service does not answer. */
  async passOn(request: IncomingMessage, response: ServerResponse, visit: Visit): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const headers = { ...forwardHeaders(request.headers), ...identityHeaders(request, visit) };
    const hasBody = visit.body.length > 0;
    const outgoing = this.#open({
      method: request.method,
      path: request.url,
      headers: hasBody ? { ...headers, "content-length": String(visit.body.length) } : headers,
      signal: visit.signal,
    });
    response.once("close", () => outgoing.destroy());
    outgoing.setTimeout(ANSWER_TIMEOUT_MS, () => outgoing.destroy(unreachable("no answer in time")));
    outgoing.once("response", (answer) => {
      outgoing.setTimeout(0);
      response.writeHead(answer.statusCode ?? 502, answerHeaders(answer.headers));
      answer.once("error", () => response.destroy());
      answer.pipe(response);
      resolve();
    });
    outgoing.on("error", (cause) =>
      response.headersSent ? response.destroy() : reject(unreachable("no connection", cause)),
    );
    outgoing.end(hasBody ? visit.body : undefined);
    return promise;
  }

  /** One allowed WebSocket; resolves when it is over. */
  readonly upgrade: UpgradeListener = async ({ request, socket, head }, visit) => {
    const { far, first, answer } = await this.#upgradeFar(request, visit);
    const receipt = `trustwarden-receipt: ${formatReceiptHeader(visit.receipt)}`;
    const kept = Object.entries(answerHeaders(answer.headers)).map(([name, value]) => `${name}: ${value}`);
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "connection: Upgrade",
      "upgrade: websocket",
      ...kept,
      receipt,
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    if (first.length > 0) far.unshift(first);
    await joinSockets(socket, far);
  };

  close(): void {
    this.#agent.destroy();
  }

  #upgradeFar(
    request: IncomingMessage,
    visit: Visit,
  ): Promise<{ readonly far: Duplex; readonly first: Buffer; readonly answer: IncomingMessage }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      far: Duplex;
      first: Buffer;
      answer: IncomingMessage;
    }>();
    const headers = {
      ...forwardHeaders(request.headers),
      ...identityHeaders(request, visit),
      connection: "Upgrade",
      upgrade: "websocket",
    };
    const outgoing = this.#open({
      method: "GET",
      path: request.url,
      headers,
      signal: visit.signal,
      timeout: ANSWER_TIMEOUT_MS,
    });
    outgoing.once("upgrade", (answer, far, first) => resolve({ far, first, answer }));
    outgoing.once("response", (answer) => {
      answer.destroy();
      reject(unreachable("no upgrade"));
    });
    outgoing.once("timeout", () => outgoing.destroy(unreachable("no answer in time")));
    outgoing.on("error", (cause) => reject(unreachable("no connection", cause)));
    outgoing.end();
    return promise;
  }

  #open(options: RequestOptions) {
    const { hostname, port, protocol } = this.#url;
    const place = { host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? undefined : Number(port) };
    if (protocol === "http:") return requestPlain({ ...place, ...options, agent: this.#agent });
    const { key, cert } = this.#guard.tlsOptions();
    const { ca } = this.#service;
    return requestTls({
      ...place,
      ...options,
      agent: this.#agent,
      key,
      cert,
      ...(ca === undefined ? {} : { ca }),
    });
  }
}

/**
 * Who came, and what was decided; a visitor's own headers of these names never get this far. Its intent does, with the
 * salt: they are the ones that were verified, and with the receipt they show the service that this very request was decided here.
 */
function identityHeaders(
  { headers }: IncomingMessage,
  { agent, action, resource, receipt }: Visit,
): Readonly<Record<string, string>> {
  return {
    "trustwarden-intent": String(headers["trustwarden-intent"]),
    "trustwarden-salt": String(headers["trustwarden-salt"]),
    "trustwarden-agent": agent.spiffeId,
    "trustwarden-agent-id": agent.agentId,
    "trustwarden-owner": agent.ownerId,
    "trustwarden-chain": agent.chain.join(","),
    "trustwarden-action": action,
    "trustwarden-resource": resource,
    "trustwarden-event": receipt.event_id,
    "trustwarden-receipt": formatReceiptHeader(receipt),
  };
}

function unreachable(reason: string, cause?: unknown): TrustWardenError {
  return cause instanceof TrustWardenError
    ? cause
    : new TrustWardenError("upstream_unreachable", { reason }, { cause });
}
