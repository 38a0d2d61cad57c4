/**
 * Links that hold a place of a listener and have asked nothing yet: they give way when somebody else was turned away.
 *
 * A handshake that is not made, half a head, a connection that only stands: none of them is a stop. Where a listener is full
 * the network that holds most such links loses its oldest first, so that whoever comes to stop something finds a place at its
 * next try, and not when a timeout of seconds has passed (M2).
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { networkOf } from "../intake/network.ts";

/** A young link may be somebody's stop on its way. */
const MIN_AGE_MS = 250;
/** Closed at once; the next look comes soon. */
const MAX_AT_ONCE = 256;

interface Silent {
  readonly socket: Socket;
  readonly network: string;
  readonly sinceMs: number;
}

/** Owns the list of such links of one listener. */
export class SilentLinks {
  readonly #monotonicMs: () => number;
  /** By address and port, oldest first. */
  readonly #silent = new Map<string, Silent>();

  constructor(server: Pick<Server, "on">, monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    server.on("connection", (socket: Socket) => this.#note(socket));
    // The first whole head shows what somebody wants.
    server.on("request", ({ socket }) => this.#silent.delete(nameOf(socket)));
    server.on("upgrade", ({ socket }) => this.#silent.delete(nameOf(socket)));
  }

  get size(): number {
    return this.#silent.size;
  }

  /** Closes the older half of those of the network that has most. */
  makeRoom(): void {
    const nowMs = this.#monotonicMs();
    const old = [...this.#silent.values()].filter(({ sinceMs }) => nowMs - sinceMs >= MIN_AGE_MS);
    const byAddress = [...Map.groupBy(old, ({ network }) => network).values()];
    const most = byAddress.reduce<readonly Silent[]>(
      (left, right) => (right.length > left.length ? right : left),
      [],
    );
    for (const { socket } of most.slice(0, Math.min(Math.ceil(most.length / 2), MAX_AT_ONCE)))
      socket.destroy();
  }

  #note(socket: Socket): void {
    const name = nameOf(socket);
    this.#silent.set(name, {
      socket,
      network: networkOf(socket.remoteAddress ?? ""),
      sinceMs: this.#monotonicMs(),
    });
    socket.once("close", () => this.#silent.delete(name));
  }
}

function nameOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
