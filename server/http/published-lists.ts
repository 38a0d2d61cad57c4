/**
 * The revocation lists that anybody may read, signed as seldom as is safe: one is given out again as long as no epoch has
 * passed since it was made and less than half of its life. A reader that saw a revocation acknowledged gets a list that
 * has it; a crowd of readers costs one signature.
 */
import type { FlooredClock } from "../clock.ts";
import type { IssuedCrls, IssuedStatusList, StoreCommands, StoreReads } from "../store/ports.ts";

/** Something signed that holds for a while. */
interface Published {
  readonly epoch: number;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly ttlSeconds: number;
}

/** What the lists are made with. */
export interface PublishedListsDeps {
  readonly commands: Pick<StoreCommands, "issueCrls" | "issueStatusList">;
  readonly reads: Pick<StoreReads, "epoch">;
  readonly clock: FlooredClock;
  /** Origin at which relying parties read the lists; known once the server listens. */
  readonly publicUrl: () => string;
  /** Has what other servers stopped until now. @throws TrustWardenError `store_unavailable` when nobody can say. */
  readonly requireNewest: () => Promise<void>;
}

/** Owns the latest list of each kind. */
export class PublishedLists {
  readonly #deps: PublishedListsDeps;
  readonly #crls: Fresh<IssuedCrls>;
  /** By page; there are few pages, and only one that exists gets an entry. */
  #statusLists = new Map<number, Fresh<IssuedStatusList>>();

  constructor(deps: PublishedListsDeps) {
    const { commands, clock } = deps;
    this.#deps = deps;
    this.#crls = new Fresh({
      ...this.#basics(),
      make: () => commands.issueCrls({ nowMs: clock.trustedSeconds() * 1000 }),
    });
  }

  /** @throws TrustWardenError `clock_rolled_back`, `authority_expired` or `store_unavailable`. */
  async crls(): Promise<IssuedCrls> {
    await this.#deps.requireNewest();
    return this.#crls.get();
  }

  /** What the URIs of the token status lists begin with. */
  get statusLists(): string {
    return `${this.#deps.publicUrl()}/v1/status-list`;
  }

  /** A JWT. @throws TrustWardenError `not_found`, `clock_rolled_back` or `store_unavailable`. */
  async statusList(page: number): Promise<string> {
    const { commands, clock, requireNewest } = this.#deps;
    await requireNewest();
    // Kept in hand: what is forgotten meanwhile does not come back.
    const lists = this.#statusLists;
    const known = lists.get(page);
    const list =
      known ??
      new Fresh({
        ...this.#basics(),
        make: () =>
          commands.issueStatusList({
            nowMs: clock.trustedSeconds() * 1000,
            page,
            uri: `${this.statusLists}/${page}`,
          }),
      });
    const { token } = await list.get();
    lists.set(page, list);
    return token;
  }

  /** Has every list made anew: a token was voided by itself, which takes no epoch. */
  forgetStatusLists(): void {
    this.#statusLists = new Map();
  }

  #basics(): { readonly reads: PublishedListsDeps["reads"]; readonly now: () => number } {
    const { reads, clock } = this.#deps;
    return { reads, now: () => clock.trustedSeconds() };
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
