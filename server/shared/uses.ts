/**
 * What counts once, whichever of the servers that share a store it is shown to: claimed in the store, before anything is
 * done with it.
 *
 * Each server has asked its own memory before, which refuses most of what is shown twice without a way to the store.
 *
 * @see docs/decisions/0064
 */
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { ClaimedUse, UseRows } from "@trustwarden/core/use-rows.ts";

/** Claimed in one go. */
const MAX_BATCH = 128;
/** Above it whoever comes is refused early. */
const MAX_PENDING = 10_000;
/** Clocks of servers and of the store may be off; what would be taken is never forgotten for that. */
const MARGIN_SECONDS = 300;

/** Kinds of what counts once, and what a second use is refused with. */
export const REFUSALS = {
  intent: "intent_replayed",
  nonce: "nonce_invalid",
  "owner-request": "owner_request_replayed",
  dpop: "dpop_replayed",
  wpt: "wpt_replayed",
  attestation: "client_attestation_replayed",
} as const satisfies Readonly<Record<string, ErrorCode>>;

/** A kind of what counts once. */
export type UseKind = keyof typeof REFUSALS;

/** One use. */
export interface Use {
  readonly kind: UseKind;
  /** Among those of its kind. */
  readonly name: string;
  /** What is used under that name, where a name may be given to something else; empty otherwise. */
  readonly mark?: string;
  /** Unix seconds from which on it would be refused anyway. */
  readonly forgetAt: number;
}

/** Where uses are claimed. */
export interface Uses {
  /** @throws TrustWardenError the code of the kind, `event_conflict`, `store_unavailable`, `overloaded`. */
  claim(use: Use, now: number): Promise<void>;
}

/** A server that has its store alone remembers by itself. */
export const OWN_USES: Uses = { claim: () => Promise.resolve() };

interface Pending {
  readonly use: ClaimedUse & { readonly kind: UseKind };
  readonly done: PromiseWithResolvers<void>;
}

/** Owns what is on its way; one batch at a time. */
export class SharedUses implements Uses {
  readonly #rows: UseRows;
  #queue: Pending[] = [];
  #claiming: Promise<void> | null = null;

  constructor(rows: UseRows) {
    this.#rows = rows;
  }

  claim({ kind, name, mark = "", forgetAt }: Use, now: number): Promise<void> {
    if (this.#queue.length >= MAX_PENDING) return Promise.reject(new TrustWardenError("overloaded"));
    const done = Promise.withResolvers<void>();
    const seconds = Math.max(0, forgetAt - now) + MARGIN_SECONDS;
    this.#queue.push({ use: { kind, name, mark, seconds }, done });
    this.#claiming ??= this.#work();
    return done.promise;
  }

  async #work(): Promise<void> {
    // Lets the others of this turn of the event loop join the first batch.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#claimBatch(this.#takeBatch());
    // In one step with the look at the queue: whoever comes next begins anew.
    this.#claiming = null;
  }

  async #claimBatch(batch: readonly Pending[]): Promise<void> {
    try {
      const used = await this.#rows.claim(batch.map(({ use }) => use));
      const marks = new Map(used.map(({ kind, name, mark }) => [`${kind} ${name}`, mark]));
      for (const { use, done } of batch) settle(done, refusalOf(use, marks.get(`${use.kind} ${use.name}`)));
    } catch (error) {
      for (const { done } of batch) done.reject(error);
    }
  }

  /** No name twice, so that the store's answer is about one claim each. */
  #takeBatch(): readonly Pending[] {
    const names = new Set<string>();
    const batch: Pending[] = [];
    const left: Pending[] = [];
    for (const pending of this.#queue) {
      const name = `${pending.use.kind} ${pending.use.name}`;
      const isOf = batch.length < MAX_BATCH && !names.has(name);
      names.add(name);
      (isOf ? batch : left).push(pending);
    }
    this.#queue = left;
    return batch;
  }
}

function refusalOf(
  { kind, mark }: Pick<Use, "kind" | "mark">,
  used: string | undefined,
): TrustWardenError | undefined {
  if (used === undefined) return undefined;
  const isOther = kind === "intent" && used !== "" && used !== mark;
  return new TrustWardenError(isOther ? "event_conflict" : REFUSALS[kind], {
    reason: "used at another server",
  });
}

function settle(done: PromiseWithResolvers<void>, refusal: TrustWardenError | undefined): void {
  if (refusal === undefined) done.resolve();
  else done.reject(refusal);
}
