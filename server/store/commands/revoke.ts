/**
 * Revokes an instance, an agent or an owner, each with everything below: one epoch, one transaction.
 *
 * A node dies with every instance that it asked for, since it may have kept their keys. Who those are no verifier could
 * know from the node's name, so every decision of before is void.
 *
 * Dead stay dead: a mark is never taken off an instance. An agent's name may live again by a ticket or grant that is
 * signed after the revocation; an owner's revocation is final.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RevokeCommand, Revoked } from "../revocation-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { readClockFloorMs } from "./clock.ts";
import type { CommandResult } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";

const AGENT_TREE = `
  WITH RECURSIVE tree (id) AS (
    SELECT agent_id FROM agents WHERE agent_id = ?
    UNION
    SELECT agents.agent_id FROM tree CROSS JOIN agents WHERE agents.parent_agent_id = tree.id
  )`;
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
const KILL_AGENT_INSTANCES = `${AGENT_TREE}
  UPDATE instances SET revoked_epoch = ?
  WHERE revoked_epoch IS NULL AND agent_id IN (SELECT id FROM tree) RETURNING expires_at`;
const KILL_AGENTS = `${AGENT_TREE}
  UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)
  WHERE agent_id IN (SELECT id FROM tree)`;
const KILL_OWNER_INSTANCES = `
  UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? RETURNING expires_at`;
const KILL_OWNER_AGENTS = `
  UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?) WHERE owner_id = ?`;
const KILL_OWNER = "UPDATE owners SET revoked_epoch = COALESCE(revoked_epoch, ?) WHERE owner_id = ?";
const DATE = "INSERT INTO revocations (epoch, revoked_at) VALUES (?, ?)";
const FIND_OWNER = "SELECT owner_id FROM owners WHERE owner_id = ?";
const FIND_AGENT_LINE = `
  WITH RECURSIVE line (id, level) AS (
    VALUES (?, 0)
    UNION ALL
    SELECT agents.parent_agent_id, level + 1 FROM line CROSS JOIN agents
    WHERE agents.agent_id = line.id AND agents.parent_agent_id IS NOT NULL
  )
  SELECT agents.agent_id, agents.owner_id FROM line CROSS JOIN agents WHERE agents.agent_id = line.id ORDER BY level DESC`;

/** Makes every verifier ask again. */
const EVERY_DECISION = { kind: "policy", id: "*" } as const;

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
}

/** @throws TrustWardenError `not_found`. */
export function revoke(database: SqliteDatabase, command: RevokeCommand): CommandResult<Revoked> {
  const { target, context, reason } = command;
  const { subject, chain, isNode } = findTarget(database, target);
  const nowMs = Math.max(context.nowMs, readClockFloorMs(database));
  const death = { epoch: advanceEpoch(database, target), at: Math.floor(nowMs / 1000) };
  database.run(DATE, death.epoch, death.at);
  const targets = isNode ? [target, EVERY_DECISION] : [target];
  if (isNode) advanceEpoch(database, EVERY_DECISION);
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
      details: { target_kind: target.kind, target_id: target.id, reason, instances },
    },
  };
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
  }
}

/** Marks the target and everything below; returns when each instance that was not marked yet would have ended. */
function kill(
  database: SqliteDatabase,
  { kind, id }: RevokeCommand["target"],
  { epoch, at }: Death,
): readonly number[] {
  switch (kind) {
    case "instance":
      return endingsOf(database.all(KILL_INSTANCE_TREE, id, epoch));
    case "agent":
      database.run(KILL_AGENTS, id, at);
      return endingsOf(database.all(KILL_AGENT_INSTANCES, id, epoch));
    case "owner":
      database.run(KILL_OWNER, epoch, id);
      database.run(KILL_OWNER_AGENTS, at, id);
      return endingsOf(database.all(KILL_OWNER_INSTANCES, epoch, id));
  }
}

function endingsOf(rows: ReturnType<SqliteDatabase["all"]>): readonly number[] {
  return rows.map((row) => row.integer("expires_at"));
}

function notFound(kind: string): never {
  throw new TrustWardenError("not_found", { kind });
}
