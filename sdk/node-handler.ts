/**
 * `node:http` style: a request listener around the service's own one.
 *
 * Reads the body itself, since the intent is bound to it, and gives it to the listener as `visit.body`. The visit is
 * over when the answer is: a stream that breaks off is reported as aborted.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import {
  formatRoutesDocument,
  matchRoute,
  ROUTES_PATH,
  type RouteTable,
} from "@trustwarden/core/route-table.ts";
import { INTENT_HEADER, SALT_HEADER } from "./agent-session.ts";
import { APPROVAL_HEADER } from "./approvals.ts";
import { readBody } from "./https-request.ts";
import type { Receipt } from "./receipt.ts";
import { peerChainOfMessage } from "./tls.ts";
import type { Visit, VisitArrival } from "./visit.ts";
import { createRefusal, receiptHeader } from "./visit-answer.ts";
import { type Ending, type Reception, receiveVisit } from "./visit-ports.ts";

const MAX_BODY_BYTES = 1_048_576;
const BODY_TIMEOUT_MS = 10_000;

/** The service's own listener; called only for visits that are allowed and recorded. */
export type VisitListener = (
  request: IncomingMessage,
  response: ServerResponse,
  visit: Visit,
) => Promise<void> | void;

/** What stopped a visit, exactly; for the service's own log. */
export type OnRefusal = (error: unknown, request: { readonly method: string; readonly path: string }) => void;

/** Handles one request from arrival to the end of its answer; rejects only with what `onRefusal` throws. */
export async function handleVisit(
  options: {
    readonly reception: Reception;
    readonly table: RouteTable;
    readonly listener: VisitListener;
    readonly onRefusal: OnRefusal;
  },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { reception, table, listener } = options;
  const method = request.method ?? "";
  let receipt: Receipt | undefined;
  try {
    const target = parseRequestTarget(request.url ?? "");
    if (method === "GET" && target.path === ROUTES_PATH) {
      writeRoutes(response, formatRoutesDocument(reception.id, table));
      return;
    }
    const match = matchRoute(table, method, target);
    const arrival = await readVisitArrival(request, { method, target, match });
    await receiveVisit(reception, arrival, {
      onReceipt: (verified) => {
        receipt = verified.receipt;
      },
      run: async (visit, end) => {
        // Whoever left while it was decided about gets nothing done; its answer would never be over.
        if (response.closed) return end.ended({ status: "aborted", bytes: 0 });
        for (const [name, value] of Object.entries(receiptHeader(visit.receipt)))
          response.setHeader(name, value);
        const ending = watchEnding(response);
        visit.signal.addEventListener("abort", () => response.destroy(), { once: true });
        await listener(request, response, visit);
        end.ended(await ending);
      },
    });
  } catch (error) {
    writeRefusal(request, response, createRefusal(error, receipt));
    options.onRefusal(error, { method, path: (request.url ?? "").slice(0, 256) });
  }
}

/** What came, with its whole body. @throws TrustWardenError `no_svid`, `no_intent`, `request_too_large`. */
export async function readVisitArrival(
  request: IncomingMessage,
  row: Pick<VisitArrival, "method" | "target" | "match">,
): Promise<VisitArrival> {
  const peerChain = peerChainOfMessage(request);
  const body = await readBody(request, { maxBytes: MAX_BODY_BYTES, timeoutMs: BODY_TIMEOUT_MS });
  return {
    ...row,
    body,
    peerChain,
    intent: headerOf(request, INTENT_HEADER),
    salt: headerOf(request, SALT_HEADER),
    approval: headerOf(request, APPROVAL_HEADER),
  };
}

/** One header line or none; two are refused, since two readers could take different ones. */
function headerOf(request: IncomingMessage, name: string): string | undefined {
  const values = request.headersDistinct[name];
  if (values !== undefined && values.length !== 1)
    throw new TrustWardenError("no_intent", { reason: "two headers" });
  return values?.[0];
}

/** Resolves when the answer is over: sent, or broken off. */
function watchEnding(response: ServerResponse): Promise<Ending> {
  const bytesBefore = response.socket?.bytesWritten ?? 0;
  const { promise, resolve } = Promise.withResolvers<Ending>();
  response.once("close", () => {
    const bytes = Math.max(0, (response.req.socket.bytesWritten ?? 0) - bytesBefore);
    if (!response.writableFinished) resolve({ status: "aborted", bytes });
    else resolve({ status: response.statusCode < 400 ? "success" : "failure", bytes });
  });
  return promise;
}

function writeRoutes(response: ServerResponse, document: string): void {
  response.writeHead(200, { "cache-control": "no-store", "content-type": "application/json" });
  response.end(document);
}

function writeRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: ReturnType<typeof createRefusal>,
): void {
  if (response.headersSent) {
    // The listener failed in the middle of its answer: the visitor must not take the rest for the whole.
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  // A body that was not read to its end would be taken for the next request.
  const connection = request.complete ? {} : { connection: "close" };
  response.writeHead(status, { ...headers, ...connection });
  response.end(body);
}
