/**
 * Makes a workload of a federated trust domain an agent of its owner, and takes note of each SVID that it shows.
 *
 * Nothing is issued: the instance is the registered SPIFFE ID itself, with an end and a scope, and dies like any other.
 * The events carry the owner's document and the foreign certificates, so that its intents can be checked offline.
 */
import { requireShortWildcard } from "@trustwarden/core/agentid/delegation.ts";
import { parseAgentLabel, segmentsOf } from "@trustwarden/core/agentid/names.ts";
import { parseSpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { encodeBase64, encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { AdmitSvidCommand, RegisteredForeign, RegisterForeignCommand } from "../federation-ports.ts";
import { findForeignInstance } from "../federation-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { findInstance, formatLine } from "../sqlite-instance.ts";
import { requireLiveOwner } from "./admission.ts";
import { claimOwnKey } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { verifyLiveInstance } from "./live-instance.ts";
import { claimName, createInstance, requireInstanceQuota } from "./registry.ts";

/** It hands nothing on: a child's identity would have to come from us, and its parent's does not. */
const NO_LIMITS = { depth: 0, fanOut: 0, budget: 0 } as const;
/** Its key came from its own issuer, and what that attested we do not know. */
const DELIVERED = {
  custody: "delivered",
  attested: NOTHING_ATTESTED,
  nodeInstanceId: null,
  entryId: null,
} as const;
/** Each host of a fleet has its own SVID for one SPIFFE ID; beyond this somebody floods the ledger. */
const MAX_LIVE_SVIDS = 1024;

const CLAIM = `
  INSERT INTO claims (kind, issuer, id, expires_at) VALUES ('foreign', ?, ?, ?) ON CONFLICT DO NOTHING`;
const FIND_AGENT_OWNER = "SELECT owner_id FROM agents WHERE agent_id = ?";
const FIND_BUNDLE = "SELECT bundle FROM federations WHERE trust_domain = ?";
const NAME = "UPDATE instances SET spiffe_id = ? WHERE instance_id = ?";
const REGISTER = `
  INSERT INTO foreign_agents (spiffe_id, instance_id) VALUES (?, ?)
  ON CONFLICT (spiffe_id) DO UPDATE SET instance_id = excluded.instance_id`;
const COUNT_SVIDS = "SELECT COUNT(*) AS count FROM svids WHERE instance_id = ? AND not_after > ?";
const INSERT_SVID = `
  INSERT INTO svids (svid_sha256, instance_id, serial, spki, not_after, is_class) VALUES (?, ?, ?, ?, ?, 0)`;

/** @throws TrustWardenError as `ForeignCommands.registerForeign`. */
export function registerForeign(
  database: SqliteDatabase,
  command: RegisterForeignCommand,
  deps: CommandDeps,
): CommandResult<RegisteredForeign> {
  const { context, ownerId, spiffeId, expiresAt } = command;
  const now = secondsOf(context);
  requireLiveOwner(database, ownerId);
  requireFederated(database, spiffeId);
  requireFree(database, command, now);
  // Parsed again after crossing the thread boundary.
  const scope = parseScope(command.scope);
  requireShortWildcard({ scope, expiresAt }, now);
  const label = parseAgentLabel({ path: command.path, name: command.name });
  const { issuedAt: enrolmentIssuedAt } = command;
  // It brings no work, so beyond the easy rate it waits.
  const claim = { parentAgentId: null, enrolmentIssuedAt, workBits: 0, nowMs: context.nowMs };
  const name = { ...label, ownerId, ...claim };
  const agentId = claimName(database, deps, name);
  requireInstanceQuota(database, deps, { ownerId, now });
  const held = { scope, limits: NO_LIMITS, expiresAt, ...DELIVERED };
  const draft = { kind: "agent", agentId, ownerId, parentInstanceId: null, ...label, ...held } as const;
  const made = createInstance(database, deps, { draft, segments: segmentsOf(label), nowMs: context.nowMs });
  const { instanceId } = made;
  database.run(NAME, spiffeId, instanceId);
  database.run(REGISTER, spiffeId, instanceId);
  const chain = formatLine([made]);
  return {
    value: { agentId, instanceId, chain },
    draft: {
      kind: "issue",
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain,
      details: {
        agent_id: agentId,
        instance_id: instanceId,
        spiffe_id: spiffeId,
        owner: ownerId,
        parent: null,
        scope: [...scope],
        limits: { depth: 0, fan_out: 0, budget: 0 },
        expires_at: expiresAt,
        custody: "delivered",
        via: "foreign",
        enrolment: command.registration,
      },
    },
  };
}

/** @throws TrustWardenError as `ForeignCommands.admitSvid`. */
export function admitSvid(database: SqliteDatabase, command: AdmitSvidCommand): CommandResult<null> {
  const { instanceId, spiffeId, svidSha256, serial, spki, notAfter } = command;
  const now = secondsOf(command.context);
  if (findForeignInstance(database, spiffeId) !== instanceId)
    throw new TrustWardenError("foreign_agent_unknown");
  const { instance, line } = verifyLiveInstance(database, instanceId, now);
  const count = database.get(COUNT_SVIDS, instanceId, now)?.integer("count") ?? 0;
  if (count >= MAX_LIVE_SVIDS) throw new TrustWardenError("quota_exceeded", { limit: MAX_LIVE_SVIDS });
  // Its issuer may renew for the same key; nobody else ever has it.
  claimOwnKey(database, encodeBase64url(sha256(spki)), instanceId);
  // Serials are unique within an issuer only.
  const unique = `${trustDomainOf(parseSpiffeId(spiffeId))} ${serial}`;
  database.run(INSERT_SVID, svidSha256, instanceId, unique, spki, notAfter);
  return {
    value: null,
    draft: {
      kind: "renew",
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain: formatLine(line),
      details: {
        agent_id: instance.agentId,
        instance_id: instanceId,
        spiffe_id: spiffeId,
        via: "foreign",
        svid_sha256: svidSha256,
        svid_chain: command.chain.map(encodeBase64),
        svid_expires_at: notAfter,
      },
    },
  };
}

/** Without a bundle nobody could prove to be that workload; the owner learns it now and not at the first visit. */
function requireFederated(database: SqliteDatabase, spiffeId: string): void {
  const trustDomain = trustDomainOf(parseSpiffeId(spiffeId));
  const bundle = database.get(FIND_BUNDLE, trustDomain)?.textOrNull("bundle") ?? null;
  if (bundle === null) {
    throw new TrustWardenError("trust_domain_unknown", { trustDomain });
  }
}

/** A SPIFFE ID belongs to its first owner here, and is one live instance at a time. */
function requireFree(
  database: SqliteDatabase,
  { ownerId, jti, spiffeId, expiresAt }: RegisterForeignCommand,
  now: number,
): void {
  if (database.run(CLAIM, ownerId, jti, expiresAt).changes === 0)
    throw new TrustWardenError("entry_exists", { jti });
  const known = findInstance(database, findForeignInstance(database, spiffeId) ?? "");
  if (known === undefined) return;
  // Of whoever has the agent now, which may have been given to it.
  const holder = database.get(FIND_AGENT_OWNER, known.agentId ?? "")?.text("owner_id");
  if (holder !== ownerId) throw new TrustWardenError("name_taken");
  if (!known.isRevoked && known.expiresAt > now) throw new TrustWardenError("entry_exists", { spiffeId });
}
