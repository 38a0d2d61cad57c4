/**
 * Budgets of calls, tokens and money: reserved before a call acts, settled with what it really used.
 *
 * A call is charged to its instance, to every instance and agent above it, and to the owner, in one synchronous step: nobody
 * can spend what an ancestor has not left, however many calls run at once. What is reserved is counted in memory. What is on
 * disk is always at least that much: each save counts what is open, and a little ahead of need, so that most calls wait for
 * no disk. After a crash what was ahead and what was open counts as spent.
 *
 * Of several servers that share the store each has a row of its own of each budget, and room is what the rows of all leave: taken
 * in the transaction that the others see, so that nothing is spent twice, and given back within a second when nobody needs it.
 *
 * @see docs/decisions/0022-model-calls.md, 0102
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type Amount,
  type BudgetLimits,
  type BudgetWindow,
  type CostBound,
  NOTHING,
  takeFrom,
} from "@trustwarden/core/gateway/budget.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import type { BudgetCommands, BudgetReads, BudgetState, BudgetUseRow } from "../store/budget-ports.ts";
import type { InstanceState, StoreReads } from "../store/ports.ts";
import { BudgetAccount } from "./budget-account.ts";

/** How long settled use may wait for the disk. Only what returns to a budget waits: what leaves it was saved before. */
const SAVE_EVERY_MS = 1_000;
/** Of a call whose room others take each time; there is always one that gets it. */
const MAX_TRIES = 4;
const UNLIMITED: BudgetLimits = { calls: null, tokens: null, microUsd: null };

/** Room that was taken for one call; exactly one of the two is called, once. */
export interface Reservation {
  /** Charges what was used; null charges all that was reserved. */
  settle(usage: { readonly tokens: number; readonly microUsd: number | null } | null): void;
  /** Nothing has been done: charges nothing. */
  cancel(): void;
}

/** One budget with its use, for people. */
export interface BudgetView {
  readonly subjectId: string;
  readonly window: BudgetWindow;
  readonly limits: BudgetLimits;
  /** Calls under way count with the most that they may cost. */
  readonly used: Amount;
}

interface BudgetParts {
  readonly reads: BudgetReads & Pick<StoreReads, "chainOf" | "findInstance">;
  readonly save: BudgetCommands["saveBudgetUse"];
  /** Absent for a server that has its store alone. */
  readonly shared?: {
    /** By which the others know this process. */
    readonly server: string;
    readonly share: BudgetCommands["shareBudgetUse"];
  };
  /** Unix seconds. */
  readonly now: () => number;
  /** Told once each time that a save failed; what was reserved stays reserved. */
  readonly onError: (error: unknown) => void;
}

/** Owns every account. An account's use on disk is never less than what calls were let in with. */
export class Budgets {
  readonly #parts: BudgetParts;
  /** By subject; an agent without one is not found here and costs one look-up a link. */
  readonly #accounts = new Map<string, BudgetAccount[]>();
  readonly #saved: ReadonlyMap<string, string>;
  readonly #changed = new Set<BudgetAccount>();
  /** Rows of instances that have ended, to be removed with the next save. */
  readonly #ended: BudgetUseRow[] = [];
  #saving: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: BudgetParts) {
    this.#parts = parts;
    // What was used before is everybody's, where several servers share the store.
    const rows = parts.shared === undefined ? parts.reads.listBudgetUse() : [];
    this.#saved = new Map(rows.map((row) => [keyOf(row), row.buckets ?? ""]));
    this.#ended.push(...rows.filter((row) => this.#isEnded(row)).map((row) => ({ ...row, buckets: null })));
    for (const budget of parts.reads.listBudgets()) this.apply(budget);
  }

  /** Puts a budget that was committed into force. */
  apply({ subject, window, limits }: Pick<BudgetState, "subject" | "window" | "limits">): void {
    const accounts = this.#accounts.get(subject.id) ?? [];
    const known = accounts.find((account) => account.window === window);
    if (known !== undefined) known.limits = limits;
    else accounts.push(this.#open(subject.id, window, limits));
    this.#accounts.set(subject.id, accounts);
  }

  /** Other servers have set budgets. */
  readAgain(): void {
    const all = this.#parts.reads.listBudgets();
    const set = new Set(all.map(({ subject, window }) => keyOf({ subjectId: subject.id, window })));
    for (const account of [...this.#accounts.values()].flat())
      if (!set.has(keyOf(account))) account.limits = UNLIMITED;
    for (const budget of all) this.apply(budget);
  }

  /**
   * Takes room for one call in every budget of its chain, or in none.
   *
   * @param bound - null for a call that costs a call and nothing else.
   * @throws TrustWardenError `budget_exhausted`, `price_unknown`, `store_unavailable`.
   */
  async reserve(agent: AgentPrincipal, bound: CostBound | null): Promise<Reservation> {
    const accounts = this.#accountsOf(agent);
    if (accounts.length === 0) return FREE;
    for (let tries = 1; ; tries += 1) {
      const now = this.#parts.now();
      for (const account of accounts) this.#followOthers(account);
      const taken = accounts.map((account) => ({ account, amount: takeOrRefuse(account, bound, now) }));
      for (const { account, amount } of taken) account.open(amount);
      const reservation = this.#reservationOf(taken);
      try {
        if (await this.#cover(accounts)) return reservation;
        const { subjectId: subject = "" } = accounts.find((account) => !account.isCovered()) ?? {};
        if (tries === MAX_TRIES) throw new TrustWardenError("budget_exhausted", { subject });
      } catch (error) {
        reservation.cancel();
        throw error;
      }
      // Another server was faster; what it left may still do.
      reservation.cancel();
    }
  }

  /** Returns whether the store counts what was opened: always, unless others took the room of it meanwhile. */
  async #cover(accounts: readonly BudgetAccount[]): Promise<boolean> {
    while (accounts.some((account) => !account.isCovered())) {
      for (const account of accounts) this.#changed.add(account);
      await this.#save();
      if (this.#parts.shared !== undefined) return accounts.every((account) => account.isCovered());
    }
    return true;
  }

  #followOthers(account: BudgetAccount): void {
    const { reads, shared } = this.#parts;
    if (shared !== undefined) account.follow(reads.useOfOthers({ ...keyPartsOf(account), ...shared }));
  }

  /** Every budget of one subject, with its use. */
  list(subjectId: string): readonly BudgetView[] {
    const now = this.#parts.now();
    const instance = subjectId.startsWith("inst-") ? this.#parts.reads.findInstance(subjectId) : undefined;
    if (instance !== undefined) this.#openTicketBudget(instance);
    const accounts = this.#accounts.get(subjectId) ?? [];
    return accounts
      .filter((account) => !account.isUnlimited())
      .map((account) => {
        this.#followOthers(account);
        return account;
      })
      .map((account) => ({
        subjectId,
        window: account.window,
        limits: account.effectiveLimits(),
        used: account.used(now),
      }));
  }

  /** Saves exactly what was used. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#saving?.catch(() => {});
    const accounts = [...this.#accounts.values()].flat();
    if (this.#parts.shared !== undefined) {
      for (const account of accounts) if (account.isTouched) this.#changed.add(account);
      return this.#save();
    }
    const now = this.#parts.now();
    const rows = accounts
      .filter((account) => account.isTouched)
      .map((account) => account.rowOf(NOTHING, now));
    if (rows.length > 0) await this.#parts.save(rows);
  }

  /** Budgets that were set, and the units of the tickets and grants that the chain was made with. */
  #accountsOf(agent: AgentPrincipal): readonly BudgetAccount[] {
    for (const instance of this.#parts.reads.chainOf(agent.instanceId)) this.#openTicketBudget(instance);
    const found: BudgetAccount[] = [];
    for (const id of new Set([
      agent.ownerId,
      ...agent.chain.flatMap((link) => [link.agentId, link.instanceId]),
    ])) {
      for (const account of this.#accounts.get(id) ?? []) if (!account.isUnlimited()) found.push(account);
    }
    return found;
  }

  /** One unit of a ticket is one micro-USD for the instance and all below it, as long as it lives. */
  #openTicketBudget({ instanceId, limits, expiresAt }: InstanceState): void {
    if (limits.budget === null) return;
    const accounts = this.#accounts.get(instanceId) ?? [];
    const known = accounts.find(({ window }) => window === "lifetime");
    if (known !== undefined) {
      known.ticketUnits = limits.budget;
      return;
    }
    const account = this.#open(instanceId, "lifetime", UNLIMITED);
    account.ticketUnits = limits.budget;
    account.endsAt = expiresAt;
    accounts.push(account);
    this.#accounts.set(instanceId, accounts);
  }

  #open(subjectId: string, window: BudgetWindow, limits: BudgetLimits): BudgetAccount {
    const saved = this.#saved.get(keyOf({ subjectId, window }));
    return new BudgetAccount({ subjectId, window, limits, saved });
  }

  #reservationOf(
    taken: readonly { readonly account: BudgetAccount; readonly amount: Amount }[],
  ): Reservation {
    let isOver = false;
    const end = (charge: (amount: Amount) => Amount): void => {
      if (isOver) throw new Error("a reservation ends once");
      isOver = true;
      const now = this.#parts.now();
      for (const { account, amount } of taken) {
        account.close(amount, charge(amount), now);
        this.#changed.add(account);
      }
      // What a call took beyond its room is on no disk yet.
      const isOverdrawn = taken.some(({ account }) => !account.isCovered());
      if (isOverdrawn) this.#save().catch(this.#parts.onError);
      else this.#schedule();
    };
    return {
      settle: (usage) =>
        end((amount) =>
          usage === null ? amount : { calls: 1, tokens: usage.tokens, microUsd: usage.microUsd ?? 0 },
        ),
      cancel: () => end(() => NOTHING),
    };
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
      if (this.#changed.size > 0) this.#save().catch(this.#parts.onError);
    }, SAVE_EVERY_MS).unref();
  }

  /** Who waits while a save runs is saved by the next one, all together. */
  async #save(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving.catch(() => {});
    if (this.#changed.size === 0) return;
    this.#saving = this.#saveNow();
    try {
      await this.#saving;
    } finally {
      this.#saving = undefined;
    }
  }

  async #saveNow(): Promise<void> {
    const accounts = [...this.#changed];
    this.#changed.clear();
    const now = this.#parts.now();
    if (this.#parts.shared !== undefined) return this.#shareNow(accounts, { ...this.#parts.shared, now });
    const saves = accounts.map((account) => ({ account, save: account.prepareSave(now) }));
    try {
      await this.#parts.save([...saves.map(({ save }) => save.row), ...this.#ended]);
      this.#ended.length = 0;
    } catch (error) {
      for (const account of accounts) this.#changed.add(account);
      throw error;
    }
    for (const { account, save } of saves) account.confirm(save);
  }

  async #shareNow(
    accounts: readonly BudgetAccount[],
    { server, share, now }: NonNullable<BudgetParts["shared"]> & { readonly now: number },
  ): Promise<void> {
    const saves = accounts.map((account) => ({ account, save: account.prepareShare(now) }));
    try {
      const ended = [...this.#ended];
      const held = await share({ server, now, rows: saves.map(({ save }) => save.row), ended });
      this.#ended.splice(0, ended.length);
      for (const [at, { account, save }] of saves.entries()) account.confirmShare(save, held[at] ?? null);
    } catch (error) {
      for (const account of accounts) this.#changed.add(account);
      throw error;
    }
  }

  #isEnded({ subjectId }: BudgetUseRow): boolean {
    if (!subjectId.startsWith("inst-")) return false;
    const instance = this.#parts.reads.findInstance(subjectId);
    return instance === undefined || instance.expiresAt <= this.#parts.now();
  }

  /** Accounts of instances that have ended and have nothing under way; their ids never come back. */
  #sweep(): void {
    const now = this.#parts.now();
    for (const [subjectId, accounts] of this.#accounts) {
      const isOver = accounts.every(
        (account) => account.endsAt !== null && account.endsAt <= now && account.isIdle(),
      );
      if (!isOver) continue;
      this.#accounts.delete(subjectId);
      for (const account of accounts) this.#changed.delete(account);
      this.#ended.push(...accounts.map(({ window }) => ({ subjectId, window, buckets: null })));
    }
  }
}

/** Where nothing is limited nothing is counted. */
const FREE: Reservation = { settle: () => {}, cancel: () => {} };

function takeOrRefuse(account: BudgetAccount, bound: CostBound | null, now: number): Amount {
  const { subjectId, window } = account;
  const limits = account.effectiveLimits();
  const { tokens, microUsd } = bound ?? { tokens: 0, microUsd: 0 };
  if (microUsd === null && limits.microUsd !== null)
    throw new TrustWardenError("price_unknown", { subject: subjectId });
  const asked = { calls: 1, tokens, microUsd: microUsd ?? 0 };
  const taken = takeFrom({ limits, ...account.state(now) }, asked);
  if ("taken" in taken) return taken.taken;
  throw new TrustWardenError("budget_exhausted", {
    subject: subjectId,
    window,
    measure: taken.short,
    retryAfterSeconds: account.secondsToForget(now),
  });
}

function keyPartsOf({ subjectId, window }: BudgetAccount): Pick<BudgetUseRow, "subjectId" | "window"> {
  return { subjectId, window };
}

function keyOf({ subjectId, window }: Pick<BudgetUseRow, "subjectId" | "window">): string {
  return `${subjectId} ${window}`;
}
