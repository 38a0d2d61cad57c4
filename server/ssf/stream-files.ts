/** Where streams are kept: a file each, replaced whole. Read once, when the server starts. */
import { readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isFileError, makeDirectory, replaceFile, syncDirectory } from "../store/posix-log-files.ts";
import { formatStreamState, parseStreamState, type StreamState } from "./stream-state.ts";

const ENDING = ".json";

/** A stream as it is kept. */
export interface KeptStream {
  readonly state: StreamState;
  /** Of this state, rising; 0 before it is kept. */
  readonly revision: number;
}

/** Keeps streams. */
export interface StreamFiles {
  /** What there was at the start. */
  readonly readAll: () => readonly StreamState[];
  /** What there is now, where several servers keep them; undefined where nobody else changes them. */
  readonly readNewest?: () => Promise<readonly KeptStream[]>;
  /**
   * Durable on return.
   *
   * @param kept.revision - of what it replaces.
   * @returns the revision of what is kept now.
   * @throws TrustWardenError `store_unavailable` where another server has changed it since it was read.
   */
  readonly write: (kept: KeptStream) => Promise<number>;
  /** @throws as `write`. */
  readonly remove: (kept: KeptStream) => Promise<void>;
}

/** The folder of streams in a data directory. */
export function createStreamFiles(dataDir: string): StreamFiles {
  const folder = join(dataDir, "ssf");
  const pathOf = (streamId: string) => join(folder, `${streamId}${ENDING}`);
  return {
    readAll: () => namesIn(folder).map((name) => readState(join(folder, name))),
    write: async ({ state, revision }) => {
      const path = pathOf(state.streamId);
      await makeDirectory(dirname(path));
      const bytes = encodeUtf8(formatStreamState(state));
      await replaceFile({ path, temporary: `${path}.tmp`, bytes });
      return revision + 1;
    },
    remove: async ({ state }) => {
      await rm(pathOf(state.streamId), { force: true });
      await syncDirectory(folder);
    },
  };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(ENDING));
  } catch (error) {
    // Nobody has made a stream here.
    if (isFileError(error, "ENOENT")) return [];
    throw error;
  }
}

/** @throws TrustWardenError `config_invalid` with the file's name: it is moved away by hand, never guessed. */
function readState(path: string): StreamState {
  try {
    return parseStreamState(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { file: path, reason: "not a stream" }, { cause });
  }
}
