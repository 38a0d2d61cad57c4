/**
 * Where a sink goes on, in a file of its own, or in a note where several servers share the ledger: a number, and the digest of
 * the entry before it; replaced whole. A file that cannot be read begins anew, since at-least-once may repeat and must not
 * skip.
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

/** What other servers publish. */
interface PublishedByOthers {
  /** @throws TrustWardenError `ledger_unavailable` when it does not come, or cannot be read. */
  waitForCheckpoint(size: number): Promise<void>;
  /** @throws TrustWardenError `ledger_unavailable` when it cannot be read. */
  refresh(): Promise<void>;
}

/**
 * The cursor of a sink that any of several servers may run: two that send for a moment both say the truth of what was taken,
 * and the one that came further is right.
 */
export function createCursorNote({
  notes,
  name,
  log,
}: {
  readonly notes: Notes;
  readonly name: string;
  readonly log: PublishedByOthers;
}): SinkOptions["cursor"] {
  const kind = "sink";
  return {
    read: async () => {
      const kept = await notes.read(kind, name);
      if (kept === undefined) return undefined;
      const place = parsePlace(kept.body);
      // Whoever sent up to there had it published.
      await lookFor(log, place.next);
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

/** @throws TrustWardenError `ledger_unavailable` for a ledger that cannot be read; one that shows less is another, which the sink finds. */
async function lookFor(log: PublishedByOthers, size: number): Promise<void> {
  try {
    await log.waitForCheckpoint(size);
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.code !== "ledger_unavailable") throw error;
    await log.refresh();
  }
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
