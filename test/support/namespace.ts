/**
 * A network namespace for one server: it reaches nothing but its own loopback, and what is passed on to it, one way or the other.
 *
 * Debian's `bwrap` makes the namespace. What goes through is passed on by user space, so that every byte in and out of it is under
 * the links of the test (`faulty-link.ts`).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const INSIDE = fileURLToPath(new URL("./in-namespace.ts", import.meta.url));
const MAX_PORT_BYTES = 6;

export interface Namespace {
  /** What a command line begins with that is to run inside. */
  readonly prefix: readonly string[];
  /** A way in to a port of the program that runs there now. @param own - port here; any free one unless given. */
  enter(port: number, own?: number): Promise<number>;
  close(): Promise<void>;
}

/** @param ways - ports of this machine's loopback that are reached from inside, under the same numbers. */
export async function openNamespace(ways: readonly number[]): Promise<Namespace> {
  const folder = mkdtempSync(join(tmpdir(), "tw-ns-"));
  const listeners: Server[] = [];
  const listen = async (listener: Server, at: string | { readonly port: number; readonly host: string }) => {
    listeners.push(listener);
    await new Promise<void>((resolve) => listener.listen(at, resolve));
    return listener;
  };
  for (const port of ways) {
    const out = createServer({ allowHalfOpen: true }, (near) =>
      joinSockets(near, connect({ port, host: "127.0.0.1", allowHalfOpen: true })),
    );
    await listen(out, join(folder, `out-${port}`));
  }
  return {
    prefix: [
      ..."bwrap --dev-bind / / --unshare-net --die-with-parent".split(" "),
      ...[process.execPath, INSIDE, folder, ways.join(",")],
    ],
    enter: async (port, own = 0) => {
      const listener = createServer({ allowHalfOpen: true }, (near) => {
        const far = connect({ path: join(folder, "in"), allowHalfOpen: true });
        far.write(`${port}\n`);
        joinSockets(near, far);
      });
      await listen(listener, { port: own, host: "127.0.0.1" });
      const address = listener.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    },
    close: async () => {
      for (const listener of listeners) await new Promise((resolve) => listener.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Whatever ends one of them ends the other; that one has nothing more to say is told to the other. */
export function joinSockets(near: Socket, far: Socket): void {
  for (const [socket, other] of [
    [near, far],
    [far, near],
  ] as const) {
    socket.on("error", () => other.destroy());
    socket.on("close", () => other.destroySoon());
    socket.pipe(other);
  }
}

/** The first line of what somebody says; what comes behind it stays for whoever reads on. */
export function readPort(socket: Socket, onPort: (port: number) => void): void {
  let line = "";
  const look = (): void => {
    for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
      if (String(byte) === "\n") {
        socket.off("readable", look);
        onPort(Number(line));
        return;
      }
      line += String(byte);
      if (line.length >= MAX_PORT_BYTES) socket.destroy();
    }
  };
  socket.on("readable", look);
  socket.on("error", () => socket.destroy());
}
