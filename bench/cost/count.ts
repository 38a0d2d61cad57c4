/**
 * Counts what a process does that costs: signatures, checks, digests, SQLite statements, writes. Loaded before the program
 * (`--import`); on SIGUSR2 it writes what it has counted to `$TRUSTWARDEN_BENCH_COUNTS/<pid>.json` and begins anew.
 *
 * The main thread only. Counting costs a fraction of a microsecond each, so what is counted here is never timed as a whole.
 */
import crypto from "node:crypto";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { DatabaseSync, StatementSync } from "node:sqlite";
import { isMainThread } from "node:worker_threads";

/** One kind of operation. */
export interface Counted {
  readonly count: number;
  /** Median, microseconds; of what is asynchronous, until it is done. */
  readonly medianUs: number;
}

const US_PER_MS = 1000;
const durations = new Map<string, number[]>();

if (isMainThread) await watchAll();

/** What was counted since the last call. */
export function takeCounts(): Readonly<Record<string, Counted>> {
  const counted = [...durations].map(([name, all]): [string, Counted] => {
    const sorted = all.toSorted((one, other) => one - other);
    return [name, { count: all.length, medianUs: (sorted[all.length >> 1] ?? 0) * US_PER_MS }];
  });
  durations.clear();
  return Object.fromEntries(counted);
}

async function watchAll(): Promise<void> {
  const curve = ([algorithm]: readonly unknown[]) => (algorithm === null ? "Ed25519" : "P-256");
  watch(crypto, "sign", (args) => `signature, ${curve(args)}`);
  watch(crypto, "verify", (args) => `verification, ${curve(args)}`);
  watch(crypto, "hash", () => "digest, SHA-256");
  watch(crypto, "createHmac", () => "HMAC made");
  watch(crypto, "createPublicKey", () => "key imported");
  syncBuiltinESMExports();
  for (const name of ["get", "all", "run"]) watch(StatementSync.prototype, name, () => "SQLite statement");
  watch(DatabaseSync.prototype, "exec", () => "SQLite statement");
  watch(Socket.prototype, "_writeGeneric", () => "socket write");
  const handle = await open(process.execPath);
  watch(Object.getPrototypeOf(handle), "write", () => "file write (the log's: durable)");
  watch(Object.getPrototypeOf(handle), "sync", () => "file sync");
  await handle.close();
  const directory = process.env.TRUSTWARDEN_BENCH_COUNTS;
  if (directory === undefined) return;
  process.on("SIGUSR2", () =>
    writeFileSync(join(directory, `${process.pid}.json`), JSON.stringify(takeCounts())),
  );
}

function watch(target: object, name: string, labelOf: (args: readonly unknown[]) => string): void {
  const original: unknown = Reflect.get(target, name);
  if (typeof original !== "function") throw new Error(`there is no ${name} to count`);
  Reflect.set(target, name, function (this: unknown, ...args: unknown[]): unknown {
    const startedMs = performance.now();
    const label = labelOf(args);
    const done: unknown = Reflect.apply(original, this, args);
    const finish = () => note(label, performance.now() - startedMs);
    if (done instanceof Promise) done.then(finish, finish);
    else finish();
    return done;
  });
}

function note(label: string, tookMs: number): void {
  const known = durations.get(label);
  if (known === undefined) durations.set(label, [tookMs]);
  else known.push(tookMs);
}
