/**
 * A tunnel to a place outside, through the gateway: signed here like every call, cut there like every call.
 *
 * A place that the operator did not name is asked for all the same: the gateway refuses it, and the refusal is in the
 * ledger, which is how a program that tries doors is noticed (E8).
 *
 * @see docs/path.md, "The gateway"
 */
import { request } from "node:https";
import type { Duplex } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { meaningOfPlace, type Place } from "@trustwarden/core/gateway/plan-egress.ts";
import type { AgentSession } from "./agent-session.ts";
import { requireReceipt } from "./answer-receipt.ts";
import { requireProof } from "./proven-socket.ts";

const TIMEOUT_MS = 15_000;
/** What the gateway answers for a place that the operator did not name. */
const NOT_FOUND = 404;
const NO_BODY = new Uint8Array(0);

/** A way out that is open. */
export interface GatewayTunnel {
  readonly socket: Duplex;
  /** What the place has said already. */
  readonly head: Buffer;
}

/**
 * Opens a tunnel.
 *
 * @throws TrustWardenError `upstream_unknown` when the operator allows none, `route_unknown` for a place that was not
 *   named, `denied` when the gateway refuses it, `server_unreachable`, `server_untrusted`, `receipt_invalid`.
 */
export async function openGatewayTunnel(session: AgentSession, place: Place): Promise<GatewayTunnel> {
  const egress = (await session.gateway.list()).find(({ kind }) => kind === "egress");
  const { gateway_url: url, server_id: audience } = session.server.discovery;
  if (egress === undefined || url === null)
    throw new TrustWardenError("upstream_unknown", { kind: "egress" });
  const target = `${place.host}:${place.port}`;
  const { action, resource } = meaningOfPlace(place);
  const bound = { method: "CONNECT", target, body: NO_BODY };
  const signed = session.sign({ action, resource, params: null, job: null, audience, request: bound });
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<GatewayTunnel>();
  const outgoing = request({
    agent: signed.credential.serverAgent,
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port,
    method: "CONNECT",
    path: target,
    headers: signed.headers,
    timeout: TIMEOUT_MS,
  });
  outgoing.once("connect", (message, socket, head) => {
    const prove = async (): Promise<void> => {
      const { statusCode: status = 0 } = message;
      if (status !== 200)
        throw new TrustWardenError(status === NOT_FOUND ? "route_unknown" : "denied", { status });
      await requireReceipt(session, message, { signed, enforcement: "gateway" });
    };
    requireProof(socket, prove, { timeoutMs: TIMEOUT_MS }).then(() => {
      // The time limit was for the opening; what flows has its own.
      socket.setTimeout(0);
      resolve({ socket, head });
    }, reject);
  });
  outgoing.once("timeout", () => outgoing.destroy(new TrustWardenError("server_unreachable")));
  outgoing.once("error", (cause) =>
    reject(
      cause instanceof TrustWardenError ? cause : new TrustWardenError("server_unreachable", {}, { cause }),
    ),
  );
  outgoing.end();
  return promise;
}
