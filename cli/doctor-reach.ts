/** Whether something answers where `warden doctor` looks: a handshake, a connection, an answer. Nothing is sent that changes anything. */
import type { EventEmitter } from "node:events";
import { request } from "node:https";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";

const TIMEOUT_MS = 5000;

/** Where a database listens. */
export type DatabasePlace = { readonly path: string } | { readonly host: string; readonly port: number };

/** A finished handshake of TLS 1.3 with a chain that leads to `ca`, or the code of what went wrong. */
export async function shakeHands(to: {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
}): Promise<{ readonly protocol: string; readonly endsAtMs: number } | string> {
  // Our names are SPIFFE IDs, which the library does not know; the chain it checks.
  const socket = connect({
    ...to,
    minVersion: "TLSv1.3",
    timeout: TIMEOUT_MS,
    checkServerIdentity: () => undefined,
  });
  const failure = await waitFor(socket, "secureConnect");
  const seen = failure ?? {
    protocol: socket.getProtocol() ?? "",
    endsAtMs: Date.parse(socket.getPeerCertificate().valid_to),
  };
  socket.destroy();
  return seen;
}

/** Null when somebody listens, else the code of what went wrong. */
export async function reachDatabase(at: DatabasePlace): Promise<string | null> {
  const socket = connectPlain({ ...at, timeout: TIMEOUT_MS });
  const failure = await waitFor(socket, "connect");
  socket.destroy();
  return failure;
}

/** Whatever a store answers to nobody in particular, it is there. */
export async function reachStore(endpoint: string): Promise<string | null> {
  const { hostname, port, protocol } = new URL(endpoint);
  if (protocol === "http:") return reachDatabase({ host: hostname, port: Number(port || "80") });
  const sent = request(endpoint, {
    method: "HEAD",
    agent: false,
    rejectUnauthorized: false,
    timeout: TIMEOUT_MS,
  });
  sent.end();
  const failure = await waitFor(sent, "response");
  sent.destroy();
  return failure;
}

/** Null when it happens, else the code of what happened instead. */
function waitFor(from: EventEmitter, event: string): Promise<string | null> {
  return new Promise((resolve) => {
    from.once(event, () => resolve(null));
    from.once("timeout", () => resolve("no answer in time"));
    // All of them: what is destroyed may fail once more.
    from.on("error", (error) => resolve("code" in error ? String(error.code) : error.name));
  });
}
