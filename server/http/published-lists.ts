/**
 * The revocation lists that anybody may read, signed as seldom as is safe: one is given out again as long as no epoch has
 * passed since it was made and less than half of its life. A reader that saw a revocation acknowledged gets a list that
 * has it; a crowd of readers costs one signature.
 */
import type { FlooredClock } from "../clock.ts";
import type { IssuedCrls, StoreCommands, StoreReads } from "../store/ports.ts";

/** Something signed that holds for a while. */
interface Published {
  readonly epoch: number;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly ttlSeconds: number;
}

/** What the lists are made with. */
export interface PublishedListsDeps {
  readonly commands: Pick<StoreCommands, "issueCrls">;
  readonly reads: Pick<StoreReads, "epoch">;
  readonly clock: FlooredClock;
}

/** Owns the latest list of each kind. */
export class PublishedLists {
  readonly #crls: Fresh<IssuedCrls>;

  constructor({ commands, reads, clock }: PublishedListsDeps) {
    const now = () => clock.trustedSeconds();
    this.#crls = new Fresh({
      reads,
      now,
      make: () => commands.issueCrls({ nowMs: now() * 1000 }),
    });
  }

  /** @throws TrustWardenError `clock_rolled_back`, `authority_expired` or `store_unavailable`. */
  crls(): Promise<IssuedCrls> {
    return this.#crls.get();
  }
}

/** One published value; at most one is being made at a time. */
class Fresh<Value extends Published> {
  readonly #reads: Pick<StoreReads, "epoch">;
  readonly #now: () => number;
  readonly #make: () => Promise<Value>;
  #value: Value | undefined;
  #making: Promise<Value> | undefined;

  constructor(options: {
    readonly reads: Pick<StoreReads, "epoch">;
    /** Unix seconds. */
    readonly now: () => number;
    readonly make: () => Promise<Value>;
  }) {
    this.#reads = options.reads;
    this.#now = options.now;
    this.#make = options.make;
  }

  async get(): Promise<Value> {
    const epoch = this.#reads.epoch();
    let value = this.#value;
    // One that was under way when we came may be of an earlier epoch; the next one is not, since it begins after it.
    for (let turn = 0; value === undefined || !this.#isFresh(value, epoch); turn += 1) {
      if (turn > 1) throw new Error("a list made now is of this epoch");
      value = await this.#renew();
    }
    return value;
  }

  #isFresh({ epoch, issuedAt, ttlSeconds }: Value, wanted: number): boolean {
    const age = this.#now() - issuedAt;
    return epoch >= wanted && age >= 0 && age < ttlSeconds / 2;
  }

  #renew(): Promise<Value> {
    this.#making ??= this.#make()
      .then((value) => {
        this.#value = value;
        return value;
      })
      .finally(() => {
        this.#making = undefined;
      });
    return this.#making;
  }
}
