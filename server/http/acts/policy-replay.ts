/**
 * What a draft would have decided of what is in the ledger, from the newest decision on: as lines, so that whoever waits
 * sees how far it is, and ends it by closing the connection.
 *
 * The index finds decisions, and the log says what they were. Reading goes in small pieces, and deciding is done by a
 * thread of its own, so that decisions that are wanted now wait for neither.
 */
import { Readable } from "node:stream";
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import {
  type ReplayChange,
  type ReplayLine,
  type ReplayRequest,
  type ReplayResult,
  replayLine,
} from "@trustwarden/core/api/policy.ts";
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import { publicError } from "@trustwarden/core/error.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import type { LoggedDecision, ReplayedDecision, RunningReplay } from "../../opa/ports.ts";
import { logFailure, toTrustWardenError } from "../errors.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { parseTime } from "./events.ts";
import { requireWatcher } from "./live.ts";

const ROW = "POST /v1/policy/replays";
/** Decisions that are read and decided together: the main thread does nothing else meanwhile for a few milliseconds. */
const PIECE = 64;
/** Changes that are told one by one; the rest is counted. */
const MAX_LISTED = 1000;
/** Intent and decision are the first records of an action. */
const DECIDING_RECORDS = 2;

/**
 * @throws TrustWardenError `overloaded` while another replay runs, `policy_bundle_malformed`, `policy_refused`,
 *   `policy_unavailable`, `request_malformed`. What fails later is the last line.
 */
export async function replayPolicy(services: Services, visit: Visit<ReplayRequest>): Promise<RawAnswer> {
  const { bundle, limit, since, until } = visit.body;
  const times = { sinceMs: parseTime(since), untilMs: parseTime(until) };
  const running = await services.policyReplays.begin(parseBase64(bundle));
  const { principal } = visit.caller;
  const content = Readable.from(lines(services, { running, limit, ...times, principal }));
  // A stream that is never read from is closed all the same, and nothing else would end the thread.
  content.once("close", () => void running.end());
  return { isRaw: true, contentType: "application/x-ndjson", cacheControl: "no-store", content };
}

interface Replaying {
  readonly running: RunningReplay;
  readonly limit: number;
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly principal: Principal;
}

async function* lines(services: Services, replaying: Replaying): AsyncGenerator<string> {
  try {
    for await (const line of replay(services, replaying)) yield formatLine(line);
  } catch (error) {
    const failure = toTrustWardenError(error);
    logFailure(services.log, ROW, failure);
    yield formatLine(publicError(failure));
  }
}

function formatLine(line: ReplayLine): string {
  return `${JSON.stringify(replayLine.parse(line))}\n`;
}

async function* replay(services: Services, replaying: Replaying): AsyncGenerator<ReplayLine> {
  const { running, limit, principal } = replaying;
  const { name, version, policySha256 } = running;
  yield { draft: { name, version, policy_sha256: policySha256 } };
  const tally = new Tally();
  let hasMore = false;
  for await (const piece of pieces(services, replaying)) {
    requireWatcher(services, principal);
    const logged = await Promise.all(piece.events.map((event) => readDecision(services, event)));
    for (const decision of await running.replay(logged)) {
      const change = decision === null ? null : tally.add(decision);
      if (change !== null) yield { change };
    }
    hasMore = piece.hasMore;
    yield { progress: { decisions: tally.decisions, of: limit } };
  }
  yield { result: { ...tally.result(), has_more: hasMore } };
}

/** Actions of the ledger from the newest on, a few at a time. */
async function* pieces(
  { events }: Services,
  { limit, sinceMs, untilMs }: Replaying,
): AsyncGenerator<{ readonly events: readonly JoinedEvent[]; readonly hasMore: boolean }> {
  let cursor: string | undefined;
  for (let left = limit; left > 0; ) {
    const page = await events.search(
      { kind: "action", sinceMs, untilMs },
      { limit: Math.min(PIECE, left), cursor, order: "newest" },
    );
    yield { events: page.events, hasMore: page.nextCursor !== null };
    if (page.nextCursor === null) return;
    left -= page.events.length;
    cursor = page.nextCursor;
  }
}

/** @throws TrustWardenError `ledger_unavailable`, `ledger_corrupt`. */
async function readDecision({ ledger, reads }: Services, event: JoinedEvent): Promise<LoggedDecision> {
  const indexes = event.indexes.slice(0, DECIDING_RECORDS);
  const entries = await Promise.all(indexes.map((index) => ledger.log.readEntry(index)));
  const instanceId = event.agent_identity?.split("/").at(-1) ?? "";
  const selectors = reads.findInstance(instanceId)?.attested.selectors ?? null;
  return { entries, selectors };
}

/** Counts what came of the decisions. */
class Tally {
  decisions = 0;
  #same = 0;
  #notReplayed = 0;
  #listed = 0;
  #notListed = 0;
  readonly #changed = new Map<string, ReplayResult["changed"][number]>();
  readonly #needs = new Map<string, ReplayResult["needs"][number]>();

  /** The change that is to be told; null where there is none, or none any more. */
  add({ outcome, event }: ReplayedDecision): ReplayChange | null {
    this.decisions += 1;
    switch (outcome.kind) {
      case "same":
        this.#same += 1;
        return null;
      case "unknown":
        this.#notReplayed += 1;
        for (const member of outcome.needs) {
          this.#needs.set(member, { member, count: (this.#needs.get(member)?.count ?? 0) + 1 });
        }
        return null;
      case "changed":
        return this.#change(outcome, event);
    }
  }

  result(): Omit<ReplayResult, "has_more"> {
    return {
      decisions: this.decisions,
      same: this.#same,
      changed: [...this.#changed.values()],
      not_replayed: this.#notReplayed,
      needs: [...this.#needs.values()],
      not_listed: this.#notListed,
    };
  }

  #change(
    { before, after, reasons }: Extract<ReplayedDecision["outcome"], { readonly kind: "changed" }>,
    { reasons_before: reasonsBefore, ...event }: ReplayedDecision["event"],
  ): ReplayChange | null {
    const way = `${before} ${after}`;
    this.#changed.set(way, { before, after, count: (this.#changed.get(way)?.count ?? 0) + 1 });
    if (this.#listed === MAX_LISTED) {
      this.#notListed += 1;
      return null;
    }
    this.#listed += 1;
    return {
      ...event,
      before,
      after,
      reasons_before: [...reasonsBefore],
      reasons_after: [...reasons],
    };
  }
}
