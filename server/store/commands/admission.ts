/**
 * What every way to a new agent has in common: its name, its owner's quotas, its birth, and the event that tells of it.
 */
import type { Limits } from "@trustwarden/core/agentid/delegation.ts";
import { type AgentLabel, parseAgentLabel, segmentsOf } from "@trustwarden/core/agentid/names.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import type { CommandContext, ControlDraft, InstanceState, IssuedIdentity } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine } from "../sqlite-instance.ts";
import { type CommandDeps, secondsOf } from "./deps.ts";
import { formatIdentity } from "./identity.ts";
import { claimName, createInstance, type InstanceDraft, requireInstanceQuota } from "./registry.ts";
import { formatSvid, issueInstanceSvid } from "./svid.ts";

const FIND_OWNER = `
  SELECT owners.revoked_epoch, people.ended_at, people.roles
  FROM owners LEFT JOIN people ON people.owner_id = owners.owner_id WHERE owners.owner_id = ?`;

/** A checked instance, ready to be born. */
export interface Admission {
  readonly draft: InstanceDraft;
  readonly segments: readonly string[];
  /** From the root down to the parent; empty without one. */
  readonly parentLine: readonly InstanceState[];
  readonly isShortened: boolean;
}

/** What a document, signed and verified, says about a new agent. */
export interface AgentApplication extends AgentLabel {
  readonly context: CommandContext;
  /** Unix seconds when the document was signed; a later revocation of the agent voids it. */
  readonly enrolmentIssuedAt: number;
  readonly ownerId: string;
  readonly scope: Scope;
  readonly limits: Limits;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly parentLine: readonly InstanceState[];
  readonly isShortened: boolean;
  /** Zero bits of the work that it brings; null where none is asked for. */
  readonly workBits: number | null;
  /** How it was attested and who holds its key. */
  readonly origin: Pick<InstanceDraft, "custody" | "attested" | "nodeInstanceId" | "entryId">;
}

/**
 * Somebody who answers for what is about to be: an owner that was not revoked, and whose person, if it is one, has neither ended
 * nor another role now. What was signed before, by whatever key, lets nothing be any more.
 *
 * @throws TrustWardenError `owner_unknown` or `identity_revoked`.
 */
export function requireLiveOwner(database: SqliteDatabase, ownerId: string): void {
  const owner = database.get(FIND_OWNER, ownerId);
  if (owner === undefined) throw new TrustWardenError("owner_unknown", { ownerId });
  // Null for an owner that is no person of ours.
  const roles = owner.textOrNull("roles")?.split(" ") ?? null;
  const hasLeft = owner.integerOrNull("ended_at") !== null || roles?.includes("owner") === false;
  if (owner.integerOrNull("revoked_epoch") !== null || hasLeft)
    throw new TrustWardenError("identity_revoked", { ownerId });
}

/**
 * The agent's name, claimed, within its owner's quotas.
 *
 * @throws TrustWardenError `name_malformed`, `name_taken`, `identity_revoked`, `quota_exceeded`, `registration_costly`,
 *   `scope_malformed`.
 */
export function admitAgent(
  database: SqliteDatabase,
  deps: CommandDeps,
  application: AgentApplication,
): Admission {
  const { context, ownerId, parentLine, isShortened, enrolmentIssuedAt, workBits, origin } = application;
  const { nowMs } = context;
  const label = parseAgentLabel(application);
  const parent = parentLine.at(-1);
  const parentAgentId = parent?.agentId ?? null;
  const name = { ...label, ownerId, parentAgentId, enrolmentIssuedAt, workBits, nowMs };
  const agentId = claimName(database, deps, name);
  requireInstanceQuota(database, deps, { ownerId, now: secondsOf(context) });
  return {
    draft: {
      kind: "agent",
      agentId,
      ownerId,
      parentInstanceId: parent?.instanceId ?? null,
      path: label.path,
      name: label.name,
      // Parsed again after crossing the thread boundary: what is stored is canonical because this line says so.
      scope: parseScope(application.scope),
      limits: application.limits,
      expiresAt: application.expiresAt,
      ...origin,
    },
    segments: segmentsOf(label),
    parentLine,
    isShortened,
  };
}

/** A new instance with its first SVID, and the event that tells of it. */
export interface Birth {
  readonly instance: InstanceState;
  readonly identity: IssuedIdentity;
  /** Of the instance's line. */
  readonly chain: readonly string[];
  readonly event: Omit<ControlDraft, "kind">;
}

/**
 * Writes the admitted instance and issues its first SVID.
 *
 * @param options.details - further facts of the event, such as the document behind it.
 * @throws TrustWardenError `key_reused`, `identity_expired`, `public_key_refused` or `authority_expired`.
 */
export function bear(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: {
    readonly context: CommandContext;
    readonly admission: Admission;
    readonly spki: Uint8Array;
    readonly details: JsonObject;
  },
): Birth {
  const { context, admission, spki, details } = options;
  const { draft, segments, parentLine, isShortened } = admission;
  const instance = createInstance(database, deps, { draft, segments, nowMs: context.nowMs });
  const svid = issueInstanceSvid(database, deps, { instance, spki, now: secondsOf(context) });
  const chain = formatLine([...parentLine, instance]);
  return {
    instance,
    identity: formatIdentity({ instance, svid, chain, isShortened }),
    chain,
    event: {
      allow: true,
      reasons: [],
      subject: instance.spiffeId,
      chain,
      details: {
        agent_id: instance.agentId,
        instance_id: instance.instanceId,
        spiffe_id: instance.spiffeId,
        owner: instance.ownerId,
        parent: parentLine.at(-1)?.spiffeId ?? null,
        scope: [...instance.scope],
        limits: { depth: draft.limits.depth, fan_out: draft.limits.fanOut, budget: draft.limits.budget },
        expires_at: instance.expiresAt,
        custody: instance.custody,
        composition_sha256: instance.attested.compositionSha256,
        ...formatSvid(svid),
        ...details,
      },
    },
  };
}
