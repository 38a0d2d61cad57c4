/** Appends of a server whose ledger is sequenced by another one: asked for together, and waited for. */
import { setTimeout } from "node:timers/promises";
import type { AppendAnswer, AppendPost, AskedAppend } from "@trustwarden/core/agentledger/append-post.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import type { Appended } from "@trustwarden/core/agentledger/sequencer.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Another server takes a sequencer's place sooner; whoever asked has long gone then. */
const WAIT_MS = 20_000;
/** Between two tries to ask. */
const PAUSE_MS = 100;
/** Asked for in one go. */
const MAX_BATCH = 64;
/** Above it appends are refused early. */
const MAX_PENDING = 10_000;

interface Pending {
  readonly asked: AskedAppend;
  readonly done: PromiseWithResolvers<readonly Appended[]>;
  readonly timer: NodeJS.Timeout;
}

export interface CarriedAppendsOptions {
  readonly post: AppendPost;
  /** Of each append alone, for ever. */
  readonly newId: () => string;
  /** The log's signed promise of an entry that is durable at an index. */
  readonly acknowledge: (place: { readonly index: number; readonly leafHash: Uint8Array }) => string;
}

/** Owns what is on its way. Each append is in `#queue` until it is asked for, and in `#asked` until it is answered. */
export class CarriedAppends {
  readonly #options: CarriedAppendsOptions;
  #queue: Pending[] = [];
  readonly #asked = new Map<string, Pending>();
  #asking: Promise<void> | null = null;
  #looking: Promise<void> | null = null;
  #isNews = false;

  constructor(options: CarriedAppendsOptions) {
    this.#options = options;
    options.post.watch(() => this.#look());
  }

  /**
   * Appends entries as neighbours; durable in their place on return.
   *
   * @param id - of these entries, where several servers may ask for them; the first place is the only one.
   * @throws TrustWardenError `entry_too_large`; `ledger_unavailable`: they may yet go in.
   */
  async append(entries: readonly Uint8Array[], id = this.#options.newId()): Promise<readonly Appended[]> {
    const before = this.#asked.get(id) ?? this.#queue.find(({ asked }) => asked.id === id);
    if (before !== undefined) return before.done.promise;
    if (this.#queue.length + this.#asked.size >= MAX_PENDING) throw unavailable("too many wait");
    const asked = { id, entries };
    const done = Promise.withResolvers<readonly Appended[]>();
    const timer = globalThis.setTimeout(() => this.#end(pending, unavailable("nobody sequences")), WAIT_MS);
    const pending: Pending = { asked, done, timer };
    this.#queue.push(pending);
    this.#asking ??= this.#ask();
    return done.promise;
  }

  async #ask(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, MAX_BATCH);
      for (const pending of batch) this.#asked.set(pending.asked.id, pending);
      try {
        await this.#options.post.ask(batch.map(({ asked }) => asked));
      } catch {
        // Nobody knows whether they wait. Asked for again under the same id they go in once all the same.
        this.#queue = [...batch.filter(({ asked }) => this.#asked.delete(asked.id)), ...this.#queue];
        await setTimeout(PAUSE_MS);
      }
    }
    // In one step with the look at the queue: whoever comes next begins anew.
    this.#asking = null;
  }

  #look(): void {
    if (this.#asked.size === 0) return;
    // What is news while it is looked may have come too late for that look.
    this.#isNews = true;
    this.#looking ??= this.#collectNews();
  }

  async #collectNews(): Promise<void> {
    while (this.#isNews) {
      this.#isNews = false;
      await this.#collect();
    }
    this.#looking = null;
  }

  async #collect(): Promise<void> {
    try {
      const answers = await this.#options.post.answersTo([...this.#asked.keys()]);
      for (const [id, answer] of answers) {
        const pending = this.#asked.get(id);
        if (pending !== undefined) this.#settle(pending, answer);
      }
    } catch {
      // Safe: what is not answered is looked for again, and given up in the end.
    }
  }

  #settle(pending: Pending, answer: AppendAnswer): void {
    if (answer.kind === "refused") {
      this.#end(pending, new TrustWardenError(answer.code));
      return;
    }
    const { acknowledge } = this.#options;
    const places = pending.asked.entries.map((entry, at) => {
      const place = { index: answer.index + at, leafHash: leafHash(entry) };
      return { ...place, acknowledgement: acknowledge(place) };
    });
    this.#forget(pending);
    pending.done.resolve(places);
  }

  #end(pending: Pending, error: TrustWardenError): void {
    this.#forget(pending);
    pending.done.reject(error);
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    this.#asked.delete(pending.asked.id);
    this.#queue = this.#queue.filter((one) => one !== pending);
  }
}

function unavailable(reason: string): TrustWardenError {
  return new TrustWardenError("ledger_unavailable", { reason });
}
