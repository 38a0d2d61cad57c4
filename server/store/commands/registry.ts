/**
 * Names, quotas and new instances: who owns (path, name), how much an owner has, and the birth of an instance.
 *
 * Read and written in the transaction that issues, so that two requests for the last place of a quota are one after
 * the other.
 */
import { lookOf } from "@trustwarden/core/agentid/look.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { LOOK_OF_LABEL } from "../migrations/version-7-registration.ts";
import type { InstanceState } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatAttestedColumn, formatScopeColumn } from "../sqlite-instance.ts";
import type { CommandDeps, Quotas } from "./deps.ts";
import { requireWork } from "./velocity.ts";

const HOUR_SECONDS = 3600;

const FIND_AGENT = `
  SELECT agent_id, owner_id, parent_agent_id, revoked_at, is_revoked FROM agents WHERE path = ? AND name = ?`;
const FIND_LIKE = `SELECT agent_id FROM agents WHERE ${LOOK_OF_LABEL} = ? LIMIT 1`;
const INSERT_AGENT = `
  INSERT INTO agents (agent_id, path, name, owner_id, parent_agent_id, created_at, is_revoked)
  VALUES (?, ?, ?, ?, ?, ?, 0)`;
const REVIVE_AGENT = "UPDATE agents SET is_revoked = 0 WHERE agent_id = ?";
const COUNT_AGENTS = "SELECT COUNT(*) AS count FROM agents WHERE owner_id = ? AND is_revoked = 0";
const COUNT_LIVE = `
  SELECT COUNT(*) AS count FROM instances WHERE owner_id = ? AND revoked_epoch IS NULL AND expires_at > ?`;
const COUNT_RECENT = "SELECT COUNT(*) AS count FROM instances WHERE owner_id = ? AND created_at > ?";
const INSERT_INSTANCE = `
  INSERT INTO instances (instance_id, kind, spiffe_id, agent_id, owner_id, parent_instance_id, path, name, scope,
    depth, fan_out, budget, custody, attested, composition_sha256, node_instance_id, entry_id, created_at, expires_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** Who asks for a name. */
export interface NameClaim {
  readonly path: string;
  readonly name: string;
  readonly ownerId: string;
  readonly parentAgentId: string | null;
  /** Unix seconds when the ticket or grant was signed. */
  readonly enrolmentIssuedAt: number;
  readonly nowMs: number;
  /** Zero bits of the work that a new agent without a parent brings; null where none is asked for. */
  readonly workBits: number | null;
}

/** A new instance before it has its id. */
export type InstanceDraft = Omit<InstanceState, "instanceId" | "spiffeId" | "createdAt" | "isRevoked">;

/**
 * The agent of this name, registered now when there is none. A ticket or grant that was signed before the agent's
 * last revocation is void: whoever revoked it did not know of it.
 *
 * @throws TrustWardenError `name_taken`, `identity_revoked`, `quota_exceeded`, `registration_costly` or
 *   `name_confusable`.
 */
export function claimName(database: SqliteDatabase, deps: CommandDeps, claim: NameClaim): string {
  const row = database.get(FIND_AGENT, claim.path, claim.name);
  if (row === undefined) return registerAgent(database, deps, claim);
  if (row.text("owner_id") !== claim.ownerId || row.textOrNull("parent_agent_id") !== claim.parentAgentId) {
    throw new TrustWardenError("name_taken");
  }
  const agentId = row.text("agent_id");
  const revokedAt = row.integerOrNull("revoked_at");
  if (revokedAt !== null && claim.enrolmentIssuedAt <= revokedAt) {
    throw new TrustWardenError("identity_revoked", {
      agentId,
      reason: "enrolment older than the revocation",
    });
  }
  if (row.integer("is_revoked") === 1) {
    requireAgentQuota(database, deps, { ownerId: claim.ownerId, more: 1 });
    database.run(REVIVE_AGENT, agentId);
  }
  return agentId;
}

/** @throws TrustWardenError `quota_exceeded`. @param now - Unix seconds. */
export function requireInstanceQuota(
  database: SqliteDatabase,
  deps: CommandDeps,
  { ownerId, now }: { readonly ownerId: string; readonly now: number },
): void {
  const { quotas } = deps.rules;
  requireBelow(database.get(COUNT_LIVE, ownerId, now)?.integer("count"), "liveInstancesPerOwner", quotas);
  const recent = database.get(COUNT_RECENT, ownerId, now - HOUR_SECONDS)?.integer("count");
  requireBelow(recent, "issuesPerOwnerPerHour", quotas);
}

/** Refuses what would give an owner more agents than its quota. @throws TrustWardenError `quota_exceeded`. */
export function requireAgentQuota(
  database: SqliteDatabase,
  deps: CommandDeps,
  { ownerId, more }: { readonly ownerId: string; readonly more: number },
): void {
  const count = database.get(COUNT_AGENTS, ownerId)?.integer("count") ?? 0;
  requireBelow(count + more - 1, "agentsPerOwner", deps.rules.quotas);
}

/** Writes a new instance under a fresh id. `segments` are those of its class id. */
export function createInstance(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: { readonly draft: InstanceDraft; readonly segments: readonly string[]; readonly nowMs: number },
): InstanceState {
  const { draft, segments, nowMs } = options;
  const instanceId = `inst-${formatUlid(nowMs, deps.random)}`;
  const spiffeId = formatSpiffeId(deps.trustDomain, [...segments, instanceId]);
  const createdAt = Math.floor(nowMs / 1000);
  database.run(
    INSERT_INSTANCE,
    instanceId,
    draft.kind,
    spiffeId,
    draft.agentId,
    draft.ownerId,
    draft.parentInstanceId,
    draft.path,
    draft.name,
    formatScopeColumn(draft.scope),
    draft.limits.depth,
    draft.limits.fanOut,
    draft.limits.budget,
    draft.custody,
    formatAttestedColumn(draft.attested),
    draft.attested.compositionSha256,
    draft.nodeInstanceId,
    draft.entryId,
    createdAt,
    draft.expiresAt,
  );
  return { ...draft, instanceId, spiffeId, createdAt, isRevoked: false };
}

function registerAgent(database: SqliteDatabase, deps: CommandDeps, claim: NameClaim): string {
  const { path, name, ownerId, parentAgentId, nowMs, workBits } = claim;
  requireAgentQuota(database, deps, { ownerId, more: 1 });
  if (parentAgentId === null)
    requireWork(database, deps, { ownerId, workBits, now: Math.floor(nowMs / 1000) });
  // Whoever has the other one: a name is read by people who know only one of them, and a stopped agent is still remembered.
  const like = database.get(FIND_LIKE, lookOf(`${path}/${name}`));
  if (like !== undefined) throw new TrustWardenError("name_confusable", { like: like.text("agent_id") });
  const agentId = `agt_${formatUlid(nowMs, deps.random)}`;
  database.run(INSERT_AGENT, agentId, path, name, ownerId, parentAgentId, Math.floor(nowMs / 1000));
  return agentId;
}

function requireBelow(count: number | undefined, quota: keyof Quotas, quotas: Quotas): void {
  if (count === undefined || count >= quotas[quota]) {
    throw new TrustWardenError("quota_exceeded", { quota, limit: quotas[quota] });
  }
}
