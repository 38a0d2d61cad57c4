/**
 * Has the published checkpoints countersigned, behind the ledger's back: nothing waits for a witness, and nothing that
 * too few of them cosigned is called witnessed.
 *
 * Each witness goes at its own pace; what they say about the same checkpoint is put together here. `latest` is the
 * newest checkpoint that satisfies the policy; it is durable before anybody sees it, and its size never falls.
 */
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyWitnessedCheckpoint } from "@trustwarden/core/agentledger/cosignature.ts";
import { isQuorum, type TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PublishedHead, WitnessFollower } from "./follower.ts";
import { requireContinued, type WitnessedLogSource } from "./own-history.ts";

/** Checkpoints for which cosignatures are still gathered; a slow witness answers within a few of them. */
const MAX_GATHERED = 16;

/** Keeps the newest witnessed checkpoint over a restart. */
export interface WitnessedStore {
  read(): Promise<string | null>;
  /** Durable on return. */
  write(note: string): Promise<void>;
}

/** What happens with witnesses, for the server's log. */
export type WitnessEvent =
  | { readonly kind: "witnessed"; readonly size: number }
  | { readonly kind: "failed"; readonly witness: string; readonly code: string; readonly detail: string };

export interface WitnessingOptions {
  readonly policy: TlogPolicy;
  readonly log: WitnessedLogSource;
  readonly followers: readonly WitnessFollower[];
  readonly store: WitnessedStore;
  readonly intervalMs: number;
  /** Monotonic milliseconds. */
  readonly monoMs: () => number;
  readonly onEvent: (event: WitnessEvent) => void;
  /** Told when a witness proves that this log is not the newest: the process must stop. */
  readonly onRolledBack: (error: unknown) => void;
}

interface Gathered extends PublishedHead {
  /** Signature lines by the witness's name in the policy. */
  readonly lines: Map<string, string>;
}

/** Owns the timer and what is gathered. */
export class Witnessing {
  readonly #options: WitnessingOptions;
  /** By note; the oldest first. */
  readonly #gathered = new Map<string, Gathered>();
  readonly #running = new Set<Promise<void>>();
  #latest: PublishedHead | null = null;
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WitnessingOptions) {
    this.#options = options;
  }

  /** The newest checkpoint that satisfies the policy, with its cosignatures; null before the first. */
  get latest(): PublishedHead | null {
    return this.#latest;
  }

  /**
   * Takes up the witnessed checkpoint of before, or of the server that asks witnesses where several share the ledger. One that
   * the policy of today does not satisfy is forgotten, after it was held against the log like a note that a witness shows.
   *
   * @throws TrustWardenError `data_rolled_back` when the log does not continue it.
   */
  async restore(): Promise<void> {
    const { store, policy, log } = this.#options;
    const note = await store.read();
    if (note === null || note === this.#latest?.note) return;
    await requireContinuedIfOurs(log, note);
    const size = sizeUnder(note, policy, log.vkey);
    if (size !== null && size >= (this.#latest?.size ?? 0)) this.#latest = { note, size };
  }

  /** Begins to ask. */
  start(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick(), this.#options.intervalMs);
    this.#timer.unref();
    this.#tick();
  }

  /** Stops asking. Requests under way are the caller's to end; returns when all of them have. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
    await this.#writing;
  }

  #tick(): void {
    const { followers, monoMs } = this.#options;
    const note = this.#published();
    if (note === null) return;
    const due = followers.filter((follower) => follower.isDue(note, monoMs()));
    if (due.length === 0) return;
    const head = this.#gather(note);
    for (const follower of due) {
      const running = this.#ask(follower, head).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  /** Null while nothing is: a shard may be known of before its first checkpoint is read. */
  #published(): string | null {
    try {
      return this.#options.log.checkpoint();
    } catch (error) {
      // Safe to go on: nothing is cosigned meanwhile, and the next look asks again.
      if (error instanceof TrustWardenError && error.code === "ledger_unavailable") return null;
      throw error;
    }
  }

  #gather(note: string): Gathered {
    const known = this.#gathered.get(note);
    if (known !== undefined) return known;
    const { size } = verifyCheckpoint(note, this.#options.log.vkey);
    const gathered = { note, size, lines: new Map<string, string>() };
    this.#gathered.set(note, gathered);
    for (const old of [...this.#gathered.keys()].slice(0, -MAX_GATHERED)) this.#gathered.delete(old);
    return gathered;
  }

  async #ask(follower: WitnessFollower, head: Gathered): Promise<void> {
    const { monoMs, onEvent, onRolledBack } = this.#options;
    try {
      const lines = await follower.cosign(head, monoMs());
      if (lines !== null) this.#add(head, follower.name, lines);
    } catch (error) {
      if (error instanceof TrustWardenError && error.code === "data_rolled_back") onRolledBack(error);
      // Safe to go on, whatever it was: it is asked again later, and without it nothing is called witnessed.
      onEvent({ kind: "failed", witness: follower.name, ...reasonOf(error) });
    }
  }

  #add(gathered: Gathered, witness: string, lines: string): void {
    const { policy } = this.#options;
    gathered.lines.set(witness, lines);
    if (!isQuorum(policy, new Set(gathered.lines.keys()))) return;
    const { size } = gathered;
    const note = gathered.note + [...gathered.lines.values()].join("");
    // What a reader would refuse is never called witnessed, whatever was counted here.
    verifyWitnessedCheckpoint(note, policy, this.#options.log.vkey);
    this.#writing = this.#writing.then(() => this.#keep({ note, size }));
  }

  async #keep(head: PublishedHead): Promise<void> {
    const { store, onEvent } = this.#options;
    if (this.#latest !== null && head.size < this.#latest.size) return;
    try {
      await store.write(head.note);
    } catch {
      // Safe to go on: the older one stays in force, and the next checkpoint is tried again.
      onEvent({ kind: "failed", witness: "", code: "store_unavailable", detail: "not kept" });
      return;
    }
    this.#latest = head;
    onEvent({ kind: "witnessed", size: head.size });
  }
}

/** Nobody awaits an asking, so what nobody foresaw is told here as well, by its name alone. */
function reasonOf(error: unknown): { readonly code: string; readonly detail: string } {
  if (error instanceof TrustWardenError) return { code: error.code, detail: JSON.stringify(error.details) };
  return { code: "internal", detail: error instanceof Error ? error.name : "unknown" };
}

/** A note of our key counts whatever the policy of today is; one of another key says nothing of this log. */
async function requireContinuedIfOurs(log: WitnessedLogSource, note: string): Promise<void> {
  try {
    await requireContinued(log, { note, witness: "our own copy" });
  } catch (error) {
    const isOthers =
      error instanceof TrustWardenError &&
      (error.code === "checkpoint_untrusted" || error.code === "checkpoint_malformed");
    // Safe to go on: the policy is about this log's key, and so such a note is not taken up either.
    if (!isOthers) throw error;
  }
}

function sizeUnder(note: string, policy: TlogPolicy, vkey: string): number | null {
  try {
    return verifyWitnessedCheckpoint(note, policy, vkey).checkpoint.size;
  } catch (error) {
    // Safe to go on: the policy may have changed, and what it does not satisfy is simply not witnessed.
    if (!(error instanceof TrustWardenError)) throw error;
    return null;
  }
}
