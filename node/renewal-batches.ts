/**
 * Renewals that fall due together on one host go to the server in one request, which proves the node once for all of them: what
 * is asked, proven, decided about and recorded of each is the same as alone.
 *
 * @see docs/decisions/0122-renewals-together.md
 */
import { setTimeout as sleep } from "node:timers/promises";

/** What falls due at one instant of the grid comes within this, its processes attested anew. */
const GATHER_MS = 20;

/** What waits for the request that takes it along. */
interface Waiting<Due, Done> {
  readonly due: Due;
  readonly resolve: (done: Done) => void;
  readonly reject: (error: unknown) => void;
}

export interface RenewalBatchesOptions<Due, Done> {
  /** The account that a renewal is for; accounts take turns. */
  readonly accountOf: (due: Due) => string;
  /** How many the server takes in one request, as of now. */
  readonly max: () => number;
  /** Asks for these, in order: what came of each, or throws when nothing is known of any. */
  readonly ask: (due: readonly Due[]) => Promise<readonly PromiseSettledResult<Done>[]>;
}

/** Owns the renewals that wait. One request is under way at a time; whatever falls due meanwhile goes with the next. */
export class RenewalBatches<Due, Done> {
  readonly #options: RenewalBatchesOptions<Due, Done>;
  #waiting: readonly Waiting<Due, Done>[] = [];
  #isAsking = false;

  constructor(options: RenewalBatchesOptions<Due, Done>) {
    this.#options = options;
  }

  /** What came of one renewal. @throws whatever its own refusal is, or that of the request that took it along. */
  renew(due: Due): Promise<Done> {
    const { promise, resolve, reject } = Promise.withResolvers<Done>();
    this.#waiting = [...this.#waiting, { due, resolve, reject }];
    if (!this.#isAsking) void this.#askAll();
    return promise;
  }

  /** Never throws: each one who waits is told. */
  async #askAll(): Promise<void> {
    this.#isAsking = true;
    await sleep(GATHER_MS);
    while (this.#waiting.length > 0) await this.#askNext();
    this.#isAsking = false;
  }

  async #askNext(): Promise<void> {
    const next = this.#takeNext();
    try {
      const ends = await this.#options.ask(next.map(({ due }) => due));
      next.forEach(({ resolve, reject }, at) => {
        const end = ends[at];
        if (end?.status === "fulfilled") resolve(end.value);
        else reject(end?.reason ?? new Error("each renewal has an end"));
      });
    } catch (error) {
      for (const { reject } of next) reject(error);
    }
  }

  /** The oldest of each account, then the next of each, and so on. */
  #takeNext(): readonly Waiting<Due, Done>[] {
    const counts = new Map<string, number>();
    const inTurns = this.#waiting
      .map((one) => {
        const account = this.#options.accountOf(one.due);
        const turn = counts.get(account) ?? 0;
        counts.set(account, turn + 1);
        return { one, turn };
      })
      .sort((left, right) => left.turn - right.turn)
      .map(({ one }) => one);
    const max = this.#options.max();
    const taken = new Set(inTurns.slice(0, max));
    this.#waiting = this.#waiting.filter((one) => !taken.has(one));
    return [...taken];
  }
}
