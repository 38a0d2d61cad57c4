/**
 * How fast one owner makes new agents, counted in the transaction that makes one.
 *
 * Up to the easy rate nothing is asked. Beyond it a registration has to bring work that grows with the rate, so that a loop
 * slows itself down and a human notices nothing. Only agents without a parent count: an agent's children are bounded by
 * what the owner signed for it (fan-out, depth, budget), and a framework may make a thousand of them in a minute. Nor do
 * further instances of an agent that is known, or agents of a registration entry, which a node or a platform vouched for.
 * A new agent that is given away counts for who takes it, so that a second owner is no second rate of the first.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { CommandDeps } from "./deps.ts";

const WINDOW_SECONDS = 60;
/** Of the first agent beyond the easy rate; each further multiple of the rate takes four times as much. */
const FIRST_BITS = 14;
const BITS_A_MULTIPLE = 2;
/** Half a minute of a program that is written for it, on one core. */
const MAX_BITS = 28;

const COUNT = `
  SELECT COUNT(*) AS count FROM agents WHERE owner_id = ? AND parent_agent_id IS NULL AND created_at > ?`;
const FIND_NEW = "SELECT agent_id FROM agents WHERE agent_id = ? AND created_at > ?";
const FIND_LATER = `
  SELECT created_at FROM agents WHERE owner_id = ? AND parent_agent_id IS NULL
  ORDER BY created_at DESC LIMIT 1 OFFSET ?`;

/** A registration of a new agent without a parent. */
export interface Registration {
  readonly ownerId: string;
  /** Zero bits of the work that came along; null where none is asked for. */
  readonly workBits: number | null;
  /** Unix seconds. */
  readonly now: number;
}

/** @throws TrustWardenError `registration_costly` with what would do, and when nothing is asked any more. */
export function requireWork(
  database: SqliteDatabase,
  deps: CommandDeps,
  { ownerId, workBits, now }: Registration,
): void {
  if (workBits === null) return;
  const easy = deps.rules.quotas.easyAgentsPerOwnerPerMinute;
  const recent = database.get(COUNT, ownerId, now - WINDOW_SECONDS)?.integer("count") ?? 0;
  const bits = bitsFor(recent, easy);
  if (workBits >= bits) return;
  const freeAt = (database.get(FIND_LATER, ownerId, easy - 1)?.integer("created_at") ?? now) + WINDOW_SECONDS;
  const retryAfterSeconds = Math.max(1, freeAt - now);
  throw new TrustWardenError("registration_costly", { ownerId, recent, workBits: bits, retryAfterSeconds });
}

/** Refuses a new agent of somebody else's to who makes them faster than is easy. @throws TrustWardenError `registration_costly`. */
export function requireEasyTaking(
  database: SqliteDatabase,
  deps: CommandDeps,
  taking: { readonly ownerId: string; readonly agentId: string; readonly now: number },
): void {
  const { ownerId, agentId, now } = taking;
  if (database.get(FIND_NEW, agentId, now - WINDOW_SECONDS) === undefined) return;
  requireWork(database, deps, { ownerId, workBits: 0, now });
}

/** What one more costs. @param recent - within the window. */
function bitsFor(recent: number, easy: number): number {
  if (recent < easy) return 0;
  return Math.min(MAX_BITS, FIRST_BITS + BITS_A_MULTIPLE * (Math.floor(recent / easy) - 1));
}
