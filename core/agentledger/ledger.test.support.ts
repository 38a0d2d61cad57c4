/**
 * Helpers for tests of the ledger, here and in the server: a log key, a log in memory, and a storage that breaks on command.
 */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import type { Signer } from "../signer.ts";
import { MemoryHighWater, MemoryLogStorage } from "./memory-log-storage.ts";
import type { LogObject, LogState, LogStorage } from "./ports.ts";
import { Sequencer } from "./sequencer.ts";

/** PKCS#8 header of an Ed25519 seed. */
const ED25519_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** A log signer whose key is a fixed function of a number. */
export function createTestLogSigner(seed = 1): Signer {
  const der = Buffer.concat([ED25519_PREFIX, Buffer.alloc(32, seed)]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return {
    algorithm: "Ed25519",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign(null, data, privateKey),
  };
}

/** A log that has started, in memory. @param options.now - Unix seconds of whatever it signs. */
export async function startTestLog({
  origin,
  storage = new MemoryLogStorage(),
  now = 0,
}: {
  readonly origin: string;
  readonly storage?: LogStorage;
  readonly now?: number;
}): Promise<Sequencer> {
  const log = new Sequencer({
    origin,
    signer: createTestLogSigner(),
    storage,
    highWater: new MemoryHighWater(),
    now: () => now,
    onFatal: (error) => {
      throw error;
    },
  });
  await log.start();
  return log;
}

/** How a write ends at the chosen point. */
export type Fault = "before" | "half" | "after";

/** Passes everything on until its `failAt`-th write, which fails; then nothing works any more, as after a crash. */
export class FaultyLogStorage implements LogStorage {
  readonly #inner: LogStorage;
  readonly #failAt: number;
  readonly #fault: Fault;
  readonly #count: { writes: number };

  /** @param options.count - shared by storages of which the fault ends all. */
  constructor(
    inner: LogStorage,
    options: { readonly failAt: number; readonly fault: Fault; readonly count?: { writes: number } },
  ) {
    this.#inner = inner;
    this.#failAt = options.failAt;
    this.#fault = options.fault;
    this.#count = options.count ?? { writes: 0 };
  }

  /** Writes asked for so far. */
  get writes(): number {
    return this.#count.writes;
  }

  open(): Promise<void> {
    return this.#inner.open();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  readObject(path: string): Promise<Uint8Array> {
    return this.#inner.readObject(path);
  }

  readCheckpoint(): Promise<string | null> {
    return this.#inner.readCheckpoint();
  }

  readWal(): Promise<readonly Uint8Array[]> {
    return this.#inner.readWal();
  }

  readState(): Promise<LogState | null> {
    return this.#inner.readState();
  }

  appendWal(record: Uint8Array): Promise<void> {
    return this.#write(
      () => this.#inner.appendWal(record),
      () => this.#inner.appendWal(record.subarray(0, Math.floor(record.length / 2))),
    );
  }

  rotateWal(): Promise<void> {
    return this.#write(() => this.#inner.rotateWal());
  }

  trimWal(): Promise<void> {
    return this.#write(() => this.#inner.trimWal());
  }

  writeObjects(objects: readonly LogObject[]): Promise<void> {
    return this.#write(
      () => this.#inner.writeObjects(objects),
      () => this.#inner.writeObjects(objects.slice(0, Math.floor(objects.length / 2))),
    );
  }

  removePartials(paths: readonly string[]): Promise<void> {
    return this.#write(
      () => this.#inner.removePartials(paths),
      () => this.#inner.removePartials(paths.slice(0, Math.floor(paths.length / 2))),
    );
  }

  swapState(expected: LogState | null, next: LogState): Promise<void> {
    return this.#write(() => this.#inner.swapState(expected, next));
  }

  publishCheckpoint(note: string): Promise<void> {
    return this.#write(() => this.#inner.publishCheckpoint(note));
  }

  async #write(whole: () => Promise<void>, half?: () => Promise<void>): Promise<void> {
    this.#count.writes += 1;
    if (this.#count.writes < this.#failAt) return whole();
    if (this.#count.writes === this.#failAt && this.#fault === "after") await whole();
    if (this.#count.writes === this.#failAt && this.#fault === "half") await half?.();
    throw new Error("EIO");
  }
}
