/**
 * Calls through the gateway: planned here by the code that the gateway plans with, signed, and sent once.
 *
 * What is behind the gateway is read from the server once and again when a call shows that it has changed. Credentials that
 * a client library puts into its requests stay here: the gateway takes none from agents.
 */
import type { IncomingMessage } from "node:http";
import { gatewayAnswer, settingsOf } from "@trustwarden/core/api/gateway.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { forwardHeaders } from "@trustwarden/core/gateway/headers.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { parseUpstreamName, type UpstreamDescription } from "@trustwarden/core/gateway/upstream.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import type { AgentSession, SignedAction } from "./agent-session.ts";
import { requireReceipt } from "./answer-receipt.ts";
import { approvalHeader } from "./approvals.ts";
import { openHttps } from "./https-request.ts";

/** As the gateway limits it. */
export const MAX_GATEWAY_BODY_BYTES = 8_388_608;
/** Until the head of the answer: a model may think for long. */
const DEFAULT_TIMEOUT_MS = 600_000;
const NOT_AUTHENTICATED = 401;

/** One call, as the gateway gets it. */
export interface GatewayCall {
  readonly method: string;
  /** `/<upstream>/<rest>`, with the query. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** The approval for exactly this call. */
  readonly approval?: string | undefined;
  /** What several instances work on together. */
  readonly job?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Owns what one agent knows of the gateway. */
export class GatewayCatalogue {
  readonly #session: AgentSession;
  #reading: Promise<ReadonlyMap<string, UpstreamDescription>> | undefined;

  constructor(session: AgentSession) {
    this.#session = session;
  }

  /** Whether a URL leads to the gateway of this agent's server. */
  isGateway({ origin }: URL): boolean {
    const url = this.#session.server.discovery.gateway_url;
    return url !== null && new URL(url).origin === origin;
  }

  /** What is behind the gateway, by name. */
  async list(): Promise<readonly UpstreamDescription[]> {
    return [...(await this.#known()).values()];
  }

  /** @throws TrustWardenError `upstream_unknown`, and the server's refusal. */
  async find(name: string): Promise<UpstreamDescription> {
    const found = (await this.#known()).get(name) ?? (await this.#readAgain()).get(name);
    if (found === undefined) throw new TrustWardenError("upstream_unknown", { upstream: name.slice(0, 64) });
    return found;
  }

  /** The same upstream as it is now; undefined when it is what it was. */
  async findChanged(before: UpstreamDescription): Promise<UpstreamDescription | undefined> {
    const now = (await this.#readAgain()).get(before.name);
    return now === undefined || formatText(now) === formatText(before) ? undefined : now;
  }

  #known(): Promise<ReadonlyMap<string, UpstreamDescription>> {
    return this.#reading ?? this.#readAgain();
  }

  #readAgain(): Promise<ReadonlyMap<string, UpstreamDescription>> {
    const reading = this.#read();
    this.#reading = reading;
    // A read that failed is not remembered.
    reading.catch(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    return reading;
  }

  async #read(): Promise<ReadonlyMap<string, UpstreamDescription>> {
    const call = {
      action: "read:gateway",
      method: "GET",
      target: "/v1/gateway",
      schema: gatewayAnswer,
    } as const;
    const { upstreams } = await this.#session.call(call);
    return new Map(
      upstreams.map(({ name, kind, resource, settings }) => [
        name,
        { name: parseUpstreamName(name), kind, resource, settings: settingsOf(settings) },
      ]),
    );
  }
}

/**
 * Sends one call and resolves with the head of its answer.
 *
 * @throws TrustWardenError `upstream_unknown`, `route_unknown` and the codes of the planner, before anything is sent;
 *   `server_unreachable`, `server_untrusted`, `receipt_invalid`.
 */
export async function openGatewayCall(session: AgentSession, call: GatewayCall): Promise<IncomingMessage> {
  if (call.body.length > MAX_GATEWAY_BODY_BYTES)
    throw new TrustWardenError("request_too_large", { maxBytes: MAX_GATEWAY_BODY_BYTES });
  const upstream = await session.gateway.find(parseRequestTarget(call.target).segments[0] ?? "");
  const serverId = session.server.discovery.server_id;
  const first = await sendOnce(session, call, upstream);
  if (first.statusCode !== NOT_AUTHENTICATED) return first;
  // Nothing was done. The plan was of yesterday when the operator has changed what a call means, or the server began anew.
  const changed = await session.gateway.findChanged(upstream);
  if (changed === undefined && session.server.discovery.server_id === serverId) return first;
  first.resume();
  return sendOnce(session, call, changed ?? upstream);
}

async function sendOnce(
  session: AgentSession,
  call: GatewayCall,
  upstream: UpstreamDescription,
): Promise<IncomingMessage> {
  const signed = signCall(session, call, upstream);
  const url = session.server.discovery.gateway_url;
  if (url === null) throw new TrustWardenError("upstream_unknown", { reason: "this server has no gateway" });
  const { method, target, headers, body } = call;
  const message = await openHttps({
    agent: signed.credential.serverAgent,
    origin: new URL(url),
    method,
    target,
    headers: { ...forwardHeaders(headers), ...signed.headers, ...approvalHeader(call) },
    body: method === "GET" || method === "HEAD" ? undefined : body,
    timeoutMs: call.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    signal: call.signal,
  });
  await requireReceipt(session, message, { signed, enforcement: "gateway" });
  return message;
}

function signCall(session: AgentSession, call: GatewayCall, upstream: UpstreamDescription): SignedAction {
  const { method, target, headers, body } = call;
  const below = target.slice(upstream.name.length + 1);
  const request = {
    method,
    target: parseRequestTarget(below.startsWith("/") ? below : `/${below}`),
    headers,
    body,
  };
  const { action, resource } = planCall(upstream, request);
  const audience = session.server.discovery.server_id;
  const bound = { method, target, body };
  return session.sign({ action, resource, params: null, job: call.job ?? null, audience, request: bound });
}

function formatText({ kind, resource, settings }: UpstreamDescription): string {
  return formatCanonicalJson({ kind, resource, settings });
}
