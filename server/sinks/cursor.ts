/**
 * Where a sink goes on, in a file of its own: a number, replaced whole. A file that cannot be read begins anew, since
 * at-least-once may repeat and must not skip.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { makeDirectory, replaceFile } from "../store/posix-log-files.ts";
import type { SinkOptions } from "./sink.ts";

const NUMBER = /^(0|[1-9]\d{0,15})\n$/;

/** The cursor of the sink with this name. */
export function createCursorFile(dataDir: string, name: string): SinkOptions["cursor"] {
  const path = join(dataDir, "sinks", `${name}.cursor`);
  return {
    read: async () => {
      const text = await readFile(path, "utf8").catch(undefinedIfMissing);
      if (text === undefined) return undefined;
      const digits = NUMBER.exec(text)?.[1];
      return digits === undefined ? 0 : Number(digits);
    },
    write: async (next) => {
      await makeDirectory(dirname(path));
      await replaceFile({ path, temporary: `${path}.tmp`, bytes: encodeUtf8(`${next}\n`) });
    },
  };
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
