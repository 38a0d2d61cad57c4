/**
 * One look at a log: follow it to its newest checkpoint, hold what others were shown against it, redeem promises.
 *
 * Whatever the log signed and cannot both be true is kept as evidence before it is reported.
 */

import { parseUnverifiedAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  type Comparison,
  compareCheckpoint,
  type Followed,
  followLog,
  redeemAcknowledgement,
} from "@trustwarden/core/agentledger/monitor.ts";
import { findNextShard, requireBegunBehind } from "@trustwarden/core/agentledger/next-shard.ts";
import { type ShardName, type ShardPlace, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LogSource } from "./log-source.ts";
import { type EndedShard, keepEvidence, type MonitorState } from "./monitor-state.ts";
import { isNoPromise, isOfKeyBefore } from "./promise-key.ts";
import { readListedKeys } from "./shard-list.ts";

/** What a log may show late: caches, and what was signed while this pass ran. */
const FRESH_ATTEMPTS = 3;
/** Shards that one look goes through; the next look goes on. */
const MAX_TURNS = 64;
const MS_PER_SECOND = 1000;

/** Something that is wrong. `isProof`: the log's own signatures convict it. */
export interface MonitorFinding {
  readonly code:
    | "split_view"
    | "promise_broken"
    | "promise_late"
    | "behind"
    | "damaged"
    | "untrusted"
    /** A promise by a key of this log for a place at which another one had taken over: whoever has the old key made it. */
    | "key_replaced"
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

/** Where one shard is read. */
export interface ShardSources {
  readonly log: LogSource;
  readonly others: readonly LogSource[];
}

export interface MonitorOptions {
  readonly open: (shard: ShardName) => ShardSources;
  /** Of the ledger's first log. */
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

/** Owns the findings of one look, and the shard that it is at. */
class MonitorPass {
  readonly #options: MonitorOptions;
  readonly #findings: MonitorFinding[] = [];
  readonly #ended: EndedShard[];
  #place: ShardPlace;
  #log: LogSource;
  #others: readonly LogSource[];
  /** Whether the log has shown a checkpoint in this look; otherwise what it covers by now is not known. */
  #isFresh = false;

  constructor(options: MonitorOptions) {
    const { state, open } = options;
    this.#options = options;
    this.#ended = [...state.ended];
    this.#place = state.place;
    ({ log: this.#log, others: this.#others } = open(state.place.name));
  }

  async run(): Promise<MonitorReport> {
    const { state } = this.#options;
    let look = await this.#look(state.followed);
    for (let turns = 0; turns < MAX_TURNS && look.followed !== null; turns += 1) {
      const next = await this.#readNext(look.followed);
      if (next === null) break;
      this.#turn(next, look.followed);
      look = await this.#look(null);
    }
    const { followed, agreeing } = look;
    await Promise.all(this.#ended.map((shard) => this.#lookBack(shard)));
    const { kept, pending } = await this.#redeem(followed);
    return {
      state: { ended: this.#ended, place: this.#place, followed, pending },
      previousSize: state.place.first + (state.followed?.head.size ?? 0),
      size: this.#place.first + (followed?.head.size ?? 0),
      agreeing,
      kept,
      pending: pending.length,
      findings: this.#findings,
    };
  }

  /** One shard, and what others were shown of it. */
  async #look(
    before: Followed | null,
  ): Promise<{ readonly followed: Followed | null; readonly agreeing: readonly string[] }> {
    let followed = before === null ? await this.#begin() : await this.#follow(before);
    const shown = await Promise.all(this.#others.map((source) => this.#readOther(source)));
    const agreeing: string[] = [];
    for (const { source, note } of shown.filter((one) => one !== null)) {
      followed = await this.#catchUp(followed, note);
      if (followed !== null && (await this.#compare(followed, { source, note })) === "consistent")
        agreeing.push(source);
    }
    return { followed, agreeing };
  }

  /** A shard that is seen for the first time; behind another one it has to begin with that one's end. */
  async #begin(): Promise<Followed | null> {
    const last = this.#ended.at(-1);
    if (last === undefined) return this.#follow(null);
    const { pause } = this.#options;
    // Between an end and the next beginning a moment passes in which there is nothing to read.
    for (let attempt = 1; attempt < FRESH_ATTEMPTS && !(await this.#hasBegun()); attempt += 1) await pause();
    const followed = await this.#follow(null);
    if (followed === null) return null;
    try {
      const { note, vkey } = last;
      const begun = { place: this.#place, head: followed.head, note, before: parseVkey(vkey) };
      await requireBegunBehind(this.#log.reader, begun);
      return followed;
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      const detail = `it does not begin with the end of the shard before: ${error.code}`;
      this.#report("damaged", { detail, notes: [last.note, followed.note] });
      return null;
    }
  }

  async #hasBegun(): Promise<boolean> {
    try {
      const { size } = verifyCheckpoint((await this.#log.reader.readCheckpoint()) ?? "", this.#place.vkey);
      return size > 0;
    } catch (error) {
      // Safe to go on: the look that follows says what is wrong.
      if (!(error instanceof TrustWardenError)) throw error;
      return false;
    }
  }

  /** Whatever is shown of a shard behind its end, or of another tree of its size, convicts the log: the end was its last entry. */
  async #lookBack({ name, vkey, note: end }: EndedShard): Promise<void> {
    const { size, root } = verifyCheckpoint(end, vkey);
    const { log, others } = this.#options.open(name);
    for (const { name: source, reader } of [log, ...others]) {
      try {
        const note = (await reader.readCheckpoint()) ?? "";
        const shown = verifyCheckpoint(note, vkey);
        if (shown.size < size || (shown.size === size && isEqualBytes(shown.root, root))) continue;
        const detail = `${shown.size} entries of a shard that ended with ${size} were shown there`;
        this.#report("split_view", { source, detail, notes: [end, note] });
      } catch (error) {
        // Safe to go on: what a place does not show of the past convicts nobody.
        if (!(error instanceof TrustWardenError)) throw error;
      }
    }
  }

  /** The shard that this one has ended for; null while it goes on, or while its tiles do not say. */
  async #readNext({ head }: Followed): Promise<ShardPlace | null> {
    const { vkey, open, now } = this.#options;
    if (!this.#isFresh) return null;
    try {
      const { name: ledger } = parseVkey(vkey);
      const shown = await readListedKeys(open(null).log.reader);
      const at = { place: this.#place, head, ledger, shown, nowMs: now() * MS_PER_SECOND };
      return await findNextShard(this.#log.reader, at);
    } catch (error) {
      this.#explain(error, this.#log.name, []);
      return null;
    }
  }

  #turn(next: ShardPlace, { note }: Followed): void {
    this.#ended.push({ ...this.#place, note });
    this.#place = next;
    this.#isFresh = false;
    ({ log: this.#log, others: this.#others } = this.#options.open(next.name));
  }

  /** The log at its newest checkpoint, or as it was when that cannot be verified. */
  async #follow(before: Followed | null): Promise<Followed | null> {
    const { withEntries } = this.#options;
    const log = this.#log;
    const { vkey } = this.#place;
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
    // How a shard begins is held against the end before it in one place; what is not followed from there is not followed here.
    if (followed === null && this.#ended.length > 0) return null;
    const { pause } = this.#options;
    const { size } = verifyCheckpoint(note, this.#place.vkey);
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
    const { vkey } = this.#place;
    try {
      const { kind, size } = await compareCheckpoint(this.#log.reader, { note, vkey, followed });
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
      verifyCheckpoint(note, this.#place.vkey);
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
    const { state, acknowledgements } = this.#options;
    const open = [...new Set([...state.pending, ...acknowledgements])];
    if (followed === null) return { kept: 0, pending: open };
    const pending: string[] = [];
    let kept = 0;
    for (const acknowledgement of open) {
      const redemption = await this.#redeemOne(acknowledgement, followed);
      if (redemption === "kept") kept += 1;
      if (redemption === "open") pending.push(acknowledgement);
    }
    return { kept, pending };
  }

  /** Whether a promise is kept, stays open, or was reported for good. */
  async #redeemOne(acknowledgement: string, followed: Followed): Promise<"kept" | "open" | "over"> {
    const { now, delaySeconds } = this.#options;
    const { reader, index, first, head, note, key } = this.#shardOf(acknowledgement, followed);
    // An older checkpoint than the promise says nothing against it.
    if (!this.#isFresh && index >= first + head.size) return "open";
    const detail = `entry ${index} was promised and is not under the checkpoint of ${first + head.size}`;
    try {
      const options = { acknowledgement, vkey: key, followed: { head }, now: now(), delaySeconds, first };
      const redemption = await redeemAcknowledgement(reader, options);
      if (redemption === "kept") return "kept";
      // Reported at each look: with its checkpoint it would be kept anew each time.
      if (redemption === "late") this.#report("promise_late", { detail, notes: [acknowledgement] });
      if (redemption !== "broken") return "open";
      this.#report("promise_broken", { detail, notes: [acknowledgement, note] });
      return "over";
    } catch (error) {
      const before = [this.#options.vkey, ...this.#ended.map((shard) => shard.vkey)];
      if (isNoPromise(error) && isOfKeyBefore(acknowledgement, { key, before })) {
        const why = `entry ${index} is promised by a key of this log that it had replaced before: whoever has that key made it`;
        this.#report("key_replaced", { detail: why, notes: [acknowledgement, note] });
      } else this.#explain(error, this.#log.name, [acknowledgement, note]);
      // What the key of its place did not sign is no promise, and will be none; it is in the evidence.
      return isNoPromise(error) ? "over" : "open";
    }
  }

  /** The shard that a promise is about, with its key; the newest that is followed while that one is not. */
  #shardOf(acknowledgement: string, followed: Followed) {
    const { vkey } = this.#options;
    const { index } = parseUnverifiedAcknowledgement(acknowledgement);
    const shard = this.#shardAt(index, followed);
    const key = vkeyFor(shard.vkey, parseVkey(vkey).name);
    return { ...shard, index, key };
  }

  /** Where the tree is that holds a position. */
  #shardAt(index: number, { head, note }: Followed) {
    const ended = this.#ended.findLast(({ first }) => first <= index);
    if (index >= this.#place.first || ended === undefined)
      return { reader: this.#log.reader, first: this.#place.first, head, note, vkey: this.#place.vkey };
    const { reader } = this.#options.open(ended.name).log;
    return { ...ended, reader, head: verifyCheckpoint(ended.note, ended.vkey) };
  }

  #explain(error: unknown, source: string, notes: readonly string[]): void {
    if (!(error instanceof TrustWardenError)) throw error;
    const detail = `${error.code} ${JSON.stringify(error.details)}`;
    if (error.code === "log_misbehaved") this.#report("split_view", { source, detail, notes });
    else if (error.code === "checkpoint_untrusted" || error.code === "checkpoint_malformed")
      this.#report("untrusted", { source, detail, notes: [] });
    else if (isNoPromise(error)) this.#report("untrusted", { source, detail, notes });
    else if (error.code === "server_unreachable") this.#report("unreachable", { source, detail, notes: [] });
    else this.#report("damaged", { source, detail, notes: [] });
  }

  #report(
    code: MonitorFinding["code"],
    {
      source = this.#log.name,
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
