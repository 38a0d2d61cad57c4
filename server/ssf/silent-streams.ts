/**
 * Which streams nobody takes from any more, and giving them up from time to time.
 *
 * A stream holds one of few places. Its receiver is silent when what it could have taken lies in the ledger for longer than
 * the time that each has, whoever was up meanwhile: so that is told from the stream's place and the ledger alone, alike at
 * every server and after every restart.
 *
 * @see OpenID Shared Signals Framework 1.0 §8.1.1 (`inactivity_timeout`), §8.1.5; docs/decisions/0119-streams-that-nobody-takes.md
 */
import type { StreamSource } from "@trustwarden/core/agentledger/event-stream.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EventLog } from "../http/services.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Cleanup } from "../parts.ts";
import { isOfType } from "../store/entry-type.ts";
import type { StreamState } from "./stream-state.ts";
import type { SecurityEventStreams } from "./streams.ts";

/** Two weeks: a receiver that was away for a holiday goes on where it was. */
export const INACTIVITY_SECONDS = 1_209_600;
const LOOK_MS = 3_600_000;
const MS_PER_SECOND = 1000;

/** A ledger as it can be read. */
export interface PublishedLedger extends StreamSource {
  publishedSize(): number;
}

/** Whether what was recorded at a stream's place is older than a receiver may leave it. @throws TrustWardenError `ledger_corrupt`. */
export async function isSilent(
  { next }: Pick<StreamState, "next">,
  ledger: PublishedLedger,
  nowMs: number,
): Promise<boolean> {
  if (next >= ledger.publishedSize()) return false;
  const recordedMs = timeOf(await ledger.readEntriesFrom(next));
  return recordedMs !== undefined && nowMs - recordedMs > INACTIVITY_SECONDS * MS_PER_SECOND;
}

/** When the first of these was recorded that the server itself signed. */
function timeOf(entries: readonly Uint8Array[]): number | undefined {
  const own = entries.find((entry) => isOfType(entry, "control") || isOfType(entry, "decision"));
  return own === undefined ? undefined : Date.parse(parseRecord(own).unverified.value.time);
}

interface Tended {
  readonly streams: Pick<SecurityEventStreams, "giveUpSilent">;
  readonly ledger: Pick<Ledger, "recordControl">;
  readonly reads: { epoch(): number };
  readonly clock: { nowMs(): number };
  /** SPIFFE ID of the server. */
  readonly self: () => string;
  readonly log: EventLog;
  /** Of several servers one looks. */
  readonly isTending: () => boolean;
}

/** Looks now, and every hour. @returns what ends it, when no look is under way. */
export function tendStreams(tended: Tended): Cleanup {
  let looking = look(tended);
  const timer = setInterval(() => {
    looking = looking.then(() => look(tended));
  }, LOOK_MS).unref();
  return async () => {
    clearInterval(timer);
    await looking;
  };
}

async function look(tended: Tended): Promise<void> {
  if (!tended.isTending()) return;
  try {
    await tended.streams.giveUpSilent((state) => record(tended, state));
  } catch (error) {
    const code = error instanceof TrustWardenError ? error.code : "internal";
    // Safe: the stream keeps its place until the next look.
    tended.log.warn({ code }, "streams that nobody takes from could not be given up");
  }
}

async function record({ ledger, reads, clock, self, log }: Tended, state: StreamState): Promise<void> {
  const { receiver, streamId } = state;
  const details = { act: "ssf stream", change: "given up", stream_id: streamId };
  await ledger.recordControl(
    { kind: "admin", allow: true, reasons: [], subject: receiver, chain: [], details },
    { nowMs: clock.nowMs(), principal: self(), peer: "local", intent: null, epoch: reads.epoch() },
  );
  log.warn({ receiver, stream_id: streamId }, "a stream of security events is given up");
}
