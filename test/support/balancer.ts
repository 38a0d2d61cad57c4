/** A balancer that passes TCP through: each connection goes to one of several listeners, the next one each time. */
import { connect, createServer, type Socket } from "node:net";

export interface Balancer {
  /** On loopback. */
  readonly port: number;
  close(): Promise<void>;
}

/** @param targets - ports of those that listen at the moment. @param port - any free one unless given. */
export async function openBalancer(targets: () => readonly number[], port = 0): Promise<Balancer> {
  const open = new Set<Socket>();
  let turn = 0;
  const listener = createServer({ noDelay: true }, (near) => {
    const ports = targets();
    turn += 1;
    const target = ports[turn % Math.max(ports.length, 1)];
    if (target === undefined) near.resetAndDestroy();
    else join(near, connect({ port: target, host: "127.0.0.1", noDelay: true }), open);
  });
  await new Promise<void>((resolve) => listener.listen(port, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return {
    port: address.port,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** Whichever ends first, or breaks, ends the other. */
function join(near: Socket, far: Socket, open: Set<Socket>): void {
  for (const [socket, other] of [
    [near, far],
    [far, near],
  ] as const) {
    open.add(socket);
    socket.on("error", () => other.destroy());
    socket.on("close", () => {
      open.delete(socket);
      other.destroy();
    });
    socket.pipe(other);
  }
}
