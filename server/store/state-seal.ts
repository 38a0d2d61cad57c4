/**
 * Whether the state database is, byte for byte, the file that the last server closed.
 *
 * SQLite notices a damaged page only where its structure breaks: one flipped bit in a row may bring a revoked agent back
 * to life and look like any other row. So a server that ends in order leaves the tags of the closed file outside the
 * data directory, and the next one holds the file against them before it opens it. The seal is gone while a server
 * runs, so that a crash leaves none: what changed in the file after a crash is not noticed here.
 *
 * Each part has a tag under a key that is made for one seal and kept in it. Such tags take a tenth of what digests take, and a
 * start reads all of the file. The key protects from nobody more: it is as secret as the unseal key beside it.
 *
 * It knows nothing of what is in the file, and protects from nobody who can write both directories.
 *
 * @see docs/decisions/0060-a-seal-on-the-state.md, docs/decisions/0099-starts-and-restores-at-size.md; NIST SP 800-38D (GMAC)
 */
import { createCipheriv, createHash } from "node:crypto";
import { open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeBase64, encodeUtf8, isEqualBytes, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { z } from "zod";
import { isFileError, makeDirectory, readFileIfAny, replaceFile, syncDirectory } from "./posix-log-files.ts";

/** So that a difference names a place, and a store of gigabytes has a seal of some kilobytes. */
const CHUNK_BYTES = 1_048_576;
/** SQLite plays either into the file when it opens it, whatever the file is: a journal that somebody laid there is an edit. */
const BESIDE = ["-wal", "-journal"];

/** Read at once: whole chunks, so that few turns of the event loop go by. */
const READ_BYTES = 8 * CHUNK_BYTES;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;

const size = z.number().int().nonnegative();
const chunkBytes = z.literal(CHUNK_BYTES);
const seal = z.discriminatedUnion("v", [
  /** As servers of before wrote it. */
  z.strictObject({ v: z.literal(1), size, chunk_bytes: chunkBytes, sha256: z.array(z.base64().length(44)) }),
  z.strictObject({
    v: z.literal(2),
    size,
    chunk_bytes: chunkBytes,
    key: z.base64().length(44),
    gmac: z.array(z.base64().length(24)),
  }),
]);
type Seal = z.output<typeof seal>;

/** What stands in a seal for the chunk at an index. */
type Tag = (chunk: Uint8Array, index: number) => Uint8Array;

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
  const { tag, expected } = tagsOf(sealed);
  const found = await tagAll(statePathOf(place), tag);
  const at = expected.findIndex((one, index) => {
    const other = found.tags[index];
    return other === undefined || !isEqualBytes(parseBase64(one), other);
  });
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
 * @param verified - of the same place, where somebody has begun with it.
 * @throws TrustWardenError `state_changed`; the seal stays then.
 */
export async function breakStateSeal(
  place: StateSealPlace,
  verified: ReturnType<typeof verifyStateSeal> = verifyStateSeal(place),
): Promise<void> {
  if ((await verified) === "open") return;
  await removeStateSeal(place);
}

/** Takes the seal away unseen, for whoever has just put another state in its place. */
export async function removeStateSeal(place: StateSealPlace): Promise<void> {
  const path = sealPathOf(place);
  await rm(path, { force: true });
  if ((await sizeOf(dirname(path))) > 0) await syncDirectory(dirname(path));
}

/** Seals the state, when the store that had it open has folded everything into the one file. */
export async function sealState(place: StateSealPlace, random: Random): Promise<void> {
  const state = statePathOf(place);
  if ((await isWrittenBeside(place)) || (await sizeOf(state)) === 0) return;
  const key = random(KEY_BYTES);
  const { size, tags } = await tagAll(state, gmacWith(key));
  const gmac = tags.map(encodeBase64);
  const sealed: Seal = { v: 2, size, chunk_bytes: CHUNK_BYTES, key: encodeBase64(key), gmac };
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

function tagsOf(sealed: Seal): { readonly tag: Tag; readonly expected: readonly string[] } {
  switch (sealed.v) {
    case 1:
      return { tag: (chunk) => createHash("sha256").update(chunk).digest(), expected: sealed.sha256 };
    case 2:
      return { tag: gmacWith(parseBase64(sealed.key)), expected: sealed.gmac };
  }
}

/** GMAC of each chunk; its index is the nonce, so that none is used twice under a key and no chunk fits another's place. */
function gmacWith(key: Uint8Array): Tag {
  return (chunk, index) => {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUInt32BE(index);
    const mac = createCipheriv("aes-256-gcm", key, nonce).setAAD(chunk);
    mac.final();
    return mac.getAuthTag();
  };
}

async function tagAll(
  path: string,
  tag: Tag,
): Promise<{ readonly size: number; readonly tags: readonly Uint8Array[] }> {
  const tags: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of readParts(path)) {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
      tags.push(tag(bytes.subarray(at, at + CHUNK_BYTES), tags.length));
    size += bytes.length;
  }
  return { size, tags };
}

/** A file from its beginning; every part but the last is whole. The memory of a part is that of the next. */
async function* readParts(path: string): AsyncGenerator<Uint8Array, void, void> {
  const file = await openSealed(path);
  try {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (let filled = READ_BYTES; filled === READ_BYTES; ) {
      filled = 0;
      for (let read = -1; read !== 0 && filled < READ_BYTES; filled += read)
        read = (await file.read(buffer, filled, READ_BYTES - filled, null)).bytesRead;
      if (filled > 0) yield buffer.subarray(0, filled);
    }
  } finally {
    await file.close();
  }
}

async function openSealed(path: string): ReturnType<typeof open> {
  try {
    return await open(path, "r");
  } catch (cause) {
    if (isFileError(cause, "ENOENT")) throw changed("the file is gone", cause);
    throw cause;
  }
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
