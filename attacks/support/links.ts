/** Connections that take places and say little. */
import { once } from "node:events";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

const KEPT = "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
const HALF_A_HEAD = "POST /v1/revocations HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ";

/** What a link does: nothing at all, a handshake, half a head, or one request after which it waits. */
export type Manner = "silent" | "idle" | "slow" | "kept";

/** Owns links, and ends them. */
export class Links {
  readonly #open = new Set<Socket>();

  /** Opens so many to a listener, a few at a time; those that are turned away are none. */
  async open(url: string, manner: Manner, count: number): Promise<void> {
    let left = count;
    const lane = async (): Promise<void> => {
      for (; left > 0; ) {
        left -= 1;
        await this.#link(url, manner).catch(() => undefined);
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
  }

  /** How many are still open. */
  get held(): number {
    return [...this.#open].filter((socket) => !socket.destroyed).length;
  }

  /** Begins handshakes and breaks them off until told to end. */
  flood(url: string, lanes: number): () => Promise<void> {
    let isOver = false;
    const running = Array.from({ length: lanes }, async () => {
      while (!isOver) await this.#breakOff(url);
    });
    return async () => {
      isOver = true;
      await Promise.all(running);
    };
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
    this.#open.clear();
  }

  async #link(url: string, manner: Manner): Promise<void> {
    const { hostname: host, port: text } = new URL(url);
    const place = { host, port: Number(text) };
    const isPlain = manner === "silent";
    const socket = isPlain ? connectPlain(place) : connectTls({ ...place, rejectUnauthorized: false });
    this.#open.add(socket);
    socket.on("error", () => socket.destroy());
    await Promise.race([once(socket, isPlain ? "connect" : "secureConnect"), closed(socket)]);
    if (manner === "slow") socket.write(HALF_A_HEAD);
    if (manner !== "kept" || socket.destroyed) return;
    socket.write(KEPT);
    await Promise.race([once(socket, "data"), closed(socket)]);
  }

  /** A first message that asks for work, and nobody who waits for it. */
  async #breakOff(url: string): Promise<void> {
    const { hostname: host, port } = new URL(url);
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false });
    socket.on("error", () => undefined);
    await Promise.race([once(socket, "connect"), closed(socket)]);
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
  }
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}
