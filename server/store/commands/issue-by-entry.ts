/**
 * Issues an instance by a registration entry: an owner's standing permission, and somebody's word for what the workload
 * is. A node vouches for the processes of its own host; evidence is vouched for by whoever signed it.
 *
 * Everything that the identity says comes from the entry; the selectors only decide whether it is given.
 */

import { requireShortWildcard, shortenLifetime } from "@trustwarden/core/agentid/delegation.ts";
import { limitsOf } from "@trustwarden/core/agentid/enrolment.ts";
import { isForNode } from "@trustwarden/core/agentid/registration-entry.ts";
import type { AttestationFacts } from "@trustwarden/core/attestation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { InstanceState } from "../ports.ts";
import type { EntryAsker, EntryIdentity, EntryIssueCommand } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type Admission, admitAgent, bear, requireLiveOwner } from "./admission.ts";
import { claimEvidence } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { type AgentEntry, findMatchingEntry, requireLiveEntry } from "./entries.ts";
import { NO_PARENT_EXPIRY } from "./issue.ts";
import { issueClass } from "./issue-class.ts";
import { verifyLiveNode } from "./live-instance.ts";

/** Who vouched, proven in this transaction. */
interface Voucher {
  readonly type: string;
  readonly strength: AttestationFacts["strength"];
  readonly selectors: readonly string[];
  readonly node: InstanceState | null;
  /** For the event. */
  readonly details: JsonObject;
}

/**
 * @throws TrustWardenError the codes of `verifyLiveNode`, `requireLiveEntry` and `findMatchingEntry`,
 *   `entry_not_for_node`, `entry_not_matched`, `attestation_replayed`, `owner_unknown`, `identity_revoked`,
 *   `scope_wildcard_too_long_lived`, `name_taken`, `quota_exceeded`, `key_reused`.
 */
export function issueByEntry(
  database: SqliteDatabase,
  command: EntryIssueCommand,
  deps: CommandDeps,
): CommandResult<EntryIdentity> {
  const { context, key, classKey, compositionSelectors, asker } = command;
  const now = secondsOf(context);
  const voucher = verifyVoucher(database, asker, now);
  const selectors = [...voucher.selectors, ...compositionSelectors];
  const entry =
    command.entryId === null
      ? findMatchingEntry(database, { kind: "agent", selectors, now })
      : requireLiveEntry(database, command.entryId, now);
  requireMatch(entry, { selectors, node: voucher.node });
  requireLiveOwner(database, entry.document.owner);
  if (asker.kind === "evidence") claimEvidence(database, asker.attestation);
  const { type, strength } = voucher;
  const attested = {
    type,
    strength,
    selectors: selectors.toSorted(),
    compositionSha256: command.compositionSha256,
  };
  const admission = admit(database, deps, { command, entry, attested, node: voucher.node });
  const { spki, possession } = key;
  const details = {
    via: "entry",
    enrolment: entry.envelope,
    possession,
    entry_id: entry.entryId,
    attested: { type, strength, selectors: attested.selectors, ...voucher.details },
  };
  const { instance, identity, event } = bear(database, deps, { context, admission, spki, details });
  const ofClass = issueClass(database, deps, { instance, classKey, now });
  return {
    value: { ...identity, ...ofClass.value, entryId: entry.entryId, hint: entry.document.hint },
    draft: { kind: "issue", ...event, details: { ...event.details, ...ofClass.details } },
  };
}

function verifyVoucher(database: SqliteDatabase, asker: EntryAsker, now: number): Voucher {
  if (asker.kind === "node") {
    const { nodeInstanceId, nodeSvidSha256, strength, selectors, facts } = asker;
    const node = verifyLiveNode(database, { nodeInstanceId, nodeSvidSha256, now });
    return {
      type: "node",
      strength,
      // Which host it is follows from who asks; a node cannot say it of itself.
      selectors: [...selectors, `node:${node.name}`],
      node,
      details: { node: node.spiffeId, facts },
    };
  }
  const { type, selectors, subject, claims } = asker.attestation;
  const details = { subject, facts: claims, evidence_sha256: asker.evidenceSha256 };
  return { type, strength: "network", selectors, node: null, details };
}

function requireMatch(
  { entryId, document }: AgentEntry,
  workload: { readonly selectors: readonly string[]; readonly node: InstanceState | null },
): void {
  const { selectors, node } = workload;
  if (node !== null && !isForNode(document, node.name)) {
    throw new TrustWardenError("entry_not_for_node", { entryId, node: node.name });
  }
  const known = new Set(selectors);
  const missing = document.selectors.find((selector) => !known.has(selector));
  if (missing !== undefined) throw new TrustWardenError("entry_not_matched", { entryId, missing });
}

function admit(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: {
    readonly command: EntryIssueCommand;
    readonly entry: AgentEntry;
    readonly attested: AttestationFacts;
    readonly node: InstanceState | null;
  },
): Admission {
  const { command, entry, attested, node } = options;
  const { context, custody } = command;
  const { path, name, scope, limits, owner, iat, ttl_seconds: ttlSeconds } = entry.document;
  const now = secondsOf(context);
  const { expiresAt } = shortenLifetime({ ttlSeconds, now, parentExpiresAt: NO_PARENT_EXPIRY });
  requireShortWildcard({ scope, expiresAt }, now);
  return admitAgent(database, deps, {
    context,
    enrolmentIssuedAt: iat,
    ownerId: owner,
    path,
    name,
    scope,
    limits: limitsOf(limits),
    expiresAt,
    parentLine: [],
    isShortened: false,
    // A node or a platform vouched for a workload that is there: no loop of its owner's key.
    workBits: null,
    origin: { custody, attested, nodeInstanceId: node?.instanceId ?? null, entryId: entry.entryId },
  });
}
