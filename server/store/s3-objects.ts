/**
 * The published log in an S3-compatible object store: tiles and bundles, each written once, and the checkpoint.
 *
 * Everything rests on conditional writes. A tile is put only where none is; the checkpoint only in place of the one that
 * this writer saw last, so that a writer that slept through a takeover cannot put an older one over a newer. A store that
 * ignores conditions is found out before it is used.
 *
 * @see C2SP tlog-tiles; Amazon S3, "Conditional writes"
 */
import type { LogObject, LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { CHECKPOINT_PATH, parseTilePath, TILE_WIDTH } from "@trustwarden/core/agentledger/tile.ts";
import { encodeUtf8, isEqualBytes, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { S3Client, S3Condition } from "./s3-client.ts";

const PARALLEL_REQUESTS = 8;
/** Written once, and then asked whether a second write is refused. */
const PROBE_PATH = "conditional-writes";
const PROBE_HEADERS = { "content-type": "text/plain; charset=utf-8" };
const TILE_HEADERS = {
  "content-type": "application/octet-stream",
  "cache-control": "public, max-age=31536000, immutable",
};
const CHECKPOINT_HEADERS = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-cache" };

/** Reads a log in an object store; needs no right to write. */
export class S3LogReader implements LogReader {
  readonly #client: S3Client;

  constructor(client: S3Client) {
    this.#client = client;
  }

  async readObject(path: string): Promise<Uint8Array> {
    // Parsing is what keeps other keys of the bucket away from requests.
    parseTilePath(path);
    const found = await this.#client.get(path);
    if (found === null) throw new TrustWardenError("not_found", { path });
    return found.bytes;
  }

  async readCheckpoint(): Promise<string | null> {
    const found = await this.#client.get(CHECKPOINT_PATH);
    return found === null ? null : parseUtf8(found.bytes);
  }
}

/** The writer's side. Owns which version of the checkpoint it saw last. */
export class S3LogObjects {
  readonly #client: S3Client;
  /** Of the checkpoint that is shown; null while there is none. */
  #etag: string | null = null;

  constructor(client: S3Client) {
    this.#client = client;
  }

  /**
   * Looks at what is there.
   *
   * @throws TrustWardenError `config_invalid` for a store that ignores conditions, `store_unavailable`.
   */
  async open(): Promise<void> {
    const bytes = encodeUtf8("absent\n");
    const probe = (condition: S3Condition) =>
      this.#client.put(PROBE_PATH, { bytes, condition, headers: PROBE_HEADERS });
    await probe({ kind: "absent" });
    const other = await probe({ kind: "is", etag: '"00000000000000000000000000000000"' });
    if ((await probe({ kind: "absent" })) !== null || other !== null) {
      throw new TrustWardenError("config_invalid", {
        setting: "ledger.objects",
        reason: "the object store ignores If-None-Match or If-Match; published tiles would not be safe in it",
      });
    }
    await this.#look();
  }

  /** As `LogStorage.writeObjects`. @throws TrustWardenError `ledger_corrupt`, `store_unavailable`. */
  async write(objects: readonly LogObject[]): Promise<void> {
    for (const { path } of objects) parseTilePath(path);
    await inParallel(objects, (object) => this.#writeOnce(object));
  }

  /** As `LogStorage.removePartials`. @throws TrustWardenError `store_unavailable`. */
  async removePartials(fullTilePaths: readonly string[]): Promise<void> {
    for (const path of fullTilePaths) {
      if (parseTilePath(path).width !== TILE_WIDTH) throw new Error("only full tiles have partial versions");
      const partials = await this.#client.list(`${path}.p/`);
      await inParallel(partials, (partial) => this.#client.remove(partial));
    }
  }

  /**
   * Shows a checkpoint in place of the one seen last.
   *
   * @returns false when another is shown meanwhile, which is the one seen last from now on.
   * @throws TrustWardenError `store_unavailable`.
   */
  async swapCheckpoint(note: string): Promise<boolean> {
    const bytes = encodeUtf8(note);
    const condition: S3Condition =
      this.#etag === null ? { kind: "absent" } : { kind: "is", etag: this.#etag };
    const etag = await this.#client.put(CHECKPOINT_PATH, { bytes, condition, headers: CHECKPOINT_HEADERS });
    if (etag !== null) {
      this.#etag = etag;
      return true;
    }
    // Our own, when it was sent a second time because the first answer was lost.
    const shown = await this.#look();
    return shown !== null && isEqualBytes(shown, bytes);
  }

  async #look(): Promise<Uint8Array | null> {
    const shown = await this.#client.get(CHECKPOINT_PATH);
    this.#etag = shown?.etag ?? null;
    return shown?.bytes ?? null;
  }

  async #writeOnce({ path, bytes }: LogObject): Promise<void> {
    const written = { bytes, condition: { kind: "absent" }, headers: TILE_HEADERS } as const;
    if ((await this.#client.put(path, written)) !== null) return;
    const found = await this.#client.get(path);
    if (found === null || !isEqualBytes(found.bytes, bytes))
      throw new TrustWardenError("ledger_corrupt", { path, reason: "published tile differs" });
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const workers = Array.from({ length: Math.min(PARALLEL_REQUESTS, items.length) }, async () => {
    for (const item of queue) await work(item);
  });
  await Promise.all(workers);
}
