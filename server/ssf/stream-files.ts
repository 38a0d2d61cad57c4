/** Where streams are kept: a file each, replaced whole. Read once, when the server starts. */
import { readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isFileError, makeDirectory, replaceFile, syncDirectory } from "../store/posix-log-files.ts";
import { formatStreamState, parseStreamState, type StreamState } from "./stream-state.ts";

const ENDING = ".json";

/** Keeps streams. */
export interface StreamFiles {
  readonly readAll: () => readonly StreamState[];
  /** Durable on return. */
  readonly write: (state: StreamState) => Promise<void>;
  readonly remove: (streamId: string) => Promise<void>;
}

/** The folder of streams in a data directory. */
export function createStreamFiles(dataDir: string): StreamFiles {
  const folder = join(dataDir, "ssf");
  const pathOf = (streamId: string) => join(folder, `${streamId}${ENDING}`);
  return {
    readAll: () => namesIn(folder).map((name) => readState(join(folder, name))),
    write: async (state) => {
      const path = pathOf(state.streamId);
      await makeDirectory(dirname(path));
      const bytes = encodeUtf8(formatStreamState(state));
      await replaceFile({ path, temporary: `${path}.tmp`, bytes });
    },
    remove: async (streamId) => {
      await rm(pathOf(streamId), { force: true });
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
