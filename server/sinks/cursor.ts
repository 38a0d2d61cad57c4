/**
 * Where a sink goes on, in a file of its own: a number, and the digest of the entry before it; replaced whole. A file that
 * cannot be read begins anew, since at-least-once may repeat and must not skip.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { makeDirectory, replaceFile } from "../store/posix-log-files.ts";
import type { SinkOptions } from "./sink.ts";

const PLACE = /^(0|[1-9]\d{0,15})\n(?:([A-Za-z0-9_-]{43})\n)?$/;

/** The cursor of the sink with this name. */
export function createCursorFile(dataDir: string, name: string): SinkOptions["cursor"] {
  const path = join(dataDir, "sinks", `${name}.cursor`);
  return {
    read: async () => {
      const text = await readFile(path, "utf8").catch(undefinedIfMissing);
      if (text === undefined) return undefined;
      const [, digits = "0", last = null] = PLACE.exec(text) ?? [];
      return { next: Number(digits), last };
    },
    write: async ({ next, last }) => {
      await makeDirectory(dirname(path));
      await replaceFile({
        path,
        temporary: `${path}.tmp`,
        bytes: encodeUtf8(`${next}\n${last === null ? "" : `${last}\n`}`),
      });
    },
  };
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
