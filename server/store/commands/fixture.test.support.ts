/**
 * What the tests of the store share: a trust domain with fresh keys, and commands as the server would send them.
 * Test code only; nothing in the server imports it.
 */
import { randomBytes } from "node:crypto";
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { foundSlots, newCertificateSlot, newTokenSlot } from "@trustwarden/core/agentid/authority-slots.ts";
import type { Limits } from "@trustwarden/core/agentid/delegation.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUlid, formatUuidV7 } from "@trustwarden/core/id.ts";
import { issueIntent } from "@trustwarden/core/intent.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { openSigningKey } from "../../signer/signing-key.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../../signer/software.ts";
import type {
  CommandContext,
  Committed,
  IssueCommand,
  IssuedIdentity,
  RenewCommand,
  StoreCommands,
} from "../ports.ts";
import type { Revoked, StopTarget } from "../revocation-ports.ts";
import { openInMemory } from "../schema.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { runGroup } from "../writer-group.ts";
import type { WriterCommand } from "../writer-protocol.ts";
import { loadAuthority } from "./change-authority.ts";
import { type CommandDeps, createCommandDeps, type IssuingKeys, type IssuingRules } from "./deps.ts";

/** 2027-01-15; a fixed clock that the tests move. */
export const NOW_MS = 1_800_000_000_000;
export const NOW = NOW_MS / 1000;

export const RULES: IssuingRules = {
  quotas: {
    agentsPerOwner: 25,
    liveInstancesPerOwner: 50,
    issuesPerOwnerPerHour: 100,
    easyAgentsPerOwnerPerMinute: 100,
  },
  delegationMode: "strict",
  classes: { read: "C", write: "B", delete: "A", "read:secrets": "A" },
  maxEntryBytes: 16_384,
};

/** A trust domain that was made a moment before `nowMs`. */
export interface TestAuthority {
  readonly keys: IssuingKeys;
  readonly bundle: TrustBundle;
  /** Of the intermediate and of the JWT key. */
  readonly privateKeys: readonly Uint8Array[];
}

export function createTestAuthority({
  nowMs = NOW_MS,
  intermediateTtlSeconds = 7_776_000,
} = {}): TestAuthority {
  const intermediateKeyPkcs8 = createPrivateKeyPkcs8("ES256");
  const jwtKeyPkcs8 = createPrivateKeyPkcs8("ES256");
  const jwtSigner = createSoftwareSigner(jwtKeyPkcs8);
  const now = Math.floor(nowMs / 1000) - 1;
  const authority = createAuthority({
    trustDomain: parseTrustDomain("acme.test"),
    rootSigner: createSoftwareSigner(createPrivateKeyPkcs8("ES256")),
    intermediateSigner: createSoftwareSigner(intermediateKeyPkcs8),
    jwtSigner,
    random: randomBytes,
    now,
    intermediateTtlSeconds,
  });
  const place = { custody: "sealed", keyRef: null } as const;
  const intermediate = newCertificateSlot(authority.intermediate, { ...place, issuer: authority.root });
  const jwt = newTokenSlot("jwt", encodeSpki(jwtSigner.publicKey), place);
  const root = newCertificateSlot(authority.root, { ...place, issuer: null });
  const keys: IssuingKeys = {
    trustDomain: "acme.test",
    firstAuthority: foundSlots([root, intermediate, jwt], now),
    signingKeys: {
      [intermediate.id]: { kind: "sealed", pkcs8: intermediateKeyPkcs8 },
      [jwt.id]: { kind: "sealed", pkcs8: jwtKeyPkcs8 },
    },
    token: null,
    kept: null,
    jwtIssuer: "https://warden.acme.test",
    serverKeyPkcs8: createPrivateKeyPkcs8("ES256"),
  };
  return { keys, bundle: authority.bundle, privateKeys: [intermediateKeyPkcs8, jwtKeyPkcs8] };
}

/** A key pair of an agent, a verifier or an owner. */
export interface TestKey {
  readonly signer: Signer;
  readonly spki: Uint8Array;
  readonly thumbprint: string;
}

export function createTestKey(): TestKey {
  const signer = createSoftwareSigner(createPrivateKeyPkcs8("ES256"));
  return { signer, spki: encodeSpki(signer.publicKey), thumbprint: formatThumbprint(signer.publicKey) };
}

/** An operator's command, or with an intent an agent's. */
export function contextAt(nowMs: number, intent: CommandContext["intent"] = null): CommandContext {
  return { nowMs, principal: "operator", peer: "127.0.0.1", intent };
}

export interface IssueOptions {
  readonly nowMs?: number;
  readonly name?: string;
  readonly path?: string;
  readonly scope?: readonly string[];
  readonly limits?: Limits;
  readonly ttlSeconds?: number;
  readonly jti?: string;
  readonly key?: TestKey;
  readonly enrolmentIssuedAt?: number;
}

/** An owner's ticket as the server hands it to the store. */
export function ticketCommand(ownerId: string, options: IssueOptions = {}): IssueCommand {
  return { ...commandOf(options), via: "ticket", ownerId, parent: null };
}

/** A parent's grant as the server hands it to the store. */
export function grantCommand(
  parent: { readonly instanceId: string; readonly svidSha256: string },
  options: IssueOptions = {},
): IssueCommand {
  return {
    ...commandOf({
      name: "child",
      scope: ["read:tx"],
      limits: { depth: 1, fanOut: 4, budget: 10 },
      ttlSeconds: 600,
      ...options,
    }),
    via: "grant",
    ownerId: null,
    parent: { instanceId: parent.instanceId, svidSha256: parent.svidSha256 },
  };
}

export function verifierCommand(options: IssueOptions = {}): IssueCommand {
  return {
    ...commandOf({ name: "finance-db", path: "", scope: [], ...options }),
    via: "verifier-ticket",
    ownerId: null,
    parent: null,
  };
}

function commandOf(options: IssueOptions): Omit<IssueCommand, "via" | "ownerId" | "parent"> {
  const nowMs = options.nowMs ?? NOW_MS;
  const now = Math.floor(nowMs / 1000);
  const key = options.key ?? createTestKey();
  return {
    context: { ...contextAt(nowMs), principal: "enrollee:test" },
    jti: options.jti ?? formatUlid(nowMs, randomBytes),
    enrolmentExpiresAt: now + 60,
    enrolmentIssuedAt: options.enrolmentIssuedAt ?? now,
    path: options.path ?? "team/finance",
    name: options.name ?? "orchestrator",
    scope: parseScope(options.scope ?? ["read:tx", "write:reports"]),
    ttlSeconds: options.ttlSeconds ?? 3600,
    limits: options.limits ?? { depth: 2, fanOut: 4, budget: 100 },
    custody: "agent",
    compositionSha256: null,
    spki: key.spki,
    thumbprint: key.thumbprint,
    enrolment: '{"the":"ticket"}',
    possession: '{"the":"proof"}',
    classKey: null,
  };
}

/** A renewal of a live instance with a fresh key. */
export function renewCommand(
  { instanceId, svidSha256 }: { readonly instanceId: string; readonly svidSha256: string },
  { nowMs = NOW_MS, key = createTestKey() }: { readonly nowMs?: number; readonly key?: TestKey } = {},
): RenewCommand {
  const { spki, thumbprint } = key;
  return {
    context: contextAt(nowMs),
    instanceId,
    svidSha256,
    spki,
    thumbprint,
    possession: '{"the":"proof"}',
    classKey: null,
    compositionSha256: null,
  };
}

/** A signed intent of an agent for the server. */
export function intentOf(
  agent: TestIdentity,
  { nowMs = NOW_MS, eventId = formatUuidV7(nowMs, randomBytes) } = {},
): NonNullable<CommandContext["intent"]> {
  const { identity, svidSha256, key } = agent;
  const { envelope, sha256 } = issueIntent(
    {
      v: 1,
      event_id: eventId,
      agent: { id: identity.agentId ?? "", spiffe_id: identity.spiffeId, svid_sha256: svidSha256 },
      action: "revoke:instance",
      resource: "trustwarden://acme.test/v1/revocations",
      request: null,
      params: null,
      aud: "spiffe://acme.test/trustwarden/server/1",
      job: null,
      time: formatTime(nowMs),
      exp: Math.floor(nowMs / 1000) + 60,
      seq: 1,
      prev: null,
      seen: null,
    },
    key.signer,
  );
  return { envelope, sha256, eventId };
}

/** An agent or verifier that was issued in a test, with what it needs to go on. */
export interface TestIdentity {
  readonly identity: IssuedIdentity;
  readonly instanceId: string;
  readonly svidSha256: string;
  readonly key: TestKey;
}

/** A store in memory whose commands run as the writer runs them, one a group. */
export interface TestStore {
  readonly database: SqliteDatabase;
  readonly deps: CommandDeps;
  readonly authority: TestAuthority;
  /** Runs one command; throws what it was refused with. */
  run<T = unknown>(command: WriterCommand): Committed<T>;
  /** A new owner's id. */
  owner(name?: string): string;
  /** A root agent by an owner's ticket. */
  root(ownerId: string, options?: IssueOptions): TestIdentity;
  /** A child by a parent's grant. */
  child(parent: TestIdentity, options?: IssueOptions): TestIdentity;
  verifier(options?: IssueOptions): TestIdentity;
  /** Every row of every table. */
  dump(): Readonly<Record<string, readonly string[]>>;
}

export function createTestStore(
  rules: Partial<IssuingRules> = {},
  authority = createTestAuthority(),
): TestStore {
  const database = openInMemory();
  const deps = createCommandDeps({
    openSigner: openSigningKey,
    keys: authority.keys,
    rules: { ...RULES, ...rules },
    random: randomBytes,
  });
  loadAuthority(database, deps, authority.keys.firstAuthority);
  function run<T>(command: WriterCommand): Committed<T> {
    const [reply] = runGroup(database, deps, [{ ...command, id: 1 }]).replies;
    if (reply === undefined) throw new Error("no reply");
    if (!reply.isDone) throw new TrustWardenError(reply.code, reply.details);
    // The one cast of the tests: the writer answers each command with its own type of value.
    return reply.value as Committed<T>;
  }
  const born = (command: IssueCommand, key: TestKey): TestIdentity => {
    const { value } = run<IssuedIdentity>({ kind: "issue", command });
    return { identity: value, instanceId: value.instanceId, svidSha256: digestOfLeaf(value), key };
  };
  run({ kind: "issueServerSvid", command: { context: contextAt(NOW_MS), reason: "start" } });
  return {
    database,
    deps,
    authority,
    run,
    owner: (name = "alice") => {
      const command = { context: contextAt(NOW_MS), name, spki: createTestKey().spki };
      return run<{ readonly ownerId: string }>({ kind: "createOwner", command }).value.ownerId;
    },
    root: (ownerId, { key = createTestKey(), ...options } = {}) =>
      born(ticketCommand(ownerId, { ...options, key }), key),
    child: (parent, { key = createTestKey(), ...options } = {}) =>
      born(grantCommand(parent, { ...options, key }), key),
    verifier: ({ key = createTestKey(), ...options } = {}) => born(verifierCommand({ ...options, key }), key),
    dump: () => dumpTables(database),
  };
}

/** base64url SHA-256 of the identity's leaf. */
export function digestOfLeaf({ svidChain: [leaf = new Uint8Array()] }: IssuedIdentity): string {
  return encodeBase64url(sha256(leaf));
}

/** Every row of every table, as JSON texts. */
export function dumpTables(database: SqliteDatabase): Readonly<Record<string, readonly string[]>> {
  const tables = database.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
  return Object.fromEntries(
    tables.map((table) => {
      const name = table.text("name");
      const columns = database
        .all(`SELECT name FROM pragma_table_info('${name}')`)
        .map((row) => row.text("name"));
      const json = `json_array(${columns.map((column) => `CASE typeof(${column}) WHEN 'blob' THEN hex(${column}) ELSE ${column} END`).join(", ")})`;
      const rows = database.all(`SELECT ${json} AS json FROM ${name}`).map((row) => row.text("json"));
      return [name, rows.sort()];
    }),
  );
}

/** A whole store, as far as its commands go. */
interface CommandedStore {
  readonly commands: Pick<StoreCommands, "createOwner" | "revoke">;
}

/** An owner with a key of its own. */
export async function createOwnerIn({ commands }: CommandedStore, name = "alice"): Promise<string> {
  const { value } = await commands.createOwner({
    context: contextAt(NOW_MS),
    name,
    spki: createTestKey().spki,
  });
  return value.ownerId;
}

/** Stops an identity. */
export function revokeIn({ commands }: CommandedStore, target: StopTarget): Promise<Committed<Revoked>> {
  return commands.revoke({ context: contextAt(NOW_MS), target, reason: "" });
}

/** How a grant names its parent. */
export function referenceOf(identity: IssuedIdentity): {
  readonly instanceId: string;
  readonly svidSha256: string;
} {
  return { instanceId: identity.instanceId, svidSha256: digestOfLeaf(identity) };
}
