/**
 * Agents as rows: what `issue` writes of an instance, without the certificate that it signs, and with an event of its own, signed and
 * logged. A million commands take half an hour of processor time, most of it certificates that nobody ever shows.
 *
 * An owner's first agent is issued for real; the events of the others carry its certificate's bytes, so that they have the size of real
 * ones. Their SVIDs' digests, serials and keys are random: the rows are like real ones, and nobody can act as them.
 */
import { randomBytes } from "node:crypto";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { encodeBase64url, encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUlid, formatUuidV7 } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
import { readServerKeyid } from "../../server/store/commands/control-record.ts";
import type { CommandDeps } from "../../server/store/commands/deps.ts";
import { readEpoch } from "../../server/store/commands/epoch.ts";
import { createInstance } from "../../server/store/commands/registry.ts";
import type { SqliteDatabase } from "../../server/store/sqlite-database.ts";

const INSERT_AGENT = `
  INSERT INTO agents (agent_id, path, name, owner_id, parent_agent_id, created_at, is_revoked)
  VALUES (?, ?, ?, ?, ?, ?, 0)`;
const INSERT_KEY = "INSERT INTO keys (spki_sha256, holder) VALUES (?, ?)";
const INSERT_SVID = `
  INSERT INTO svids (svid_sha256, instance_id, serial, spki, not_after, issuer, is_class)
  VALUES (?, ?, ?, ?, ?, ?, 0)`;
const INSERT_CLAIM = "INSERT INTO claims (kind, issuer, id, expires_at) VALUES (?, ?, ?, ?)";
const SVID_SECONDS = 3600;
const CLAIM_SECONDS = 600;
const SPKI_BYTES = 91;
const SERIAL_BYTES = 16;

/** Where an agent stands, as far as its children and its event need it. */
export interface Placed {
  readonly agentId: string;
  readonly instanceId: string;
  readonly spiffeId: string;
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
}

/** An agent to be written. */
export interface BulkAgent {
  readonly ownerId: string;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  readonly depthLeft: number;
  readonly parent: Placed | null;
  readonly ttlSeconds: number;
  /** Members of the event that the owner's first agent has and the others repeat: ticket, possession, certificate. */
  readonly details: JsonObject;
}

/** Writes rows and gives the event, in the caller's transaction. */
export class BulkWriter {
  readonly #database: SqliteDatabase;
  readonly #deps: CommandDeps;

  constructor(database: SqliteDatabase, deps: CommandDeps) {
    this.#database = database;
    this.#deps = deps;
  }

  add(agent: BulkAgent): { readonly placed: Placed; readonly event: Uint8Array } {
    const nowMs = Date.now();
    const now = Math.floor(nowMs / 1000);
    const { ownerId, path, name, parent, scope } = agent;
    const database = this.#database;
    const agentId = `agt_${formatUlid(nowMs, this.#deps.random)}`;
    database.run(INSERT_AGENT, agentId, path, name, ownerId, parent?.agentId ?? null, now);
    const draft = {
      kind: "agent",
      agentId,
      ownerId,
      parentInstanceId: parent?.instanceId ?? null,
      path,
      name,
      scope,
      limits: { depth: agent.depthLeft, fanOut: 1_000_000, budget: null },
      custody: "agent",
      attested: NOTHING_ATTESTED,
      nodeInstanceId: null,
      entryId: null,
      expiresAt: now + agent.ttlSeconds,
    } as const;
    const instance = createInstance(database, this.#deps, { draft, segments: [path, name], nowMs });
    const { instanceId, spiffeId } = instance;
    const digest = encodeBase64url(randomBytes(32));
    const issuer = this.#deps.intermediate.serialHex;
    const serial = encodeHex(randomBytes(SERIAL_BYTES));
    database.run(INSERT_KEY, encodeBase64url(randomBytes(32)), instanceId);
    database.run(
      INSERT_SVID,
      digest,
      instanceId,
      serial,
      randomBytes(SPKI_BYTES),
      now + SVID_SECONDS,
      issuer,
    );
    const jti = formatUlid(nowMs, this.#deps.random);
    const claimed =
      parent === null ? { kind: "ticket", by: ownerId } : { kind: "grant", by: parent.instanceId };
    database.run(INSERT_CLAIM, claimed.kind, claimed.by, jti, now + CLAIM_SECONDS);
    const chain = [...(parent?.chain ?? [`owner:${ownerId}`]), agentId];
    const placed = { agentId, instanceId, spiffeId, chain };
    return { placed, event: this.#sign(placed, { agent, digest, serial, nowMs }) };
  }

  #sign(
    { agentId, instanceId, spiffeId, chain }: Placed,
    options: {
      readonly agent: BulkAgent;
      readonly digest: string;
      readonly serial: string;
      readonly nowMs: number;
    },
  ): Uint8Array {
    const { agent, digest, serial, nowMs } = options;
    const record = {
      v: 1,
      event_id: formatUuidV7(nowMs, this.#deps.random),
      kind: "issue",
      allow: true,
      reasons: [],
      subject: spiffeId,
      chain: [...chain],
      details: {
        ...agent.details,
        agent_id: agentId,
        instance_id: instanceId,
        spiffe_id: spiffeId,
        owner: agent.ownerId,
        parent: agent.parent?.spiffeId ?? null,
        scope: [...agent.scope],
        limits: { depth: agent.depthLeft, fan_out: 1_000_000, budget: null },
        expires_at: Math.floor(nowMs / 1000) + agent.ttlSeconds,
        svid_sha256: digest,
        serial,
      },
      principal: "enrollee:bench",
      intent_sha256: null,
      epoch: readEpoch(this.#database),
      from: { peer: "127.0.0.1" },
      time: formatTime(nowMs),
    };
    const keyid = readServerKeyid(this.#database, this.#deps);
    return encodeUtf8(issueEnvelope("control", record, this.#deps.serverSigner, keyid));
  }
}
