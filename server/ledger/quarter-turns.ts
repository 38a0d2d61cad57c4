/**
 * Turns of the ledger by the calendar: a shard ends with its quarter, by the server's clock.
 *
 * Two things put a turn off, and it is looked at again: a clock that has just jumped, since names only rise and a shard that was begun
 * for a quarter to come would be followed by no witness and no monitor until then; and witnesses that would not follow, since without them
 * nothing of the next shard would be proven and the next start would be refused.
 *
 * @see docs/decisions/0116
 */
import { isLaterQuarter, isShardMark, quarterOf } from "@trustwarden/core/agentledger/shard.ts";
import type { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Clock } from "../clock.ts";

/** How soon a new quarter is noticed. */
const LOOK_MS = 60_000;
/** What the two clocks may be apart between two looks; a correction by NTP is less. */
const MAX_DRIFT_MS = 30_000;
/** A clock that was set wrong is mostly set right again within this. */
const HOLD_MS = 600_000;
/** The operator is told again of a turn that waits. */
const TELL_MS = 3_600_000;
/** The log that a ledger began with is dated by one of its first records. */
const MAX_DATED_ENTRIES = 64;

export interface QuarterTurnsOptions {
  readonly log: Pick<ShardedLog, "current" | "readEntry" | "size">;
  readonly clock: Clock;
  /** Ends the current shard and begins the one of a quarter. */
  readonly turnTo: (quarter: string) => Promise<unknown>;
  /** Names of the witnesses for which a turn to a quarter's shard has to wait; none when it need not. */
  readonly waitsFor: (quarter: string) => Promise<readonly string[]>;
  /** Told now and then while a turn waits for witnesses. */
  readonly onPutOff: (quarter: string, witnesses: readonly string[]) => void;
  /** A look that failed; another follows. */
  readonly onFailure: (error: unknown) => void;
}

/** Owns the timer, and since when the clock is believed. */
export class QuarterTurns {
  readonly #options: QuarterTurnsOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #last: { readonly nowMs: number; readonly monoMs: number } | null = null;
  /** Monotonic: no turn before it. */
  #heldUntilMs = Number.NEGATIVE_INFINITY;
  #tellAtMs = Number.NEGATIVE_INFINITY;
  #quarterOfFirst: string | null = null;

  constructor(options: QuarterTurnsOptions) {
    this.#options = options;
  }

  /** Looks now and then: not at once, and as if the clock had just been set. */
  watch(): void {
    this.#heldUntilMs = this.#options.clock.monoMs() + HOLD_MS;
    this.#repeat();
  }

  /** Looks now, by the clock that the server is started with, and then now and then. @throws what the turn fails with. */
  async begin(): Promise<void> {
    await this.look();
    this.#repeat();
  }

  /** Returns when no look is under way; it may be begun again. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Turns when the current shard is of an earlier quarter, and nothing puts it off. @throws TrustWardenError `ledger_unavailable`. */
  async look(): Promise<void> {
    const { log, turnTo, waitsFor } = this.#options;
    const quarter = this.#believedQuarter();
    if (quarter === null || !(await this.#isOver(quarter))) return;
    const witnesses = await waitsFor(quarter);
    if (witnesses.length > 0) return this.#putOff(quarter, witnesses);
    // An operator may have turned it meanwhile.
    if (log.current.name === null || isLaterQuarter(quarter, log.current.name)) await turnTo(quarter);
  }

  #repeat(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.look()).catch(this.#options.onFailure);
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** The quarter that it is; null while the clock is not believed. */
  #believedQuarter(): string | null {
    const { clock } = this.#options;
    const [nowMs, monoMs] = [clock.nowMs(), clock.monoMs()];
    const passedMs = this.#last === null ? 0 : nowMs - this.#last.nowMs - (monoMs - this.#last.monoMs);
    if (Math.abs(passedMs) > MAX_DRIFT_MS) this.#heldUntilMs = monoMs + HOLD_MS;
    this.#last = { nowMs, monoMs };
    return monoMs < this.#heldUntilMs ? null : quarterOf(nowMs);
  }

  /** Whether the current shard is of an earlier quarter; that of a first one without a dated record is not known. */
  async #isOver(quarter: string): Promise<boolean> {
    const { name } = this.#options.log.current;
    if (name === null) this.#quarterOfFirst ??= await this.#readQuarterOfFirst();
    const begun = name ?? this.#quarterOfFirst;
    return begun !== null && isLaterQuarter(quarter, begun);
  }

  #putOff(quarter: string, witnesses: readonly string[]): void {
    const { clock, onPutOff } = this.#options;
    if (clock.monoMs() < this.#tellAtMs) return;
    this.#tellAtMs = clock.monoMs() + TELL_MS;
    onPutOff(quarter, witnesses);
  }

  /** By the first record with a time; null while there is none. */
  async #readQuarterOfFirst(): Promise<string | null> {
    const { log } = this.#options;
    for (let index = 0; index < Math.min(log.size, MAX_DATED_ENTRIES); index += 1) {
      const timeMs = timeOf(await log.readEntry(index));
      if (timeMs !== null) return quarterOf(timeMs);
    }
    return null;
  }
}

function timeOf(entry: Uint8Array): number | null {
  if (isShardMark(entry)) return null;
  try {
    const { time } = parseUnverifiedPayload(parseEnvelope(parseUtf8(entry)));
    const timeMs = typeof time === "string" ? Date.parse(time) : Number.NaN;
    return Number.isNaN(timeMs) ? null : timeMs;
  } catch (error) {
    // Safe to go on: what is no record has no time, and an audit reports it.
    if (error instanceof TrustWardenError) return null;
    throw error;
  }
}
