/**
 * Whether the state database is, byte for byte, the file that the last server closed.
 *
 * SQLite notices a damaged page only where its structure breaks: one flipped bit in a row may bring a revoked agent back
 * to life and look like any other row. So a server that ends in order leaves the digests of the closed file outside the
 * data directory, and the next one holds the file against them before it opens it. The seal is gone while a server
 * runs, so that a crash leaves none: what changed in the file after a crash is not noticed here.
 *
 * It knows nothing of what is in the file, and protects from nobody who can write both directories.
 *
 * @see docs/decisions/0060-a-seal-on-the-state.md
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isFileError, makeDirectory, readFileIfAny, replaceFile, syncDirectory } from "./posix-log-files.ts";

/** So that a difference names a place, and a store of gigabytes has a seal of some kilobytes. */
const CHUNK_BYTES = 1_048_576;
/** SQLite plays either into the file when it opens it, whatever the file is: a journal that somebody laid there is an edit. */
const BESIDE = ["-wal", "-journal"];

const seal = z.strictObject({
  v: z.literal(1),
  size: z.number().int().nonnegative(),
  chunk_bytes: z.literal(CHUNK_BYTES),
  sha256: z.array(z.base64().length(44)),
});
type Seal = z.output<typeof seal>;

/** Where the state and its seal are. */
export interface StateSealPlace {
  readonly dataDir: string;
  readonly configDir: string;
  readonly trustDomain: string;
}

/**
 * Whether a seal is there, and the state is what it says.
 *
 * @returns `open` without a seal: a server is using the state, or ended without closing it.
 * @throws TrustWardenError `state_changed` with the place.
 */
export async function verifyStateSeal(place: StateSealPlace): Promise<"sealed" | "open"> {
  const bytes = await readFileIfAny(sealPathOf(place));
  if (bytes === null) return "open";
  const sealed = parseSeal(bytes);
  if (await isWrittenBeside(place)) throw changed("something was written since");
  const found = await digest(statePathOf(place));
  const at = sealed.sha256.findIndex((expected, index) => found.sha256[index] !== expected);
  if (at >= 0) {
    const from = at * CHUNK_BYTES;
    throw changed(`bytes ${from} to ${Math.min(sealed.size, from + CHUNK_BYTES)} differ`);
  }
  if (found.size !== sealed.size) throw changed(`it has ${found.size} bytes, and had ${sealed.size}`);
  return "sealed";
}

/**
 * Verifies the seal, if there is one, and takes it away: from here on the state may change.
 *
 * @throws TrustWardenError `state_changed`; the seal stays then.
 */
export async function breakStateSeal(place: StateSealPlace): Promise<void> {
  if ((await verifyStateSeal(place)) === "open") return;
  await removeStateSeal(place);
}

/** Takes the seal away unseen, for whoever has just put another state in its place. */
export async function removeStateSeal(place: StateSealPlace): Promise<void> {
  const path = sealPathOf(place);
  await rm(path, { force: true });
  if ((await sizeOf(dirname(path))) > 0) await syncDirectory(dirname(path));
}

/** Seals the state, when the store that had it open has folded everything into the one file. */
export async function sealState(place: StateSealPlace): Promise<void> {
  const state = statePathOf(place);
  if ((await isWrittenBeside(place)) || (await sizeOf(state)) === 0) return;
  const { size, sha256 } = await digest(state);
  const sealed: Seal = { v: 1, size, chunk_bytes: CHUNK_BYTES, sha256 };
  const path = sealPathOf(place);
  await makeDirectory(dirname(path));
  await replaceFile({ path, temporary: `${path}.tmp`, bytes: encodeUtf8(`${JSON.stringify(sealed)}\n`) });
}

function sealPathOf({ configDir, trustDomain }: StateSealPlace): string {
  return join(configDir, `${trustDomain}.state-seal`);
}

function statePathOf({ dataDir }: StateSealPlace): string {
  return join(dataDir, "state.db");
}

async function isWrittenBeside(place: StateSealPlace): Promise<boolean> {
  const sizes = await Promise.all(BESIDE.map((ending) => sizeOf(`${statePathOf(place)}${ending}`)));
  return sizes.some((size) => size > 0);
}

function parseSeal(bytes: Uint8Array): Seal {
  try {
    return seal.parse(JSON.parse(parseUtf8(bytes)));
  } catch (cause) {
    throw changed("its seal cannot be read", cause);
  }
}

async function digest(path: string): Promise<Pick<Seal, "size" | "sha256">> {
  const sha256: string[] = [];
  let size = 0;
  try {
    // Every chunk but the last is whole: a stream of a file fills its buffer.
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
      sha256.push(createHash("sha256").update(chunk).digest("base64"));
      size += chunk.length;
    }
  } catch (cause) {
    if (isFileError(cause, "ENOENT")) throw changed("the file is gone", cause);
    throw cause;
  }
  return { size, sha256 };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isFileError(error, "ENOENT")) return 0;
    throw error;
  }
}

function changed(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError(
    "state_changed",
    {
      file: "state.db",
      reason,
      next: "Bring the file back as it was, or restore a backup (warden restore). Only if you changed it yourself: remove the .state-seal file in the configuration directory.",
    },
    { cause },
  );
}
