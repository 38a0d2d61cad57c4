/**
 * What stands before the rows of a listener: a place for each request, taken when its head has come, or a refusal that
 * costs little more than reading it. Nobody is asked who they are here.
 *
 * Stopping is never refused here, on any listener: its rows take no place. Neither does health.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { MAX_BODY_BYTES, pathOfTarget } from "./arrival.ts";
import { formatErrorAnswer } from "./errors.ts";
import { dialectOf, formatRoute, type Route } from "./route.ts";
import type { Services } from "./services.ts";

const HEALTH = "/healthz";
/** Refusals that go out at once, of each stretch of time; what comes beyond them waits for the end of one. */
const AT_ONCE = 16;
const STRETCH_MS = 200;
/** So many more at its end, which with them is a twentieth of the thread's time: refusing must not be most of what it does. */
const AT_END = 48;
/** Nobody waits longer than this and a stretch, however many do; who has few refused waits for the end of one stretch. */
const MAX_WAIT_MS = 4000;

/** Puts places before a listener's requests. */
export type Door = (handler: RequestListener) => RequestListener;

/** What a door needs of the server. */
export interface DoorServices {
  readonly clock: Pick<Services["clock"], "monoMs">;
  readonly intake: { readonly requests: Pick<Services["intake"]["requests"], "knock" | "ownerOf"> };
  readonly meter: { readonly figures: Pick<Services["meter"]["figures"], "refusals"> };
}

/** @param headers - of everything that the listener sends. */
export function createDoor(
  services: DoorServices,
  routes: readonly Route[],
  headers: Readonly<Record<string, string>> = {},
): Door {
  const free = new Set(routes.filter(isFree).map(formatRoute));
  const oauth = new Set(routes.filter((route) => dialectOf(route) === "oauth").map(({ path }) => path));
  const answerLater = createStretches(() => services.clock.monoMs());
  return (handler) => (request, response) => {
    const path = pathOfTarget(request.url ?? "");
    if (free.has(`${request.method} ${path}`)) return handler(request, response);
    try {
      // Whoever takes the place leaves it when the work is over: a caller that goes away stops none of it.
      services.intake.requests.knock(request);
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      services.meter.figures.refusals.add({ code: error.code });
      const dialect = oauth.has(path) ? "oauth" : "json";
      const { socket } = request;
      return answerLater({
        socket,
        owner: services.intake.requests.ownerOf(socket),
        answer: () => refuse({ request, response }, error, { headers, dialect }),
      });
    }
    handler(request, response);
  };
}

interface Refusal {
  readonly socket: Socket;
  readonly owner: string;
  readonly answer: () => void;
}

interface WaitingRefusal extends Refusal {
  readonly sinceMs: number;
}

/**
 * Whoever is refused waits a moment for it when many are: a connection that got its refusal at once would bring the next
 * request at once, and refusing would be all that the server does. Owners take turns: whoever keeps to its share and is refused
 * once does not wait behind all that a flood is refused, or its connections would all be waiting. One that sends more while it
 * waits is cut: else one connection could have as many requests wait here as it can write.
 */
function createStretches(monoMs: () => number): (refusal: Refusal) => void {
  const patient = new WeakSet<Socket>();
  let atOnce = 0;
  let waiting: WaitingRefusal[] = [];
  const begin = (): void => void setTimeout(end, STRETCH_MS).unref();
  const end = (): void => {
    const dueSinceMs = monoMs() - MAX_WAIT_MS;
    const inTurns = sortByTurns(waiting);
    const due = inTurns.filter(({ sinceMs }, index) => index < AT_END || sinceMs <= dueSinceMs);
    const gone = new Set(due);
    waiting = waiting.filter((refusal) => !gone.has(refusal));
    atOnce = waiting.length;
    if (waiting.length > 0) begin();
    for (const { socket, answer } of due) {
      patient.delete(socket);
      answer();
    }
  };
  return (refusal) => {
    const { socket, answer } = refusal;
    if (patient.has(socket)) return void socket.destroy();
    if (atOnce === 0) begin();
    atOnce += 1;
    if (atOnce <= AT_ONCE) return answer();
    patient.add(socket);
    waiting.push({ ...refusal, sinceMs: monoMs() });
  };
}

/** The oldest of each owner, then the next of each, and so on. */
function sortByTurns(waiting: readonly WaitingRefusal[]): readonly WaitingRefusal[] {
  const counts = new Map<string, number>();
  const turns = waiting.map((refusal) => {
    const turn = counts.get(refusal.owner) ?? 0;
    counts.set(refusal.owner, turn + 1);
    return { refusal, turn };
  });
  return turns.sort((one, other) => one.turn - other.turn).map(({ refusal }) => refusal);
}

function isFree(route: Route): boolean {
  return route.path === HEALTH || (route.access !== "public" && route.isStopLane);
}

function refuse(
  { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  error: TrustWardenError,
  {
    headers,
    dialect,
  }: { readonly headers: Readonly<Record<string, string>>; readonly dialect: "json" | "oauth" },
): void {
  if (response.destroyed) return;
  const { status, headers: own, body } = formatErrorAnswer(error, dialect);
  const text = JSON.stringify(body);
  response.writeHead(status, {
    ...headers,
    ...own,
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    ...(mayFollow(request) ? {} : { connection: "close" }),
  });
  response.end(text);
}

/** Whether the connection is worth keeping: a body that nobody wants is read to its end before the next request. */
function mayFollow({ headers }: IncomingMessage): boolean {
  if (headers["transfer-encoding"] !== undefined) return false;
  return Number(headers["content-length"] ?? 0) <= MAX_BODY_BYTES;
}
