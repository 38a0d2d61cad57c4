/**
 * Upgrades, `node:http` style: a visit that becomes a two-way connection, such as a WebSocket.
 *
 * The same path as every visit, before the first byte of the answer. The connection is the service's own to speak on;
 * it is cut when the visit may not go on, and the visit is over when it is closed.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { matchRoute, type RouteTable } from "@trustwarden/core/route-table.ts";
import { type OnRefusal, readVisitArrival } from "./node-handler.ts";
import type { Receipt } from "./receipt.ts";
import type { Visit } from "./visit.ts";
import { createRefusal } from "./visit-answer.ts";
import { type Reception, receiveVisit } from "./visit-ports.ts";

/** The service's own code for an allowed upgrade: answers on the socket, receipt included, and resolves at its end. */
export type UpgradeListener = (
  upgrade: { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Buffer },
  visit: Visit,
) => Promise<void>;

/** Handles one upgrade from arrival to the end of its connection; rejects only with what `onRefusal` throws. */
export async function handleUpgrade(
  options: {
    readonly reception: Reception;
    readonly table: RouteTable;
    readonly listener: UpgradeListener;
    readonly onRefusal: OnRefusal;
  },
  upgrade: Parameters<UpgradeListener>[0],
): Promise<void> {
  const { reception, table, listener } = options;
  const { request, socket } = upgrade;
  const method = request.method ?? "";
  // Until somebody listens, a reset by the peer must not become an uncaught error.
  socket.on("error", () => socket.destroy());
  let receipt: Receipt | undefined;
  const before = request.socket.bytesWritten;
  try {
    if (method !== "GET") throw new TrustWardenError("request_malformed", { reason: "upgrade" });
    const target = parseRequestTarget(request.url ?? "");
    const match = matchRoute(table, method, target);
    const arrival = await readVisitArrival(request, { method, target, match });
    await receiveVisit(reception, arrival, {
      onReceipt: (verified) => {
        receipt = verified.receipt;
      },
      run: async (visit, end) => {
        if (socket.destroyed) return end.ended({ status: "aborted", bytes: 0 });
        visit.signal.addEventListener("abort", () => socket.destroy(), { once: true });
        await listener(upgrade, visit);
        const status = visit.signal.aborted ? "aborted" : "success";
        end.ended({ status, bytes: Math.max(0, request.socket.bytesWritten - before) });
      },
    });
  } catch (error) {
    // Once the listener has begun to answer, only cutting it off tells the visitor that it failed.
    if (request.socket.bytesWritten > before) socket.destroy();
    else refuse(socket, createRefusal(error, receipt));
    options.onRefusal(error, { method, path: (request.url ?? "").slice(0, 256) });
  }
}

function refuse(socket: Duplex, { status, headers, body }: ReturnType<typeof createRefusal>): void {
  const lines = Object.entries({ ...headers, connection: "close" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.write(`${[`HTTP/1.1 ${status} Refused`, ...lines].join("\r\n")}\r\n\r\n`);
  socket.end(body, () => socket.destroy());
}
