/**
 * Handshakes by turns, so that a thousand verifiers that come at once do not cost those who are there their leases.
 *
 * A handshake is a hundred times the work of a beat, and all of it is done by the thread that answers beats: a crowd that
 * comes back after a fault would make every lease lapse, and everybody come back once more. So they begin at a pace that leaves
 * the thread on time, two between any two looks at what is there already, only a few are under way, and networks and addresses
 * take turns. Whoever has not said anything yet waits without a place; the others wait for theirs, since who is sent away comes again
 * and costs more, and who has left by then costs nothing. Of one address every other turn is the newest comer's: a stop does not
 * stand behind a crowd of its own host. A turn is short: a peer that takes longer costs no work while it is waited for, so strangers
 * who begin and go no further keep nobody out. Knows nothing of leases (decision 0100).
 */
import type { Server } from "node:https";
import type { Socket } from "node:net";
import { AddressQueue } from "./address-queue.ts";
import { HandshakePace, STRETCH_MS } from "./handshake-pace.ts";

const MAX_AT_ONCE = 16;
/** Between two rounds of the loop, in which the beats are answered that have come. */
const MAX_EACH_ROUND = 2;
/** Longer than anybody of ours waits, so that whoever is still there when its turn comes wants it. */
const MAX_WAIT_MS = 60_000;
/** Of a handshake's two messages the work is done when they come; more than this is the network, or a stranger who waits. */
const MAX_TURN_MS = 500;
/** Without a first byte. */
const MAX_SILENCE_MS = 5_000;

interface Waiting {
  readonly socket: Socket;
  readonly sinceMs: number;
}

interface Limits {
  readonly monotonicMs: () => number;
  readonly maxAtOnce?: number;
  readonly maxWaitMs?: number;
  readonly maxTurnMs?: number;
  readonly maxSilenceMs?: number;
  /** Begun in each stretch, however late the thread is. */
  readonly leastEachStretch?: number;
}

/** Puts turns before the handshakes of a server; call it before the server listens. */
export function takeHandshakesByTurns(server: Server, limits: Limits): void {
  const { maxSilenceMs = MAX_SILENCE_MS, monotonicMs } = limits;
  const handshake = server.listeners("connection");
  const turns = new HandshakeTurns(limits, (socket) => {
    for (const listener of handshake) listener.call(server, socket);
  });
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(maxSilenceMs, () => socket.destroy());
    // What is read to notice the first bytes stays in the socket, and the handshake finds it there.
    socket.once("readable", () => {
      socket.setTimeout(0);
      turns.wait({ socket, sinceMs: monotonicMs() });
    });
  });
  server.on("secureConnection", (socket) => turns.end(socket));
  server.on("tlsClientError", (_error, socket) => turns.end(socket));
}

type Named = Pick<Socket, "remoteAddress" | "remotePort">;

/** Owns who waits and who is under way. Between calls: when somebody waits, a round or the end of a stretch or of a turn is due. */
class HandshakeTurns {
  readonly #limits: Limits;
  readonly #begin: (socket: Socket) => void;
  readonly #pace: HandshakePace;
  readonly #queue = new AddressQueue<Waiting>(({ socket }) => socket.destroyed);
  readonly #underWay = new Map<string, NodeJS.Timeout>();
  #isRoundDue = false;
  #stretch: NodeJS.Timeout | undefined;

  constructor(limits: Limits, begin: (socket: Socket) => void) {
    this.#limits = limits;
    this.#begin = begin;
    this.#pace = new HandshakePace(limits.leastEachStretch);
  }

  wait(waiting: Waiting): void {
    const { socket } = waiting;
    const address = socket.remoteAddress ?? "";
    this.#queue.push(address, waiting);
    socket.once("close", () => this.#queue.noteGone(address));
    this.#next();
  }

  end(socket: Named): void {
    this.#endTurn(nameOf(socket));
  }

  /** Behind everything that sockets have brought by now. */
  #next(): void {
    if (this.#isRoundDue || this.#queue.isEmpty) return;
    this.#isRoundDue = true;
    setImmediate(() => {
      this.#isRoundDue = false;
      this.#round();
    });
  }

  #round(): void {
    const { maxAtOnce = MAX_AT_ONCE } = this.#limits;
    for (let begun = 0; begun < MAX_EACH_ROUND; begun += 1) {
      // The end of a turn, or of the stretch, goes on with it.
      if (this.#underWay.size >= maxAtOnce || !this.#pace.hasRoom) return;
      const socket = this.#shift();
      if (socket === undefined) return;
      this.#pace.take();
      this.#startStretch();
      this.#beginTurn(socket);
    }
    this.#next();
  }

  #beginTurn(socket: Socket): void {
    const { maxTurnMs = MAX_TURN_MS } = this.#limits;
    const name = nameOf(socket);
    this.#underWay.set(
      name,
      setTimeout(() => this.#endTurn(name), maxTurnMs),
    );
    socket.once("close", () => this.#endTurn(name));
    this.#begin(socket);
  }

  #endTurn(name: string): void {
    clearTimeout(this.#underWay.get(name));
    if (this.#underWay.delete(name)) this.#next();
  }

  /** For as long as there is something to pace. */
  #startStretch(): void {
    if (this.#stretch !== undefined) return;
    const { monotonicMs } = this.#limits;
    const sinceMs = monotonicMs();
    this.#stretch = setTimeout(() => {
      this.#stretch = undefined;
      this.#pace.next(monotonicMs() - sinceMs);
      if (this.#underWay.size > 0 || !this.#queue.isEmpty) this.#startStretch();
      this.#next();
    }, STRETCH_MS).unref();
  }

  /** Whose turn is next, of those who are still there. */
  #shift(): Socket | undefined {
    const { monotonicMs, maxWaitMs = MAX_WAIT_MS } = this.#limits;
    for (;;) {
      const first = this.#queue.shift();
      if (first === undefined) return undefined;
      if (first.socket.destroyed) continue;
      if (monotonicMs() - first.sinceMs <= maxWaitMs) return first.socket;
      first.socket.destroy();
    }
  }
}

function nameOf({ remoteAddress, remotePort }: Named): string {
  return `${remoteAddress} ${remotePort}`;
}
