/**
 * One look at a log: follow it to its newest checkpoint, hold what others were shown against it, redeem promises.
 *
 * Whatever the log signed and cannot both be true is kept as evidence before it is reported.
 */

import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  type Comparison,
  compareCheckpoint,
  type Followed,
  followLog,
  redeemAcknowledgement,
} from "@trustwarden/core/agentledger/monitor.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LogSource } from "./log-source.ts";
import { keepEvidence, type MonitorState } from "./monitor-state.ts";

/** What a log may show late: caches, and what was signed while this pass ran. */
const FRESH_ATTEMPTS = 3;

/** Something that is wrong. `isProof`: the log's own signatures convict it. */
export interface MonitorFinding {
  readonly code:
    | "split_view"
    | "promise_broken"
    | "promise_late"
    | "behind"
    | "damaged"
    | "untrusted"
    | "unreachable";
  readonly isProof: boolean;
  readonly source: string;
  readonly detail: string;
  /** Directory with what was signed. */
  readonly evidence: string | null;
}

/** What one look saw. */
export interface MonitorReport {
  readonly state: MonitorState;
  readonly previousSize: number;
  readonly size: number;
  /** Other places that showed a checkpoint of the same history. */
  readonly agreeing: readonly string[];
  readonly kept: number;
  readonly pending: number;
  readonly findings: readonly MonitorFinding[];
}

export interface MonitorOptions {
  readonly log: LogSource;
  readonly others: readonly LogSource[];
  readonly vkey: string;
  readonly state: MonitorState;
  readonly acknowledgements: readonly string[];
  readonly withEntries: boolean;
  readonly delaySeconds: number;
  readonly evidenceDirectory: string;
  /** Unix seconds. */
  readonly now: () => number;
  /** Waits before the log is asked once more. */
  readonly pause: () => Promise<void>;
}

/** Takes one look. @throws TrustWardenError only for what is wrong on this side. */
export async function runMonitorPass(options: MonitorOptions): Promise<MonitorReport> {
  const pass = new MonitorPass(options);
  return pass.run();
}

/** Owns the findings of one look. */
class MonitorPass {
  readonly #options: MonitorOptions;
  readonly #findings: MonitorFinding[] = [];
  /** Whether the log has shown a checkpoint in this look; otherwise what it covers by now is not known. */
  #isFresh = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  async run(): Promise<MonitorReport> {
    const { state, others } = this.#options;
    const before = state.followed;
    let followed = await this.#follow(before);
    const shown = await Promise.all(others.map((source) => this.#readOther(source)));
    const agreeing: string[] = [];
    for (const { source, note } of shown.filter((one) => one !== null)) {
      followed = await this.#catchUp(followed, note);
      if (followed !== null && (await this.#compare(followed, { source, note })) === "consistent")
        agreeing.push(source);
    }
    const { kept, pending } = await this.#redeem(followed);
    return {
      state: { followed, pending },
      previousSize: before?.head.size ?? 0,
      size: followed?.head.size ?? 0,
      agreeing,
      kept,
      pending: pending.length,
      findings: this.#findings,
    };
  }

  /** The log at its newest checkpoint, or as it was when that cannot be verified. */
  async #follow(before: Followed | null): Promise<Followed | null> {
    const { log, vkey, withEntries } = this.#options;
    let note = "";
    try {
      note = (await log.reader.readCheckpoint()) ?? "";
      const { size } = verifyCheckpoint(note, vkey);
      if (before !== null && size < before.head.size) {
        if ((await this.#compare(before, { source: log.name, note })) !== "split")
          this.#report("behind", {
            detail: `shows ${size} entries, and has signed ${before.head.size}`,
            notes: [before.note, note],
          });
        return before;
      }
      const followed = await followLog(log.reader, { vkey, note, before, withEntries });
      this.#isFresh = true;
      return followed;
    } catch (error) {
      this.#explain(error, log.name, [before?.note ?? "", note]);
      return before;
    }
  }

  /** Follows the log on when another place was shown more; a log that cannot show it is behind its own word. */
  async #catchUp(followed: Followed | null, note: string): Promise<Followed | null> {
    const { vkey, pause } = this.#options;
    const { size } = verifyCheckpoint(note, vkey);
    let at = followed;
    for (let attempt = 0; attempt < FRESH_ATTEMPTS && (at?.head.size ?? 0) < size; attempt += 1) {
      if (attempt > 0) await pause();
      at = await this.#follow(at);
    }
    return at;
  }

  async #compare(
    followed: Followed,
    { source, note }: { readonly source: string; readonly note: string },
  ): Promise<Comparison["kind"] | "unknown"> {
    const { log, vkey } = this.#options;
    try {
      const { kind, size } = await compareCheckpoint(log.reader, { note, vkey, followed });
      const notes = [followed.note, note];
      if (kind === "split")
        this.#report("split_view", {
          source,
          detail: `another history of ${size} entries was shown there`,
          notes,
        });
      if (kind === "ahead")
        this.#report("behind", {
          source,
          detail: `${size} entries were shown there, and the log shows ${followed.head.size}`,
          notes,
        });
      return kind;
    } catch (error) {
      this.#explain(error, source, [followed.note, note]);
      return "unknown";
    }
  }

  async #readOther(source: LogSource): Promise<{ readonly source: string; readonly note: string } | null> {
    try {
      const note = (await source.reader.readCheckpoint()) ?? "";
      verifyCheckpoint(note, this.#options.vkey);
      return { source: source.name, note };
    } catch (error) {
      if (error instanceof TrustWardenError && error.code === "not_found") {
        if (!source.mayBeEmpty)
          this.#report("unreachable", { source: source.name, detail: "shows no checkpoint", notes: [] });
        return null;
      }
      this.#explain(error, source.name, []);
      return null;
    }
  }

  async #redeem(
    followed: Followed | null,
  ): Promise<{ readonly kept: number; readonly pending: readonly string[] }> {
    const { log, vkey, state, acknowledgements, now, delaySeconds } = this.#options;
    const open = [...new Set([...state.pending, ...acknowledgements])];
    if (followed === null) return { kept: 0, pending: open };
    const pending: string[] = [];
    let kept = 0;
    for (const acknowledgement of open) {
      const { index } = verifyAcknowledgement(acknowledgement, vkey);
      // An older checkpoint than the promise says nothing against it.
      if (!this.#isFresh && index >= followed.head.size) {
        pending.push(acknowledgement);
        continue;
      }
      try {
        const options = { acknowledgement, vkey, followed, now: now(), delaySeconds };
        const redemption = await redeemAcknowledgement(log.reader, options);
        if (redemption === "kept") kept += 1;
        else if (redemption !== "broken") pending.push(acknowledgement);
        const detail = `entry ${index} was promised and is not under the checkpoint of ${followed.head.size}`;
        if (redemption === "broken")
          this.#report("promise_broken", { detail, notes: [acknowledgement, followed.note] });
        // Reported at each look: with its checkpoint it would be kept anew each time.
        if (redemption === "late") this.#report("promise_late", { detail, notes: [acknowledgement] });
      } catch (error) {
        this.#explain(error, log.name, [acknowledgement, followed.note]);
        pending.push(acknowledgement);
      }
    }
    return { kept, pending };
  }

  #explain(error: unknown, source: string, notes: readonly string[]): void {
    if (!(error instanceof TrustWardenError)) throw error;
    const detail = `${error.code} ${JSON.stringify(error.details)}`;
    if (error.code === "log_misbehaved") this.#report("split_view", { source, detail, notes });
    else if (error.code === "checkpoint_untrusted" || error.code === "checkpoint_malformed")
      this.#report("untrusted", { source, detail, notes: [] });
    else if (error.code === "server_unreachable") this.#report("unreachable", { source, detail, notes: [] });
    else this.#report("damaged", { source, detail, notes: [] });
  }

  #report(
    code: MonitorFinding["code"],
    {
      source = this.#options.log.name,
      detail,
      notes,
    }: { readonly source?: string; readonly detail: string; readonly notes: readonly string[] },
  ): void {
    const isProof = code === "split_view" || code === "promise_broken";
    const texts = Object.fromEntries(notes.map((note, index) => [`${index + 1}.note`, note]));
    const { evidenceDirectory, vkey } = this.#options;
    const evidence =
      notes.length === 0 ? null : keepEvidence(evidenceDirectory, { code, texts: { ...texts, vkey } });
    this.#findings.push({ code, isProof, source, detail, evidence });
  }
}
