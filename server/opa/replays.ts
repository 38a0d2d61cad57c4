/**
 * Replays of recorded decisions against a draft: one at a time, each in a thread of its own that is ended when it is
 * slow, so that no draft holds up a decision that is wanted now.
 *
 * A draft may be unsigned: nothing is allowed by it, and it reaches nothing. It is held against what a module may ask of
 * its host as a policy in force is.
 */

import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { formatBundleName } from "@trustwarden/core/agentscope/policy-bundle.ts";
import { isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { threadEnvironment } from "../thread-environment.ts";
import { readDraft } from "./custom.ts";
import { readHostBuiltins } from "./host-builtins.ts";
import type { LoggedDecision, PolicyReplays, ReplayedDecision, RunningReplay } from "./ports.ts";
import type { FromReplay, ReplayThreadData } from "./replay-protocol.ts";

/** A decision is asked about many times where the draft looks at what is not recorded. */
const ASKS_A_DECISION = 8;
/** For reading a thread's start on a busy machine, and for the first evaluation. */
const GRACE_MS = 10_000;
const RETRY_AFTER_SECONDS = 10;

/** Owns the one place: `#isTaken` from the start of a replay to its end. */
export class ThreadedReplays implements PolicyReplays {
  readonly #builtin: PolicyMaterial;
  readonly #policyDir: string;
  readonly #deadlineMs: number;
  #isTaken = false;

  constructor(options: {
    readonly builtin: PolicyMaterial;
    readonly policyDir: string;
    readonly deadlineMs: number;
  }) {
    this.#builtin = options.builtin;
    this.#policyDir = options.policyDir;
    this.#deadlineMs = options.deadlineMs;
  }

  async begin(bundle: Uint8Array): Promise<RunningReplay> {
    if (this.#isTaken) {
      throw new TrustWardenError("overloaded", {
        reason: "a replay runs",
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    this.#isTaken = true;
    try {
      return await this.#start(bundle);
    } catch (error) {
      this.#isTaken = false;
      throw error;
    }
  }

  async #start(bundle: Uint8Array): Promise<RunningReplay> {
    const { name, version, wasm, data } = readDraft(bundle);
    const thread = await ReplayThread.start({
      draft: { wasm, data, name: formatBundleName({ name, version }) },
      builtin: this.#builtin,
      hostBuiltins: readHostBuiltins(this.#policyDir),
    });
    const { policySha256 } = thread;
    return {
      name,
      version,
      policySha256,
      replay: (logged) => thread.ask(logged, GRACE_MS + logged.length * ASKS_A_DECISION * this.#deadlineMs),
      end: async () => {
        this.#isTaken = false;
        await thread.end();
      },
    };
  }
}

/** Owns one worker. At most one batch is with it; a late answer finds nobody, since the worker is ended with its question. */
class ReplayThread {
  readonly policySha256: string;
  readonly #worker: Worker;

  private constructor(worker: Worker, policySha256: string) {
    this.#worker = worker;
    this.policySha256 = policySha256;
  }

  /** @throws TrustWardenError `policy_unavailable`, `policy_refused`. */
  static async start(data: ReplayThreadData): Promise<ReplayThread> {
    const file = `./replay-thread${extname(fileURLToPath(import.meta.url))}`;
    const worker = new Worker(new URL(file, import.meta.url), { workerData: data, env: threadEnvironment() });
    const first = await answerOf(worker, GRACE_MS).catch(async (error: unknown) => {
      await worker.terminate();
      throw error;
    });
    if (first.kind === "ready") return new ReplayThread(worker, first.policySha256);
    await worker.terminate();
    const code = first.kind === "failed" && isErrorCode(first.code) ? first.code : "policy_unavailable";
    throw new TrustWardenError(code, { reason: "the draft cannot be started" });
  }

  /** @throws TrustWardenError `policy_unavailable` when no answer comes in time. */
  async ask(
    logged: readonly LoggedDecision[],
    withinMs: number,
  ): Promise<readonly (ReplayedDecision | null)[]> {
    const answered = answerOf(this.#worker, withinMs);
    this.#worker.postMessage(logged);
    const answer = await answered;
    if (answer.kind !== "done") throw new TrustWardenError("policy_unavailable", { reason: "no answer" });
    return answer.replayed;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

async function answerOf(worker: Worker, withinMs: number): Promise<FromReplay> {
  const signal = AbortSignal.timeout(withinMs);
  try {
    const [message]: FromReplay[] = await once(worker, "message", { signal });
    if (message === undefined) throw new Error("a message says something");
    return message;
  } catch (cause) {
    throw new TrustWardenError(
      "policy_unavailable",
      { reason: "the draft gave no answer in time" },
      { cause },
    );
  }
}
