/**
 * `fetch` for agents: one request, one signed intent, over a connection to a proven service.
 *
 * No redirects (an intent is for one target) and no retries (an intent acts once); who wants another try calls again
 * and gets a new intent. An answer that claims success without a receipt that holds is not passed on.
 */
import type { IncomingMessage } from "node:http";
import type { Agent } from "node:https";
import { Readable } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { matchRoute } from "@trustwarden/core/route-table.ts";
import type { AgentSession, Asked, SignedAction } from "./agent-session.ts";
import { requireReceipt } from "./answer-receipt.ts";
import { approvalHeader } from "./approvals.ts";
import { MAX_GATEWAY_BODY_BYTES, openGatewayCall } from "./gateway-call.ts";
import { openHttps } from "./https-request.ts";
import { type PeerRoutes, type PeerRoutesCache, verifierNameOf } from "./peer-routes.ts";

const DEFAULT_TIMEOUT_MS = 30_000;
/** As services limit it. */
const MAX_BODY_BYTES = 1_048_576;
/** Set by the connection or by us; what a caller says of them is dropped. */
const OWN_HEADERS: readonly string[] = [
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
const NULL_BODY_STATUSES: readonly number[] = [204, 205, 304];

/** Options of `agent.fetch`: those of `fetch` that make sense for one bound request, and what the request means. */
export interface AgentFetchInit {
  readonly method?: string | undefined;
  readonly headers?: RequestInit["headers"] | undefined;
  readonly body?: RequestInit["body"] | undefined;
  readonly signal?: AbortSignal | null | undefined;
  /** Such as `read:transactions`; from the service's route table when absent. */
  readonly action?: string;
  /** Such as `postgres://finance-db/transactions`; from the service's route table when absent. */
  readonly resource?: string;
  /** What the agent wants to be able to show later; only a salted commitment leaves the process. */
  readonly params?: JsonObject;
  /**
   * The verifier's name as the operator approved it, such as `finance`. Without it any verifier of the trust domain that
   * answers at the URL is spoken to; with it, a service of another name learns nothing.
   */
  readonly verifier?: string;
  /** The approval that `waitForApproval` gave for exactly this request; worth one call. */
  readonly approval?: string;
  /** What several instances work on together: what one of them reads counts for all of them. */
  readonly job?: string;
  /** Until the answer's headers are here. */
  readonly timeoutMs?: number;
}

interface Outgoing {
  readonly url: URL;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly init: AgentFetchInit;
}

/**
 * Visits a service.
 *
 * @returns the service's answer, allowed or denied (403), with its body still to be read.
 * @throws TrustWardenError `approval_required` with the request's id in its details, `peer_untrusted`, `server_unreachable`, `route_unknown`, `receipt_invalid`,
 *   `request_too_large`, `identity_expired`, `identity_closed`.
 */
export async function agentFetch(
  { session, routes }: { readonly session: AgentSession; readonly routes: PeerRoutesCache },
  asked: string | URL | Request,
  given: AgentFetchInit = {},
): Promise<Response> {
  const { url: place, init } = await readAsked(asked, given);
  if (session.gateway.isGateway(place)) return visitGateway(session, place, init);
  const outgoing = await createOutgoing(place, init, MAX_BODY_BYTES);
  if (session.server.isOwnOrigin(outgoing.url)) return visitServer(session, outgoing);
  const peer = await routes.get(outgoing.url);
  try {
    return await visit(session, outgoing, peer);
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.code !== "peer_untrusted") throw error;
    // The service has another identity than before; the handshake ended there, so no intent has left this process.
    routes.forget(outgoing.url);
    return visit(session, outgoing, await routes.get(outgoing.url));
  }
}

/** A `Request` brings its own method, headers and body; what is given beside it wins, as with `fetch`. */
async function readAsked(
  asked: string | URL | Request,
  given: AgentFetchInit,
): Promise<{ readonly url: URL; readonly init: AgentFetchInit }> {
  if (!(asked instanceof Request)) return { url: new URL(asked), init: given };
  const { method, headers, signal } = asked;
  const body = asked.body === null ? null : new Uint8Array(await asked.arrayBuffer());
  return { url: new URL(asked.url), init: { method, headers, signal, body, ...given } };
}

/** The gateway plans every call itself, so nobody is asked what it means; a caller that names it anyway is not believed. */
async function visitGateway(session: AgentSession, place: URL, init: AgentFetchInit): Promise<Response> {
  const { method, target, headers, body } = await createOutgoing(place, init, MAX_GATEWAY_BODY_BYTES);
  const { timeoutMs, signal, approval, job } = init;
  const call = { method, target, headers, body, approval, job, timeoutMs, signal: signal ?? undefined };
  return createResponse(await openGatewayCall(session, call));
}

/** The server's own API: its guard decides on the same path, and its answer needs no receipt beside its own events. */
async function visitServer(session: AgentSession, outgoing: Outgoing): Promise<Response> {
  const { url, method, target, body, init } = outgoing;
  const path = parseRequestTarget(target).path;
  const action = init.action ?? serverActionOf(method, path);
  const resource = init.resource ?? `trustwarden://${session.server.trustDomain}${path}`;
  const audience = session.server.discovery.server_id;
  const request = { method, target, body };
  const meaning = { action, resource, params: init.params ?? null, job: init.job ?? null };
  const signed = session.sign({ ...meaning, audience, request });
  return createResponse(await send(outgoing, { signed, agent: signed.credential.serverAgent, origin: url }));
}

/** What an agent may read of the ledger needs no explanation; anything else is named by who asks. */
function serverActionOf(method: string, path: string): string {
  if (method === "GET" && (path.startsWith("/v1/events") || path === "/v1/ledger/consistency"))
    return "read:ledger";
  throw new TrustWardenError("route_unknown", { method, path });
}

async function visit(session: AgentSession, outgoing: Outgoing, peer: PeerRoutes): Promise<Response> {
  const { url, method, target, body, init } = outgoing;
  requireNamed(peer, init.verifier);
  const meaning = meaningOf(outgoing, peer);
  const request = { method, target, body };
  const { params = null, job = null } = init;
  const signed = session.sign({ ...meaning, params, job, audience: peer.verifier, request });
  const agent = signed.credential.agentFor(peer.verifier);
  const message = await send(outgoing, { signed, agent, origin: url });
  await requireReceipt(session, message, { signed, enforcement: "service" });
  return createResponse(message);
}

/** A misled name service or a moved address must not hand one service's requests to another. */
function requireNamed({ verifier }: PeerRoutes, name: string | undefined): void {
  const isNamed = name === undefined || verifierNameOf(verifier) === name;
  if (!isNamed) throw new TrustWardenError("peer_untrusted", { reason: "another verifier", peer: verifier });
}

function send(
  { method, target, headers, body, init }: Outgoing,
  { signed, agent, origin }: { readonly signed: SignedAction; readonly agent: Agent; readonly origin: URL },
): Promise<IncomingMessage> {
  return openHttps({
    agent,
    origin,
    method,
    target,
    headers: { ...headers, ...signed.headers, ...approvalHeader(init) },
    body: body.length > 0 || init.body != null ? body : undefined,
    timeoutMs: init.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    signal: init.signal ?? undefined,
  });
}

function meaningOf(
  { method, target, init }: Outgoing,
  { table }: PeerRoutes,
): Pick<Asked, "action" | "resource"> {
  const { action, resource } = init;
  if (action !== undefined && resource !== undefined) return { action, resource };
  const match = matchRoute(table, method, parseRequestTarget(target));
  return { action: action ?? match.action, resource: resource ?? match.resource };
}

/** `Request` gives body, headers and method the meaning that `fetch` gives them. */
async function createOutgoing(url: URL, init: AgentFetchInit, maxBytes: number): Promise<Outgoing> {
  if (url.protocol !== "https:") throw new TrustWardenError("peer_untrusted", { reason: "not https" });
  const { method = "GET", headers, body } = init;
  const request = new Request(url.origin, {
    method,
    ...(headers === undefined ? {} : { headers }),
    ...(body == null ? {} : { body, duplex: "half" }),
  });
  const bytes = body == null ? new Uint8Array() : new Uint8Array(await request.arrayBuffer());
  if (bytes.length > maxBytes) throw new TrustWardenError("request_too_large", { maxBytes });
  const kept = [...request.headers].filter(([name]) => !isOwnHeader(name));
  return {
    url,
    method: request.method,
    target: `${url.pathname}${url.search}`,
    headers: Object.fromEntries(kept),
    body: bytes,
    init,
  };
}

function isOwnHeader(name: string): boolean {
  return OWN_HEADERS.includes(name) || name.startsWith("trustwarden-");
}

function createResponse(message: IncomingMessage): Response {
  const headers = new Headers();
  for (let index = 0; index + 1 < message.rawHeaders.length; index += 2) {
    headers.append(message.rawHeaders[index] ?? "", message.rawHeaders[index + 1] ?? "");
  }
  const status = message.statusCode ?? 0;
  const isEmpty = NULL_BODY_STATUSES.includes(status);
  if (isEmpty) message.resume();
  const body = isEmpty ? null : Readable.toWeb(message);
  return new Response(body, { status, statusText: message.statusMessage ?? "", headers });
}
