/** Log storage that keeps nothing: with it, a sequencer shows what it costs without any disk. Good for nothing else. */
import type { HighWater, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const nothing = async (): Promise<void> => undefined;

/** The storage and its mark. */
export function createForgetfulStorage(): { readonly storage: LogStorage; readonly highWater: HighWater } {
  const storage: LogStorage = {
    open: nothing,
    close: nothing,
    appendWal: nothing,
    readWal: async () => [],
    rotateWal: nothing,
    trimWal: nothing,
    writeObjects: nothing,
    removePartials: nothing,
    readState: async () => null,
    swapState: nothing,
    publishCheckpoint: nothing,
    readCheckpoint: async () => null,
    readObject: async (path) => {
      throw new TrustWardenError("not_found", { path });
    },
  };
  return { storage, highWater: { read: async () => null, raise: nothing } };
}
