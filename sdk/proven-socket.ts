/** A connection that nobody may use before something about it is proven. */
import type { Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/**
 * Waits for the proof, for as long as the connection lasts and no longer than the limit; without it the connection ends.
 *
 * Whoever takes the connection over afterwards listens for its errors as well: the listener here only ends it.
 *
 * @throws TrustWardenError `server_unreachable` when the connection ends or the time is over, and what `proof` rejects with.
 */
export async function requireProof(
  socket: Socket,
  proof: () => Promise<void>,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<void> {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  const onClose = (): void => reject(new TrustWardenError("server_unreachable"));
  // First of all: a reset that nobody listens for ends the process.
  socket.on("error", () => socket.destroy());
  socket.once("close", onClose);
  // Bytes that trickle in do not make this one longer.
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  try {
    if (socket.destroyed) onClose();
    await Promise.race([proof(), lost]);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    socket.off("close", onClose);
  }
}
