/**
 * Our side: the product's sequencer and signature checks in this process, on a disk or in memory, and the raw
 * verifications of as many threads as there are processors.
 */
import { availableParallelism } from "node:os";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { parseIntent } from "@trustwarden/core/event.ts";
import { createThreadLane } from "../../server/intake/check-lane.ts";
import { SignatureChecks } from "../../server/intake/signature-checks.ts";
import { verifyEnvelopes } from "../../server/intake/verify-envelopes.ts";
import { createDomain } from "../domain.ts";
import { startDurableLog } from "../log.ts";
import { percentile } from "../measure.ts";
import { RecordWriter } from "../records.ts";

const ENTRIES = 4096;
/** What a caller submits at once; as many callers as make `atOnce` entries. */
const SUBMISSION = 256;
const TICK_MS = 10;

/** What one run came to: entries a second, and milliseconds until one is durable in its place. */
export interface Run {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

/** A run whose processor time is known: microseconds an operation, of all threads of the process together. */
export interface Costed {
  readonly cpuUs: number;
}

export type Where = "memory" | "disk";
export type How = "plain" | "verified";

/** One run to make; `number` is how many entries are on their way, or how many come a second. */
export interface Asked {
  readonly kind: "closed" | "paced";
  readonly where: Where;
  readonly how: How;
  readonly number: number;
  readonly ms: number;
}

/** The entries that both sides add, all signed by one key. */
export interface Signed {
  readonly texts: readonly string[];
  readonly certificate: string;
  readonly spki: Uint8Array;
}

/** Intents of one agent. */
export function signEntries(): Signed {
  const writer = new RecordWriter(createDomain());
  const { leaf } = writer.parties.agent;
  return {
    texts: Array.from({ length: ENTRIES }, () => writer.nextIntent().envelope),
    certificate: leaf.sha256,
    spki: encodeSpki(leaf.publicKey),
  };
}

/** Owns the logs and the threads. */
export class Ours {
  readonly #signed: Signed;
  readonly #bytes: readonly Uint8Array[];
  readonly #logs: Readonly<Partial<Record<Where, Sequencer>>>;
  readonly #checks = new SignatureChecks({
    threads: availableParallelism(),
    createThread: createThreadLane,
    onLost: (error) => {
      throw error;
    },
  });
  readonly #raw: readonly Worker[];
  #next = 0;

  private constructor(signed: Signed, logs: Readonly<Partial<Record<Where, Sequencer>>>) {
    this.#signed = signed;
    this.#bytes = signed.texts.map(encodeUtf8);
    this.#logs = logs;
    const file = new URL("./raw-thread.ts", import.meta.url);
    const workerData = signed.texts[0]?.length ?? 0;
    this.#raw = Array.from({ length: availableParallelism() }, () => new Worker(file, { workerData }));
  }

  static async open(signed: Signed, directories: Readonly<Partial<Record<Where, string>>>): Promise<Ours> {
    const { disk, memory } = directories;
    return new Ours(signed, {
      ...(disk === undefined ? {} : { disk: await startDurableLog(disk) }),
      ...(memory === undefined ? {} : { memory: await startDurableLog(memory) }),
    });
  }

  /** Verifications a second of all processors together. */
  async raw(ms: number): Promise<Costed & { readonly rate: number }> {
    const before = process.cpuUsage();
    const startedAt = performance.now();
    const rates = this.#raw.map(
      (thread) =>
        new Promise<number>((resolve) => {
          thread.once("message", resolve);
          thread.postMessage(ms);
        }),
    );
    const rate = (await Promise.all(rates)).reduce((sum, each) => sum + each, 0);
    return { rate, cpuUs: cpuUsSince(before, (rate * (performance.now() - startedAt)) / 1000) };
  }

  async run({ kind, where, how, number, ms }: Asked): Promise<Run & Costed> {
    const log = this.#logs[where];
    if (log === undefined) throw new Error(`there is no log in ${where}`);
    const tookMs: number[] = [];
    const before = process.cpuUsage();
    const startedAt = performance.now();
    const submit = async (flow: string, count: number, sinceMs: number) => {
      await this.#submit({ log, how, flow, count });
      const took = performance.now() - sinceMs;
      for (let index = 0; index < count; index += 1) tookMs.push(took);
    };
    if (kind === "paced") await pace({ perSecond: number, ms, startedAt }, submit);
    else {
      const callers = Array.from({ length: number / SUBMISSION }, async (_, caller) => {
        while (performance.now() - startedAt < ms)
          await submit(`caller ${caller}`, SUBMISSION, performance.now());
      });
      await Promise.all(callers);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const cpuUs = cpuUsSince(before, tookMs.length);
    return { rate: tookMs.length / seconds, p50: percentile(tookMs, 50), p99: percentile(tookMs, 99), cpuUs };
  }

  async close(): Promise<void> {
    for (const log of Object.values(this.#logs)) await log.stop();
    await this.#checks.close();
    await Promise.all(this.#raw.map((thread) => thread.terminate()));
  }

  /** Entries of one caller, verified or not, each appended by itself; resolves when all are durable. */
  async #submit(asked: {
    readonly log: Sequencer;
    readonly how: How;
    readonly flow: string;
    readonly count: number;
  }): Promise<void> {
    const { log, how, flow, count } = asked;
    const start = this.#next;
    this.#next += count;
    const places = Array.from({ length: count }, (_, index) => (start + index) % ENTRIES);
    if (how === "verified") await this.#verify(flow, places);
    await Promise.all(places.map((place) => log.append([this.#bytes[place] ?? nobody()])));
  }

  async #verify(flow: string, places: readonly number[]): Promise<void> {
    const { texts, certificate, spki } = this.#signed;
    const submitted = places.map((place) => ({
      envelope: parseEnvelope(texts[place] ?? nobody()),
      key: { certificate, spki },
    }));
    for (const { payload } of await verifyEnvelopes(this.#checks, { flow, name: "intent", submitted }))
      parseIntent(payload);
  }
}

/** Submits at a rate, whatever became of what was submitted before. */
async function pace(
  {
    perSecond,
    ms,
    startedAt,
  }: { readonly perSecond: number; readonly ms: number; readonly startedAt: number },
  submit: (flow: string, count: number, sinceMs: number) => Promise<void>,
): Promise<void> {
  const each = (perSecond * TICK_MS) / 1000;
  const running: Promise<void>[] = [];
  for (let due = 0; due < ms; due += TICK_MS) {
    await setTimeout(Math.max(0, startedAt + due - performance.now()));
    running.push(submit("caller", each, startedAt + due));
  }
  await Promise.all(running);
}

function cpuUsSince(before: NodeJS.CpuUsage, operations: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / operations;
}

function nobody(): never {
  throw new Error("places are of entries");
}
