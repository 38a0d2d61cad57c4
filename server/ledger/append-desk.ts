/**
 * The sequencer's side of what other servers append: takes what waits, in order, and answers it once it is durable.
 *
 * Each goes in once: whoever sequenced before may have ended between the entry and its answer, so that what waits at the
 * start is looked for in the ledger first; and an answer that could not be given is kept until it can.
 */
import type { AppendAnswer, AppendPost, WaitingAppend } from "@trustwarden/core/agentledger/append-post.ts";
import type { Appended } from "@trustwarden/core/agentledger/sequencer.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isOfType } from "../store/entry-type.ts";
import { reachOfEvent } from "./outbox.ts";
import { SeenIntents } from "./seen-intents.ts";
import { digestOfEntry, readTail } from "./tail.ts";

/** Records are dated by the servers that signed them, what waits by the place where it waits. */
const SKEW_MS = 120_000;

export interface AppendDeskOptions {
  readonly post: AppendPost;
  readonly log: Parameters<typeof readTail>[0]["log"] & {
    append(entries: readonly Uint8Array[]): Promise<readonly Appended[]>;
  };
}

/** Owns what it has taken: everything in `#taken` is in the ledger, or refused, and may not be answered yet. */
export class AppendDesk {
  readonly #options: AppendDeskOptions;
  readonly #taken = new Map<string, AppendAnswer>();
  /** Where each entry is that was put there since the oldest of those that waited at the start. */
  #known: ReadonlyMap<string, number> = new Map();
  #working: Promise<void> | null = null;
  #isNews = false;
  #isClosed = false;

  private constructor(options: AppendDeskOptions) {
    this.#options = options;
  }

  /**
   * Answers what was left, and from then on what comes.
   *
   * @throws TrustWardenError `store_unavailable`, and what the ledger cannot be read for.
   */
  static async open(options: AppendDeskOptions): Promise<AppendDesk> {
    const desk = new AppendDesk(options);
    const waiting = await options.post.waiting();
    const sinceMs = Math.min(...waiting.map(reachOf));
    const seen = new SeenIntents();
    if (waiting.length > 0) desk.#known = (await readTail({ log: options.log, seen, sinceMs })).indexes;
    options.post.watch(() => desk.#work());
    desk.#work();
    return desk;
  }

  /** Takes nothing more; returns when what was taken is answered or given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#working;
  }

  #work(): void {
    if (this.#isClosed) return;
    // What comes while it is worked may have come too late for that look.
    this.#isNews = true;
    this.#working ??= this.#workOnNews();
  }

  async #workOnNews(): Promise<void> {
    while (this.#isNews) {
      this.#isNews = false;
      // Safe: it waits on, and is taken again.
      await this.#takeWaiting().catch(() => undefined);
    }
    this.#working = null;
  }

  async #takeWaiting(): Promise<void> {
    for (;;) {
      const waiting = await this.#options.post.waiting();
      if (this.#isClosed) return;
      if (waiting.length === 0) {
        // From here on everything that comes was asked for after whoever sequenced before had ended.
        this.#known = new Map();
        return;
      }
      const answers = new Map<string, AppendAnswer>();
      // Given to the log in one step, so that they are durable together; what it has taken is not taken again.
      const ends = await Promise.allSettled(
        waiting.map(async (asked) => {
          answers.set(asked.id, await this.#place(asked));
        }),
      );
      await this.#options.post.answer(answers);
      for (const id of answers.keys()) this.#taken.delete(id);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
    }
  }

  async #place(asked: WaitingAppend): Promise<AppendAnswer> {
    const taken = this.#taken.get(asked.id) ?? this.#find(asked);
    if (taken !== undefined) return taken;
    const answer = await this.#append(asked);
    this.#taken.set(asked.id, answer);
    return answer;
  }

  /** Where it was put by whoever sequenced before. */
  #find({ entries }: WaitingAppend): AppendAnswer | undefined {
    const last = entries.at(-1);
    const index = last === undefined ? undefined : this.#known.get(digestOfEntry(last));
    return index === undefined ? undefined : { kind: "placed", index: index - entries.length + 1 };
  }

  /** @throws TrustWardenError `ledger_unavailable`: the next sequencer answers it. */
  async #append({ entries }: WaitingAppend): Promise<AppendAnswer> {
    try {
      const [first] = await this.#options.log.append(entries);
      if (first === undefined) return { kind: "refused", code: "request_malformed" };
      return { kind: "placed", index: first.index };
    } catch (error) {
      if (error instanceof TrustWardenError && error.status < 500)
        return { kind: "refused", code: error.code };
      throw error;
    }
  }
}

/** Unix milliseconds from which on it may be in the ledger; what a server died owing is older than the asking for it. */
function reachOf({ entries, askedMs }: WaitingAppend): number {
  const asked = askedMs - SKEW_MS;
  const last = entries.at(-1);
  return last !== undefined && isOfType(last, "control") ? Math.min(asked, reachOfEvent(last)) : asked;
}
