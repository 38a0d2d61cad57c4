/**
 * Issues the identity of a new instance: by its owner's ticket, by a live parent's grant, or, for a verifier, by a
 * ticket that an operator asked for.
 *
 * Signatures, times and possession were proven before; everything that depends on state is checked here, in the
 * transaction that writes the instance: single use, living line, delegation rules, name, quotas, fresh key.
 *
 * @see ARCHITECTURE.md, "Enrolment" and "Delegation"
 */
import {
  requireDelegable,
  requireLivingLine,
  requireShortWildcard,
  shortenLifetime,
} from "@trustwarden/core/agentid/delegation.ts";
import { parseAgentLabel, parseVerifierName, segmentsOf } from "@trustwarden/core/agentid/names.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { InstanceState, IssueCommand, IssuedIdentity } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { claimEnrolment } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { formatIdentity } from "./identity.ts";
import { requireLiveSvid } from "./live-instance.ts";
import { claimName, createInstance, type InstanceDraft, requireInstanceQuota } from "./registry.ts";
import { formatSvid, issueInstanceSvid } from "./svid.ts";

const NO_PARENT_EXPIRY = Number.MAX_SAFE_INTEGER;
const VERIFIER_LIMITS = { depth: 0, fanOut: 0, budget: null } as const;
const VERIFIER_SEGMENTS = ["trustwarden", "verifier"] as const;

const FIND_OWNER = "SELECT revoked_epoch FROM owners WHERE owner_id = ?";
const SUM_LIVE_CHILDREN = `
  SELECT COUNT(*) AS live, total(budget) AS budget FROM instances
  WHERE parent_instance_id = ? AND revoked_epoch IS NULL AND expires_at > ?`;

/** A checked instance, ready to be born. */
interface Admission {
  readonly draft: InstanceDraft;
  readonly segments: readonly string[];
  /** From the root down to the parent; empty without one. */
  readonly parentLine: readonly InstanceState[];
  readonly isShortened: boolean;
}

/**
 * @throws TrustWardenError `ticket_used`, `grant_used`, `owner_unknown`, `identity_revoked`, `instance_unknown`,
 *   `svid_mismatch`, `svid_expired`, `grant_invalid`, `name_taken`, `quota_exceeded`, `key_reused`, and the codes of
 *   `requireDelegable`, `parseAgentLabel`, `parseScope` and `requireTtlSeconds`.
 */
export function issue(
  database: SqliteDatabase,
  command: IssueCommand,
  deps: CommandDeps,
): CommandResult<IssuedIdentity> {
  const { context, spki } = command;
  const admission = admit(database, command, deps);
  const { draft, segments, parentLine, isShortened } = admission;
  const instance = createInstance(database, deps, { draft, segments, nowMs: context.nowMs });
  const svid = issueInstanceSvid(database, deps, { instance, spki, now: secondsOf(context) });
  const chain = formatLine([...parentLine, instance]);
  return {
    value: formatIdentity({ instance, svid, chain, isShortened }),
    draft: {
      kind: "issue",
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
        custody: "agent",
        via: command.via,
        ...formatSvid(svid),
        enrolment: command.enrolment,
        possession: command.possession,
      },
    },
  };
}

function admit(database: SqliteDatabase, command: IssueCommand, deps: CommandDeps): Admission {
  switch (command.via) {
    case "ticket":
      return admitByTicket(database, command, deps);
    case "grant":
      return admitByGrant(database, command, deps);
    case "verifier-ticket":
      return admitVerifier(database, command);
  }
}

function admitByTicket(database: SqliteDatabase, command: IssueCommand, deps: CommandDeps): Admission {
  const now = secondsOf(command.context);
  const { ownerId } = command;
  if (ownerId === null) throw new TrustWardenError("ticket_invalid", { field: "owner" });
  const owner = database.get(FIND_OWNER, ownerId);
  if (owner === undefined) throw new TrustWardenError("owner_unknown", { ownerId });
  if (owner.integerOrNull("revoked_epoch") !== null)
    throw new TrustWardenError("identity_revoked", { ownerId });
  claimEnrolment(database, command, ownerId);
  const lifetime = shortenLifetime({
    ttlSeconds: command.ttlSeconds,
    now,
    parentExpiresAt: NO_PARENT_EXPIRY,
  });
  const child = childOf(command, lifetime.expiresAt);
  requireShortWildcard(child, now);
  return admitAgent(database, deps, { command, child, ownerId, parentLine: [], isShortened: false });
}

function admitByGrant(database: SqliteDatabase, command: IssueCommand, deps: CommandDeps): Admission {
  const now = secondsOf(command.context);
  if (command.parent === null) throw new TrustWardenError("grant_invalid", { field: "parent" });
  const parentLine = lineOf(database, command.parent.instanceId);
  const parent = parentLine.at(-1);
  if (parent === undefined) throw new TrustWardenError("instance_unknown", { ...command.parent });
  requireLivingLine(parentLine, now);
  requireLiveSvid(database, { ...command.parent, now });
  if (parent.ownerId === null) throw new TrustWardenError("grant_invalid", { field: "parent" });
  if (command.path !== parent.path) throw new TrustWardenError("grant_invalid", { field: "path" });
  claimEnrolment(database, command, parent.instanceId);
  const lifetime = shortenLifetime({
    ttlSeconds: command.ttlSeconds,
    now,
    parentExpiresAt: parent.expiresAt,
  });
  const child = childOf(command, lifetime.expiresAt);
  const children = database.get(SUM_LIVE_CHILDREN, parent.instanceId, now);
  requireDelegable({
    parent: { ...parent, line: parentLine },
    child,
    siblings: { live: children?.integer("live") ?? 0, budget: children?.integer("budget") ?? 0 },
    now,
    mode: deps.rules.delegationMode,
  });
  const { ownerId } = parent;
  return admitAgent(database, deps, {
    command,
    child,
    ownerId,
    parentLine,
    isShortened: lifetime.isShortened,
  });
}

/** What both ways to an agent have in common: its name and its owner's quotas. */
function admitAgent(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: {
    readonly command: IssueCommand;
    readonly child: Pick<InstanceDraft, "scope" | "limits" | "expiresAt">;
    readonly ownerId: string;
    readonly parentLine: readonly InstanceState[];
    readonly isShortened: boolean;
  },
): Admission {
  const { command, child, ownerId, parentLine, isShortened } = options;
  const { nowMs } = command.context;
  const label = parseAgentLabel({ path: command.path, name: command.name });
  const parent = parentLine.at(-1);
  const { enrolmentIssuedAt } = command;
  const name = { ...label, ownerId, parentAgentId: parent?.agentId ?? null, enrolmentIssuedAt, nowMs };
  const agentId = claimName(database, deps, name);
  requireInstanceQuota(database, deps, { ownerId, now: secondsOf(command.context) });
  const parentInstanceId = parent?.instanceId ?? null;
  return {
    draft: { kind: "agent", agentId, ownerId, parentInstanceId, ...label, ...child },
    segments: segmentsOf(label),
    parentLine,
    isShortened,
  };
}

function admitVerifier(database: SqliteDatabase, command: IssueCommand): Admission {
  claimEnrolment(database, command, "server");
  const name = parseVerifierName(command.name);
  const now = secondsOf(command.context);
  const { ttlSeconds } = command;
  const { expiresAt } = shortenLifetime({ ttlSeconds, now, parentExpiresAt: NO_PARENT_EXPIRY });
  const nobody = { agentId: null, ownerId: null, parentInstanceId: null } as const;
  const path = VERIFIER_SEGMENTS.join("/");
  return {
    draft: {
      kind: "verifier",
      ...nobody,
      path,
      name,
      scope: parseScope([]),
      limits: VERIFIER_LIMITS,
      expiresAt,
    },
    segments: [...VERIFIER_SEGMENTS, name],
    parentLine: [],
    isShortened: false,
  };
}

function childOf(
  { scope, limits }: IssueCommand,
  expiresAt: number,
): Pick<InstanceDraft, "scope" | "limits" | "expiresAt"> {
  // Parsed again after crossing the thread boundary: what is stored is canonical because this line says so.
  return { scope: parseScope(scope), limits, expiresAt };
}
