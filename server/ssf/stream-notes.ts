/**
 * Streams of several servers that share a store: a note each, which whichever server the receiver asks reads before it says
 * anything, and replaces over exactly what it read.
 *
 * @see docs/decisions/0064
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Notes } from "@trustwarden/core/notes.ts";
import type { KeptStream, StreamFiles } from "./stream-files.ts";
import { formatStreamState, parseStreamState } from "./stream-state.ts";

const KIND = "ssf";

/** The streams of all servers. */
export function createStreamNotes(notes: Notes): StreamFiles {
  const keep = async ({ state, revision }: KeptStream, body: string | null): Promise<number> => {
    const kept = await notes.keep({ kind: KIND, name: state.streamId, revision, body });
    if (kept === null)
      throw new TrustWardenError("store_unavailable", { reason: "another server changed the stream" });
    return kept;
  };
  return {
    readAll: () => [],
    readNewest: async () => {
      const kept = await notes.readAll(KIND);
      return kept.map(({ body, revision }) => ({ state: parseStreamState(body), revision }));
    },
    write: (kept) => keep(kept, formatStreamState(kept.state)),
    remove: async (kept) => {
      await keep(kept, null);
    },
  };
}
