/**
 * Agents as rows: what `issue` writes of an instance, without the certificate that it signs, and with an event of its own, signed and
 * logged. A million commands take half an hour of processor time, most of it certificates that nobody ever shows.
 *
 * An owner's first agent is issued for real; the events of the others carry its certificate's bytes, so that they have the size of real
 * ones. Their SVIDs' digests, serials and keys are random: the rows are like real ones, and nobody can act as them.
 */
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
const DIGEST_BYTES = 32;
const SPKI_BYTES = 91;
const SERIAL_BYTES = 16;
const MAX_UINT32 = 0xffff_ffff;

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
  readonly #expected: number;
  #added = 0;
  #keyid = "";
  #epoch = 0;

  /** @param expected - agents that will be added in all. */
  constructor(database: SqliteDatabase, deps: CommandDeps, expected: number) {
    this.#database = database;
    this.#deps = deps;
    this.#expected = expected;
  }

  /** At the beginning of each transaction: what is the same in all of its events. */
  begin(): void {
    this.#keyid = readServerKeyid(this.#database, this.#deps);
    this.#epoch = readEpoch(this.#database);
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
    this.#added += 1;
    const digest = encodeBase64url(this.#ascending(DIGEST_BYTES));
    const issuer = this.#deps.intermediate.serialHex;
    const serial = encodeHex(this.#ascending(SERIAL_BYTES));
    database.run(INSERT_KEY, encodeBase64url(this.#ascending(DIGEST_BYTES)), instanceId);
    database.run(
      INSERT_SVID,
      digest,
      instanceId,
      serial,
      this.#deps.random(SPKI_BYTES),
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

  /**
   * Random but for a beginning that ascends through the whole filling: rows then come to the end of their trees, instead of each
   * touching a page of its own. What is there in the end is spread as digests are.
   */
  #ascending(length: number): Uint8Array {
    const bytes = this.#deps.random(length);
    const share = Math.min(1, this.#added / this.#expected);
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, Math.floor(share * MAX_UINT32));
    return bytes;
  }

  /** Members are in the order of the canonical form, so that writing it is one pass. */
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
      allow: true,
      chain: [...chain],
      details: {
        ...agent.details,
        agent_id: agentId,
        expires_at: Math.floor(nowMs / 1000) + agent.ttlSeconds,
        instance_id: instanceId,
        limits: { budget: null, depth: agent.depthLeft, fan_out: 1_000_000 },
        owner: agent.ownerId,
        parent: agent.parent?.spiffeId ?? null,
        scope: [...agent.scope],
        serial,
        spiffe_id: spiffeId,
        svid_sha256: digest,
      },
      epoch: this.#epoch,
      event_id: formatUuidV7(nowMs, this.#deps.random),
      from: { peer: "127.0.0.1" },
      intent_sha256: null,
      kind: "issue",
      principal: "enrollee:bench",
      reasons: [],
      subject: spiffeId,
      time: formatTime(nowMs),
      v: 1,
    };
    return encodeUtf8(issueEnvelope("control", record, this.#deps.serverSigner, this.#keyid));
  }
}
