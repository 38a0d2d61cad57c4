/**
 * Connections that carry bytes both ways, and the end of one that does not come to it.
 *
 * A program inside walls imports this file, so it needs nothing but Node.
 */
import type { Duplex } from "node:stream";

/**
 * Carries bytes both ways until both are closed; never rejects.
 *
 * What one side sent before it ended still reaches the other; one that breaks off takes the other along at once.
 */
export async function joinSockets(near: Duplex, far: Duplex): Promise<void> {
  const over = [follow(near, far), follow(far, near)];
  near.pipe(far);
  far.pipe(near);
  await Promise.all(over);
}

/** Says one last thing and hangs up: a server's connection that is only ended lasts as long as its client likes. */
export function hangUp(socket: Duplex, text: string): void {
  socket.end(text, () => socket.destroy());
}

async function follow(socket: Duplex, other: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onClose = (): void => {
    if (socket.readableEnded) other.end(() => other.destroy());
    else other.destroy();
    resolve();
  };
  socket.on("error", () => socket.destroy());
  if (socket.closed) onClose();
  else socket.once("close", onClose);
  await promise;
}
