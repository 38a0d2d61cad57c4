/**
 * Evaluates a policy that somebody else wrote in a thread that can be ended.
 *
 * Rego always terminates, but not always this year. The question goes to the worker through shared memory and the
 * caller waits, up to a deadline, so that the port stays synchronous and nothing else happens between the question
 * and its answer. A worker that misses the deadline is ended and replaced; until the new one is ready every answer is
 * `policy_unavailable`, which `decide` turns into a deny.
 */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Json, parseJson } from "@trustwarden/core/json.ts";
import { threadEnvironment } from "../thread-environment.ts";
import {
  ANSWERED,
  ASKED,
  controlOf,
  createChannel,
  IDLE,
  readText,
  STATE,
  writeText,
} from "./policy-channel.ts";
import { createWasmEngine, DEFAULT_ENTRYPOINT, type WasmEngine, type WasmEngineOptions } from "./wasm.ts";

/** Far above an honest evaluation (tens of microseconds), far below what a caller notices. */
const DEFAULT_DEADLINE_MS = 50;
export interface WorkerEngineOptions extends WasmEngineOptions {
  /** Milliseconds after which an unanswered question is a failure. */
  readonly deadlineMs?: number;
}

/** An engine that lives in a worker, and has to be closed. */
export interface WorkerEngine extends WasmEngine {
  /** Ends the worker; every later question is `policy_unavailable`. */
  close(): Promise<void>;
}

/**
 * An engine whose worker has loaded the policy.
 *
 * @throws TrustWardenError as `createWasmEngine`.
 */
export async function createWorkerEngine(options: WorkerEngineOptions): Promise<WorkerEngine> {
  const { deadlineMs = DEFAULT_DEADLINE_MS, ...policy } = options;
  // Loading it here too reports a broken module as what it is, and gives the digest of what was loaded.
  const engine = new TerminableEngine(createWasmEngine(policy), policy, deadlineMs);
  await engine.start();
  return engine;
}

/**
 * Owns one worker and its channel. Between calls either the channel is IDLE or no worker is ready. A replaced worker
 * keeps its old channel to itself, so a late answer never reaches a later question.
 */
class TerminableEngine implements WorkerEngine {
  readonly policy: PolicyReference;
  readonly entrypoints: readonly string[];
  readonly #options: WasmEngineOptions;
  readonly #deadlineMs: number;
  #channel = createChannel();
  /** The worker that is ready for a question; undefined while one starts, and after `close`. */
  #worker: Worker | undefined;
  #starting: Promise<void> | undefined;
  #isClosed = false;

  constructor(
    loaded: Pick<WasmEngine, "policy" | "entrypoints">,
    options: WasmEngineOptions,
    deadlineMs: number,
  ) {
    this.policy = loaded.policy;
    this.entrypoints = loaded.entrypoints;
    this.#options = options;
    this.#deadlineMs = deadlineMs;
  }

  /** Starts a worker unless one is ready or starting. */
  start(): Promise<void> {
    if (this.#worker !== undefined || this.#isClosed) return Promise.resolve();
    this.#starting ??= this.#startWorker().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  evaluate(input: PolicyInput): unknown {
    return this.evaluateAt(this.#options.entrypoint ?? DEFAULT_ENTRYPOINT, input);
  }

  evaluateAt(entrypoint: string, input: Json | PolicyInput): unknown {
    const worker = this.#worker;
    if (worker === undefined) {
      this.#restart();
      throw unavailable("no worker");
    }
    const control = controlOf(this.#channel);
    writeText(this.#channel, encodeUtf8(JSON.stringify({ entrypoint, input })), ASKED);
    Atomics.wait(control, STATE, ASKED, this.#deadlineMs);
    const state = Atomics.load(control, STATE);
    if (state === ASKED) {
      this.#drop(worker);
      this.#restart();
      throw unavailable("deadline");
    }
    const answer = readText(this.#channel);
    Atomics.store(control, STATE, IDLE);
    if (state !== ANSWERED) throw unavailable("worker failed");
    return parseJson(parseUtf8(answer));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    await Promise.allSettled([worker?.terminate(), this.#starting]);
  }

  async #startWorker(): Promise<void> {
    const channel = createChannel();
    const worker = new Worker(new URL("./policy-worker.ts", import.meta.url), {
      name: "policy",
      workerData: { channel, options: this.#options },
      env: threadEnvironment(),
    });
    worker.unref();
    await once(worker, "message");
    if (this.#isClosed) {
      await worker.terminate();
      return;
    }
    worker.on("error", () => this.#drop(worker));
    this.#channel = channel;
    this.#worker = worker;
  }

  /** Ends a worker; the ending itself is the thread's own business, its channel is no longer read. */
  #drop(worker: Worker): void {
    if (this.#worker === worker) this.#worker = undefined;
    worker.terminate().catch(() => undefined);
  }

  /** Safe to let a failure go: without a worker every answer is a deny, and the next question tries again. */
  #restart(): void {
    this.start().catch(() => undefined);
  }
}

function unavailable(reason: string): TrustWardenError {
  return new TrustWardenError("policy_unavailable", { reason });
}
