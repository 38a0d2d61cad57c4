/**
 * The signed trees that an evidence bundle's entries are proven under: one a shard, with the witnesses' word where they are
 * asked.
 *
 * @see docs/decisions/0043
 */
import { setTimeout } from "node:timers/promises";
import { type Checkpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { isSameLogKey } from "@trustwarden/core/agentledger/shard.ts";
import type { Shard } from "@trustwarden/core/agentledger/sharded-log.ts";
import type { Services } from "../http/services.ts";

/** Witnesses answer within a second or not at all; a bundle is made for a person, who can wait a little. */
const WITNESS_WAIT_MS = 5000;
const WITNESS_POLL_MS = 100;

/** A tree that entries of a bundle are proven under. */
export interface Head {
  readonly shard: Shard;
  readonly note: string;
  readonly checkpoint: Checkpoint;
  readonly isWitnessed: boolean;
}

/** What somebody holds of a shard of this ledger. */
export interface Earlier {
  readonly note: string;
  readonly shard: Shard;
  readonly checkpoint: Checkpoint;
}

/**
 * The signed heads of the shards that hold an entry, oldest first, and of all from an earlier checkpoint on. Of each shard but
 * the first its beginning comes along, by which a verifier knows where its positions begin, and of each that changed the log's
 * key its end, by which it knows the next key.
 */
export async function headsOver(
  services: Services,
  { entries, earlier }: { readonly entries: Map<number, Uint8Array>; readonly earlier: Earlier | null },
): Promise<readonly Head[]> {
  const { log } = services.ledger;
  const newest = earlier === null ? Math.max(...entries.keys()) : log.size;
  for (const [position, end] of await changesOfKey(log, newest)) entries.set(position, end);
  const heads: Head[] = [];
  for (const shard of log.shards) {
    const own = [...entries.keys()].filter((index) => log.shardAt(index).first === shard.first);
    const isBehind = earlier !== null && shard.first >= earlier.shard.first;
    if (own.length === 0 && !isBehind) continue;
    if (shard.first > 0) entries.set(shard.first, await log.readEntry(shard.first));
    const next = log.shards.find(({ first }) => first > shard.first);
    const shown = own.reduce((most, index) => Math.max(most, index + 1 - shard.first), 0);
    // What somebody held of a shard that has ended is a prefix of its end, which the next one begins with.
    const size = isBehind && next !== undefined ? next.first - shard.first : shown;
    const held = earlier?.shard === shard ? earlier.checkpoint.size : 0;
    heads.push(await headOver(services, shard, Math.max(size, held)));
  }
  return heads;
}

/**
 * The ends of shards that name another key for the next one, by position: without them nobody could follow the auditor's key to
 * a shard at or before `newest`.
 */
async function changesOfKey(
  log: Services["ledger"]["log"],
  newest: number,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const ends = new Map<number, Uint8Array>();
  for (const [at, shard] of log.shards.entries()) {
    const before = log.shards[at - 1];
    if (before === undefined || shard.first > newest || isSameLogKey(before.vkey, shard.vkey)) continue;
    ends.set(shard.first - 1, await log.readEntry(shard.first - 1));
  }
  return ends;
}

/**
 * The signed head of a shard that covers its first `size` entries: with the witnesses' word where they are asked, which
 * comes a moment later than the log's own; without it, when they do not give it in time.
 */
async function headOver({ ledger, clock }: Services, shard: Shard, size: number): Promise<Head> {
  await shard.log.waitForCheckpoint(size);
  const until = clock.monoMs() + WITNESS_WAIT_MS;
  while (ledger.witnessPolicy !== null) {
    const witnessed = await ledger.readWitnessed(shard);
    if (witnessed !== null && witnessed.size >= size) return headOf(shard, witnessed.note, true);
    if (clock.monoMs() >= until) break;
    await setTimeout(WITNESS_POLL_MS);
  }
  return headOf(shard, shard.log.checkpoint(), false);
}

function headOf(shard: Shard, note: string, isWitnessed: boolean): Head {
  return { shard, note, isWitnessed, checkpoint: verifyCheckpoint(note, shard.vkey) };
}
