/**
 * Where a sink goes on, in a file of its own, or in a note where several servers share the ledger: a number, and the digest of the entry before it; replaced whole. A file that
 * cannot be read begins anew, since at-least-once may repeat and must not skip.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { keepFurthest, type Notes } from "@trustwarden/core/notes.ts";
import { makeDirectory, replaceFile } from "../store/posix-log-files.ts";
import type { SinkOptions, SinkPlace } from "./sink.ts";

const PLACE = /^(0|[1-9]\d{0,15})\n(?:([A-Za-z0-9_-]{43})\n)?$/;

/** The cursor of the sink with this name. */
export function createCursorFile(dataDir: string, name: string): SinkOptions["cursor"] {
  const path = join(dataDir, "sinks", `${name}.cursor`);
  return {
    read: async () => {
      const text = await readFile(path, "utf8").catch(undefinedIfMissing);
      if (text === undefined) return undefined;
      return parsePlace(text);
    },
    write: async ({ next, last }) => {
      await makeDirectory(dirname(path));
      await replaceFile({
        path,
        temporary: `${path}.tmp`,
        bytes: encodeUtf8(formatPlace({ next, last })),
      });
    },
  };
}

/**
 * The cursor of a sink that any of several servers may run: two that send for a moment both say the truth of what was taken,
 * and the one that came further is right.
 */
export function createCursorNote({
  notes,
  name,
  catchUp,
}: {
  readonly notes: Notes;
  readonly name: string;
  /** Looks for what another server has published. @throws TrustWardenError `ledger_unavailable` when it does not come. */
  readonly catchUp: (size: number) => Promise<void>;
}): SinkOptions["cursor"] {
  const kind = "sink";
  return {
    read: async () => {
      const kept = await notes.read(kind, name);
      if (kept === undefined) return undefined;
      const place = parsePlace(kept.body);
      // Whoever sent up to there had it published; a ledger that never shows it is another one, which the sink finds.
      await catchUp(place.next).catch(undefinedIfUnavailable);
      return place;
    },
    write: ({ next, last }) =>
      keepFurthest(notes, {
        kind,
        name,
        body: formatPlace({ next, last }),
        isAhead: (kept) => parsePlace(kept).next >= next,
      }),
  };
}

function formatPlace({ next, last }: SinkPlace): string {
  return `${next}\n${last === null ? "" : `${last}\n`}`;
}

function parsePlace(text: string): SinkPlace {
  const [, digits = "0", last = null] = PLACE.exec(text) ?? [];
  return { next: Number(digits), last };
}

function undefinedIfUnavailable(error: unknown): undefined {
  if (error instanceof TrustWardenError && error.code === "ledger_unavailable") return undefined;
  throw error;
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
