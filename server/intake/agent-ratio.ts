/**
 * Sounds an alarm when there are more agents per owner than anybody meant: in the log and in the ledger, once, also if the
 * server starts again meanwhile, and again only after it was clearly below. Nothing is refused by it; what one owner may
 * have at most are its quotas.
 *
 * A figure of the whole deployment, as the metric `trustwarden_agents_per_owner` is: 88 agents to an owner is how bots took
 * over a network of agents in which each owner kept within its quota.
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ledger } from "../ledger/ledger.ts";
import type { Cleanup, Parts } from "../parts.ts";
import type { ControlDraft } from "../store/ports.ts";
import type { RatioHistory } from "./ratio-history.ts";

/** Counting a million agents takes a few milliseconds of the thread that keeps the leases. */
const LOOK_MS = 30_000;
/** It fell far enough below the limit for the next time to be news. */
const CLEAR = 0.9;
const REASON = "agents_per_owner";
/** In the data directory while the alarm is on. */
const MARK = "alarm-agents-per-owner";

export interface AgentRatioOptions {
  /** Agents per owner from which on it sounds. */
  readonly limit: number;
  /** Outlives the process; an alarm that was not marked sounds once more. */
  readonly mark: { isOn(): boolean; set(isOn: boolean): void };
  readonly counts: () => { readonly owners: number; readonly agents: number };
  /** Told what each look found. */
  readonly note: (counts: { readonly owners: number; readonly agents: number }) => void;
  /** @throws TrustWardenError `ledger_unavailable`. */
  readonly record: (draft: ControlDraft) => Promise<void>;
  readonly warn: (facts: Readonly<Record<string, string | number>>, message: string) => void;
  /** A look that failed; another follows. */
  readonly onFailure: (error: unknown) => void;
}

/** What the watch needs of an opened server. */
interface RatioParts {
  readonly parts: Pick<Parts, "config" | "store" | "clock" | "log">;
  readonly ledger: Pick<Ledger, "recordControl">;
  readonly identity: { readonly current: () => { readonly spiffeId: string } };
}

/** Watches from now on. @param cleanups - take how to end that. */
export function watchAgentRatio(
  { parts, ledger, identity }: RatioParts,
  history: Pick<RatioHistory, "note">,
  cleanups: Cleanup[],
): void {
  const { config, store, clock, log } = parts;
  const markFile = join(config.dataDir, MARK);
  const contextNow = () => ({
    nowMs: clock.nowMs(),
    principal: identity.current().spiffeId,
    peer: "local",
    intent: null,
    epoch: store.reads.epoch(),
  });
  const ratio = new AgentRatio({
    limit: config.alarms.agentsPerOwner,
    mark: {
      isOn: () => existsSync(markFile),
      set: (isOn) =>
        isOn ? writeFileSync(markFile, "", { mode: 0o600 }) : rmSync(markFile, { force: true }),
    },
    counts: () => store.reads.counts(),
    note: ({ owners, agents }) => history.note({ at: Math.floor(clock.nowMs() / 1000), owners, agents }),
    record: async (draft) => void (await ledger.recordControl(draft, contextNow())),
    warn: (facts, message) => log.warn(facts, message),
    onFailure: () => log.error({ code: "ledger_unavailable" }, "the look at agents per owner was not kept"),
  });
  cleanups.push(() => ratio.close());
  ratio.start();
}

/** Owns the mark that the alarm is on, and the timer. */
export class AgentRatio {
  readonly #options: AgentRatioOptions;
  #isOn: boolean;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: AgentRatioOptions) {
    this.#options = options;
    this.#isOn = options.mark.isOn();
  }

  /** Looks now, and from time to time. */
  start(): void {
    const look = () => {
      this.#looking = this.look().catch(this.#options.onFailure);
    };
    look();
    this.#timer = setInterval(look, LOOK_MS).unref();
  }

  /** Returns when no look is under way. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Sounds when the limit is passed. @throws TrustWardenError `ledger_unavailable`: then it sounds at the next look. */
  async look(): Promise<void> {
    const found = this.#options.counts();
    await this.#sound(found);
    this.#options.note(found);
  }

  async #sound({ owners, agents }: { readonly owners: number; readonly agents: number }): Promise<void> {
    const { limit, record, warn } = this.#options;
    if (this.#isOn && agents < CLEAR * limit * owners) this.#set(false);
    if (this.#isOn || owners === 0 || agents < limit * owners) return;
    const facts = { agents, owners, limit };
    warn({ reason: REASON, ...facts }, "alarm");
    await record({
      kind: "alarm",
      allow: false,
      reasons: [REASON],
      subject: null,
      chain: [],
      details: facts,
    });
    this.#set(true);
  }

  #set(isOn: boolean): void {
    this.#options.mark.set(isOn);
    this.#isOn = isOn;
  }
}
