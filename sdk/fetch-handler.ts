/**
 * Fetch style: `(Request, peer) => Response`, for servers that speak the web's types.
 *
 * The web's `Request` knows nothing of certificates, so whoever owns the socket hands over the chain that its peer
 * presented. A `Request` has parsed its URL already: should that have changed the target, the commitment of the intent
 * no longer fits and the visit is refused.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import {
  formatRoutesDocument,
  matchRoute,
  ROUTES_PATH,
  type RouteTable,
} from "@trustwarden/core/route-table.ts";
import { INTENT_HEADER, SALT_HEADER } from "./agent-session.ts";
import { APPROVAL_HEADER } from "./approvals.ts";
import type { OnRefusal } from "./node-handler.ts";
import type { Receipt } from "./receipt.ts";
import type { Visit, VisitArrival } from "./visit.ts";
import { createRefusal, receiptHeader } from "./visit-answer.ts";
import { type Ending, type Reception, receiveVisit } from "./visit-ports.ts";

const MAX_BODY_BYTES = 1_048_576;

/** The service's own handler; called only for visits that are allowed and recorded. */
export type VisitFetch = (request: Request, visit: Visit) => Promise<Response> | Response;

/** The other end of the connection. */
export interface Peer {
  /** DER certificates that the TLS peer presented, leaf first: `() => peerChainOf(socket)`. Throws without any. */
  readonly chain: () => readonly Uint8Array[];
}

/** Handles one request; what stops it becomes the answer. Rejects only with what `onRefusal` throws. */
export async function fetchVisit(
  options: {
    readonly reception: Reception;
    readonly table: RouteTable;
    readonly handler: VisitFetch;
    readonly onRefusal: OnRefusal;
  },
  request: Request,
  peer: Peer,
): Promise<Response> {
  const { reception, table, handler } = options;
  const { method } = request;
  const url = new URL(request.url);
  let receipt: Receipt | undefined;
  try {
    const target = parseRequestTarget(`${url.pathname}${url.search}`);
    if (method === "GET" && target.path === ROUTES_PATH)
      return createRoutes(formatRoutesDocument(reception.id, table));
    const match = matchRoute(table, method, target);
    const arrival = await readArrival(request, { method, target, match, peerChain: peer.chain() });
    return await receiveVisit(reception, arrival, {
      onReceipt: (verified) => {
        receipt = verified.receipt;
      },
      run: async (visit, end) => watched(await handler(request, visit), visit, end.deferred()),
    });
  } catch (error) {
    options.onRefusal(error, { method, path: url.pathname.slice(0, 256) });
    const { status, headers, body } = createRefusal(error, receipt);
    return new Response(Buffer.from(body), { status, headers });
  }
}

async function readArrival(
  request: Request,
  row: Pick<VisitArrival, "method" | "target" | "match" | "peerChain">,
): Promise<VisitArrival> {
  const body = await readWhole(request.body);
  const intent = request.headers.get(INTENT_HEADER) ?? undefined;
  const salt = request.headers.get(SALT_HEADER) ?? undefined;
  const approval = request.headers.get(APPROVAL_HEADER) ?? undefined;
  return { ...row, body, intent, salt, approval };
}

async function readWhole(stream: ReadableStream<Uint8Array> | null): Promise<Uint8Array> {
  const body = new GrowingBytes();
  for await (const part of stream ?? []) {
    if (body.length + part.length > MAX_BODY_BYTES)
      throw new TrustWardenError("request_too_large", { maxBytes: MAX_BODY_BYTES });
    body.add(part);
  }
  return body.view();
}

/** The answer with its receipt; its end is reported before the visitor sees it, and when it breaks off. */
async function watched(
  response: Response,
  { receipt, signal }: Pick<Visit, "receipt" | "signal">,
  report: (ending: Ending) => Promise<void>,
): Promise<Response> {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(receiptHeader(receipt))) headers.set(name, value);
  const { status, statusText, body } = response;
  const ended = status < 400 ? "success" : "failure";
  if (body === null) {
    await report({ status: ended, bytes: 0 });
    return new Response(null, { status, statusText, headers });
  }
  return new Response(watchStream(body, { report, ended, signal }), { status, statusText, headers });
}

function watchStream(
  source: ReadableStream<Uint8Array>,
  watch: {
    readonly report: (ending: Ending) => Promise<void>;
    readonly ended: Ending["status"];
    readonly signal: AbortSignal;
  },
): ReadableStream<Uint8Array> {
  const { report, ended, signal } = watch;
  const reader = source.getReader();
  // A read that waits ends with it; what it says then is not the end of the answer.
  signal.addEventListener("abort", () => void reader.cancel(signal.reason).catch(() => undefined), {
    once: true,
  });
  let bytes = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        signal.throwIfAborted();
        if (done) {
          await report({ status: ended, bytes });
          controller.close();
          return;
        }
        bytes += value.length;
        controller.enqueue(value);
      } catch (error) {
        await report({ status: "aborted", bytes });
        controller.error(error);
      }
    },
    async cancel(reason) {
      await report({ status: "aborted", bytes });
      await reader.cancel(reason);
    },
  });
}

function createRoutes(document: string): Response {
  return new Response(document, {
    headers: { "cache-control": "no-store", "content-type": "application/json" },
  });
}
