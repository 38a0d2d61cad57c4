/**
 * Revokes an instance, an agent or an owner, each with everything below; stops a job, a key, a policy, or every agent:
 * one epoch, one transaction.
 *
 * A node dies with every instance that it asked for, since it may have kept their keys. Who those are no verifier could
 * know from the node's name, so every decision of before is void.
 *
 * Dead stay dead: a mark is never taken off an instance. An agent's name may live again by a ticket or grant that is
 * signed after the revocation; an owner's revocation is final.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { EVERYBODY, EVERYTHING } from "@trustwarden/core/revocation/frames.ts";
import type { FeedTarget } from "../ports.ts";
import type { RevokeCommand, Revoked, StopTarget } from "../revocation-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { keepStop } from "../stop-rows.ts";
import { AGENT_TREE, endInstancesBelow } from "./agent-tree.ts";
import { dateOf } from "./clock.ts";
import type { CommandResult } from "./deps.ts";
import { advanceEpoch, dateEpoch } from "./epoch.ts";

const KILL_INSTANCE_TREE = `
  WITH RECURSIVE tree (id) AS (
    SELECT instance_id FROM instances WHERE instance_id = ?
    UNION
    SELECT instances.instance_id FROM tree CROSS JOIN instances WHERE instances.parent_instance_id = tree.id
    UNION
    SELECT instances.instance_id FROM tree CROSS JOIN instances WHERE instances.node_instance_id = tree.id
  )
  UPDATE instances SET revoked_epoch = ?
  WHERE revoked_epoch IS NULL AND instance_id IN (SELECT id FROM tree) RETURNING expires_at`;
const KILL_AGENTS = `${AGENT_TREE}
  UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)
  WHERE agent_id IN (SELECT id FROM tree)`;
const KILL_OWNER_INSTANCES = `
  UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? RETURNING expires_at`;
const KILL_OWNER_AGENTS = `
  UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?) WHERE owner_id = ?`;
const KILL_OWNER = "UPDATE owners SET revoked_epoch = COALESCE(revoked_epoch, ?) WHERE owner_id = ?";
const KILL_EVERY_INSTANCE = `
  UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND kind = 'agent' RETURNING expires_at`;
const KILL_EVERY_AGENT = "UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)";
/** More jobs than one owner stops by hand; who has more to stop stops their agents. */
const JOB_STOPS_PER_MINUTE = 60;
/** By what verifiers were told (`toldOf`): a stop that is made again is one more. */
const FIND_JOB_STOP = `
  SELECT revocations.revoked_at FROM feed CROSS JOIN revocations
  WHERE feed.kind = 'narrowed' AND feed.id = ? AND revocations.epoch = feed.epoch
  ORDER BY feed.epoch DESC LIMIT 1 OFFSET ?`;
const FIND_HOLDER = "SELECT holder FROM keys WHERE spki_sha256 = ?";
/** Nobody can be issued anything for a key that somebody has. */
const TAKE_KEY = "INSERT INTO keys (spki_sha256, holder) VALUES (?, 'stopped')";
const SHA256 = /^[A-Za-z0-9_-]{43}$/;
const FIND_OWNER = "SELECT owner_id FROM owners WHERE owner_id = ?";
const FIND_AGENT_LINE = `
  WITH RECURSIVE line (id, level) AS (
    VALUES (?, 0)
    UNION ALL
    SELECT agents.parent_agent_id, level + 1 FROM line CROSS JOIN agents
    WHERE agents.agent_id = line.id AND agents.parent_agent_id IS NOT NULL
  )
  SELECT agents.agent_id, agents.owner_id FROM line CROSS JOIN agents WHERE agents.agent_id = line.id ORDER BY level DESC`;

/** What is revoked, as its event names it. */
interface Target {
  readonly subject: string;
  readonly chain: readonly string[];
  readonly isNode: boolean;
}

/** When and under which epoch. */
interface Death {
  readonly epoch: number;
  /** Unix seconds; never before anything that was committed. */
  readonly at: number;
  /** Whose jobs; null for everybody's. */
  readonly ownerId: string | null;
}

/**
 * What somebody asks for now.
 *
 * @throws TrustWardenError `not_found`, or `rate_limited` for an owner's stops of jobs.
 */
export function revokeAsAsked(database: SqliteDatabase, command: RevokeCommand): CommandResult<Revoked> {
  const { context, target, ownerId = null } = command;
  if (target.kind === "job" && ownerId !== null) requireJobRate(database, ownerId, dateOf(database, context));
  return revoke(database, command);
}

/** What was asked for, now or before a restore. @throws TrustWardenError `not_found`. */
export function revoke(database: SqliteDatabase, command: RevokeCommand): CommandResult<Revoked> {
  const { context, reason, ownerId = null } = command;
  const target = heldBy(database, command.target);
  const { subject, chain, isNode } = findTarget(database, target);
  const told = toldOf(target, ownerId);
  const death = { epoch: advanceEpoch(database, told), at: dateOf(database, context), ownerId };
  dateEpoch(database, death);
  const mustAllAsk = isNode || target.kind === "everything";
  const targets = mustAllAsk ? [told, EVERYTHING] : [told];
  if (mustAllAsk) advanceEpoch(database, EVERYTHING);
  const endings = kill(database, target, death);
  const instances = endings.filter((expiresAt) => expiresAt > death.at).length;
  return {
    value: { instances, targets },
    draft: {
      kind: "revoke",
      allow: true,
      reasons: [],
      subject,
      chain,
      details: { target_kind: command.target.kind, target_id: command.target.id, reason, instances },
    },
  };
}

/**
 * A name of a job costs its owner nothing, and each stop is told to everybody and kept. Identities are stopped without a limit.
 *
 * @throws TrustWardenError `rate_limited`.
 */
function requireJobRate(database: SqliteDatabase, ownerId: string, now: number): void {
  const before = database.get(FIND_JOB_STOP, ownerId, JOB_STOPS_PER_MINUTE - 1)?.integer("revoked_at");
  if (before === undefined || before <= now - 60) return;
  throw new TrustWardenError("rate_limited", { ownerId, retryAfterSeconds: Math.max(1, before + 60 - now) });
}

/** A key that an instance or an owner has is stopped with its holder; one of nobody is taken. @throws TrustWardenError `not_found`. */
function heldBy(database: SqliteDatabase, target: StopTarget): StopTarget {
  if (target.kind !== "key") return target;
  if (!SHA256.test(target.id)) notFound("key");
  const holder = database.get(FIND_HOLDER, target.id)?.text("holder");
  if (holder?.startsWith("inst-")) return { kind: "instance", id: holder };
  if (holder?.startsWith("own_")) return { kind: "owner", id: holder };
  if (holder === undefined) database.run(TAKE_KEY, target.id);
  else if (holder !== "stopped") notFound("key");
  return target;
}

/**
 * What verifiers are told. They know no jobs and no policies' digests: they ask again, and are refused. An owner's stop of
 * its job makes nobody else ask. Whoever holds identities for others hears of everybody's death.
 */
function toldOf(target: StopTarget, ownerId: string | null): Pick<FeedTarget, "kind" | "id"> {
  switch (target.kind) {
    case "instance":
    case "agent":
    case "owner":
      return { kind: target.kind, id: target.id };
    case "job":
      return ownerId === null ? EVERYTHING : { kind: "narrowed", id: ownerId };
    case "key":
    case "policy":
      return EVERYTHING;
    case "everything":
      return EVERYBODY;
  }
}

function findTarget(database: SqliteDatabase, { kind, id }: RevokeCommand["target"]): Target {
  switch (kind) {
    case "instance": {
      const line = lineOf(database, id);
      const instance = line.at(-1) ?? notFound(kind);
      return { subject: instance.spiffeId, chain: formatLine(line), isNode: instance.kind === "node" };
    }
    case "agent": {
      const line = database.all(FIND_AGENT_LINE, id);
      const ownerId = line.at(0)?.text("owner_id") ?? notFound(kind);
      const chain = [`owner:${ownerId}`, ...line.map((row) => row.text("agent_id"))];
      return { subject: id, chain, isNode: false };
    }
    case "owner":
      if (database.get(FIND_OWNER, id) === undefined) notFound(kind);
      return { subject: id, chain: [`owner:${id}`], isNode: false };
    case "policy":
      if (!SHA256.test(id)) notFound(kind);
      return { subject: `policy:${id}`, chain: [], isNode: false };
    case "everything":
      if (id !== "*") notFound(kind);
      return { subject: "everything", chain: [], isNode: false };
    case "job":
    case "key":
      return { subject: `${kind}:${id}`, chain: [], isNode: false };
  }
}

/** Marks the target and everything below; returns when each instance that was not marked yet would have ended. */
function kill(
  database: SqliteDatabase,
  { kind, id }: RevokeCommand["target"],
  { epoch, at, ownerId }: Death,
): readonly number[] {
  switch (kind) {
    case "instance":
      return endingsOf(database.all(KILL_INSTANCE_TREE, id, epoch));
    case "agent":
      database.run(KILL_AGENTS, id, at);
      return endInstancesBelow(database, id, epoch);
    case "owner":
      database.run(KILL_OWNER, epoch, id);
      database.run(KILL_OWNER_AGENTS, at, id);
      return endingsOf(database.all(KILL_OWNER_INSTANCES, epoch, id));
    case "everything":
      database.run(KILL_EVERY_AGENT, at);
      return endingsOf(database.all(KILL_EVERY_INSTANCE, epoch));
    case "job":
      keepStop(database, { kind, id, ownerId, epoch });
      return [];
    case "policy":
      keepStop(database, { kind, id, ownerId: null, epoch });
      return [];
    case "key":
      return [];
  }
}

function endingsOf(rows: ReturnType<SqliteDatabase["all"]>): readonly number[] {
  return rows.map((row) => row.integer("expires_at"));
}

function notFound(kind: string): never {
  throw new TrustWardenError("not_found", { kind });
}
