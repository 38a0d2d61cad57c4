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
import { parseVerifierName } from "@trustwarden/core/agentid/names.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { IssueCommand, IssuedIdentity } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { lineOf } from "../sqlite-instance.ts";
import { type Admission, type AgentApplication, admitAgent, bear, requireLiveOwner } from "./admission.ts";
import { claimEnrolment } from "./claims.ts";
import { requireDeposited } from "./deposit-ticket.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { issueClass } from "./issue-class.ts";
import { requireLiveSvid } from "./live-instance.ts";

/** The end of a parent that there is none of. */
export const NO_PARENT_EXPIRY = Number.MAX_SAFE_INTEGER;
const VERIFIER_LIMITS = { depth: 0, fanOut: 0, budget: null } as const;
const VERIFIER_SEGMENTS = ["trustwarden", "verifier"] as const;
/** A relay is a verifier to the store; its name says that all it does is give leases on. */
const RELAY_SEGMENTS = ["trustwarden", "relay"] as const;

const SUM_LIVE_CHILDREN = `
  SELECT COUNT(*) AS live, total(budget) AS budget FROM instances
  WHERE parent_instance_id = ? AND revoked_epoch IS NULL AND expires_at > ?`;

/**
 * @throws TrustWardenError `ticket_used`, `grant_used`, `owner_unknown`, `identity_revoked`, `instance_unknown`,
 *   `svid_mismatch`, `svid_expired`, `grant_invalid`, `name_taken`, `quota_exceeded`, `registration_costly`, `key_reused`, and the codes of
 *   `issueClass`, `requireDelegable`, `parseAgentLabel`, `parseScope` and `requireTtlSeconds`.
 */
export function issue(
  database: SqliteDatabase,
  command: IssueCommand,
  deps: CommandDeps,
): CommandResult<IssuedIdentity> {
  const { context, spki, via, enrolment, possession, classKey } = command;
  const admission = admit(database, command, deps);
  const details = { via, enrolment, possession };
  const { instance, identity, event } = bear(database, deps, { context, admission, spki, details });
  const ofClass = issueClass(database, deps, { instance, classKey, now: secondsOf(context) });
  return {
    value: { ...identity, ...ofClass.value },
    draft: { kind: "issue", ...event, details: { ...event.details, ...ofClass.details } },
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
  requireLiveOwner(database, ownerId);
  requireDeposited(database, command, ownerId);
  claimEnrolment(database, command, ownerId);
  const lifetime = shortenLifetime({
    ttlSeconds: command.ttlSeconds,
    now,
    parentExpiresAt: NO_PARENT_EXPIRY,
  });
  requireShortWildcard({ scope: parseScope(command.scope), expiresAt: lifetime.expiresAt }, now);
  return admitAgent(database, deps, {
    ...applicationOf(command, ownerId),
    expiresAt: lifetime.expiresAt,
    parentLine: [],
    isShortened: false,
  });
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
  const child = { scope: parseScope(command.scope), limits: command.limits, expiresAt: lifetime.expiresAt };
  const children = database.get(SUM_LIVE_CHILDREN, parent.instanceId, now);
  requireDelegable({
    parent: { ...parent, line: parentLine },
    child,
    siblings: { live: children?.integer("live") ?? 0, budget: children?.integer("budget") ?? 0 },
    now,
    mode: deps.rules.delegationMode,
  });
  return admitAgent(database, deps, {
    ...applicationOf(command, parent.ownerId),
    expiresAt: lifetime.expiresAt,
    parentLine,
    isShortened: lifetime.isShortened,
  });
}

/** Whoever enrols by a document of its own is attested by nobody. */
function applicationOf(
  command: IssueCommand,
  ownerId: string,
): Omit<AgentApplication, "expiresAt" | "parentLine" | "isShortened"> {
  const { context, enrolmentIssuedAt, path, name, scope, limits, custody, compositionSha256 } = command;
  const attested = { ...NOTHING_ATTESTED, compositionSha256 };
  const origin = { custody, attested, nodeInstanceId: null, entryId: null };
  const workBits = command.workBits ?? 0;
  return { context, enrolmentIssuedAt, path, name, scope, limits, ownerId, workBits, origin };
}

function admitVerifier(database: SqliteDatabase, command: IssueCommand): Admission {
  claimEnrolment(database, command, "server");
  const name = parseVerifierName(command.name);
  const now = secondsOf(command.context);
  const { ttlSeconds } = command;
  const { expiresAt } = shortenLifetime({ ttlSeconds, now, parentExpiresAt: NO_PARENT_EXPIRY });
  const nobody = { agentId: null, ownerId: null, parentInstanceId: null } as const;
  const segments = command.isRelay === true ? RELAY_SEGMENTS : VERIFIER_SEGMENTS;
  const path = segments.join("/");
  return {
    draft: {
      kind: "verifier",
      ...nobody,
      path,
      name,
      scope: parseScope([]),
      limits: VERIFIER_LIMITS,
      custody: "agent",
      attested: NOTHING_ATTESTED,
      nodeInstanceId: null,
      entryId: null,
      expiresAt,
    },
    segments: [...segments, name],
    parentLine: [],
    isShortened: false,
  };
}
