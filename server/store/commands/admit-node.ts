/**
 * Admits a node: by a join token that an operator handed to the host, or by evidence that one of the operator's
 * admissions matches. The node's name is the token's or the admission's, never the node's own choice.
 */
import { shortenLifetime } from "@trustwarden/core/agentid/delegation.ts";
import { parseNodeName } from "@trustwarden/core/agentid/names.ts";
import { type AttestationFacts, NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { IssuedIdentity } from "../ports.ts";
import type { AdmitNodeCommand } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { bear } from "./admission.ts";
import { claimEvidence } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { findMatchingEntry } from "./entries.ts";
import { NO_PARENT_EXPIRY } from "./issue.ts";
import { useJoinToken } from "./join-token.ts";

/** A host is looked at again every year; its SVIDs live an hour. */
const NODE_TTL_SECONDS = 31_622_400;
/** A node acts for nobody: it may ask for what owners have signed, and nothing in its own name. */
const NODE_LIMITS = { depth: 0, fanOut: 0, budget: null } as const;
const NODE_SEGMENTS = ["trustwarden", "node"] as const;

/** What a node was admitted by. */
interface Proof {
  readonly name: string;
  readonly attested: AttestationFacts;
  readonly details: JsonObject;
}

/**
 * @throws TrustWardenError `join_token_invalid`, `join_token_expired`, `join_token_used`, `entry_not_matched`,
 *   `entry_ambiguous`, `attestation_replayed`, `name_malformed`, `key_reused`.
 */
export function admitNode(
  database: SqliteDatabase,
  command: AdmitNodeCommand,
  deps: CommandDeps,
): CommandResult<IssuedIdentity> {
  const { context, spki, possession, evidenceSha256 } = command;
  const now = secondsOf(context);
  const proof = prove(database, command, now);
  const name = parseNodeName(proof.name);
  // A node that means to be another host was given somebody else's token.
  if (command.name !== null && command.name !== name) {
    throw new TrustWardenError("entry_not_matched", { field: "name" });
  }
  const lifetime = { ttlSeconds: NODE_TTL_SECONDS, now, parentExpiresAt: NO_PARENT_EXPIRY };
  const draft = {
    kind: "node",
    agentId: null,
    ownerId: null,
    parentInstanceId: null,
    path: NODE_SEGMENTS.join("/"),
    name,
    scope: parseScope([]),
    limits: NODE_LIMITS,
    custody: "agent",
    attested: proof.attested,
    nodeInstanceId: null,
    entryId: null,
    expiresAt: shortenLifetime(lifetime).expiresAt,
  } as const;
  const admission = { draft, segments: [...NODE_SEGMENTS, name], parentLine: [], isShortened: false };
  const details = { name, evidence_sha256: evidenceSha256, possession, ...proof.details };
  const { identity, event } = bear(database, deps, { context, admission, spki, details });
  return { value: identity, draft: { kind: "node", ...event } };
}

function prove(database: SqliteDatabase, { by }: AdmitNodeCommand, now: number): Proof {
  if (by.kind === "join-token") {
    const name = useJoinToken(database, by.tokenSha256, now);
    const details = { via: "join-token", token_sha256: by.tokenSha256 };
    return { name, attested: NOTHING_ATTESTED, details };
  }
  const { type, selectors, subject, claims, singleUse } = by.attestation;
  const { entryId, document } = findMatchingEntry(database, { kind: "node", selectors, now });
  claimEvidence(database, { type, singleUse });
  const attested = { ...NOTHING_ATTESTED, type, strength: "network", selectors } as const;
  return {
    name: document.name,
    attested,
    details: {
      via: "attestation",
      entry_id: entryId,
      attested: { type, strength: "network", selectors: [...selectors], subject, facts: claims },
    },
  };
}
