/**
 * The tables of the embedded state store, and how its file is opened.
 *
 * Every table is STRICT, so a value of the wrong type is refused by SQLite too. Nothing here is a secret that opens: private
 * keys are in sealed files, upstream secrets are sealed under keys from elsewhere, tokens are never stored, tickets
 * appear only once they are used up.
 *
 * @see docs/storage.md
 */
import { chmodSync, closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { APPROVAL_TABLES } from "./approval-rows.ts";
import { BROKER_TABLES } from "./broker-rows.ts";
import { BUDGET_TABLES } from "./budget-rows.ts";
import { FEDERATION_TABLES } from "./federation-rows.ts";
import { GATEWAY_TABLES } from "./gateway-rows.ts";
import { MCP_TABLES } from "./mcp-rows.ts";
import { OAUTH_TABLES } from "./oauth-rows.ts";
import { POLICY_TABLES } from "./policy-rows.ts";
import { SqliteDatabase } from "./sqlite-database.ts";

const FILE_NAME = "state.db";
const SCHEMA_VERSION = 4;
/** Longer than any transaction of ours; another process at the file is a mistake that must not hang us. */
const BUSY_TIMEOUT_MS = 2000;

const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA trusted_schema = OFF;
  PRAGMA journal_size_limit = 67108864;
`;

/**
 * `keys` holds every key that was ever certified or registered, for ever: a key is never used twice. `claims` holds
 * what is single use until it expires. `entries` holds removed ones too, so that none is registered again. `feed` is
 * the epoch: its largest key. `outbox` is what the ledger is owed. `revocations` dates the epochs that revoked
 * somebody; `issuers` are the certificates that issued SVIDs, by serial; `status_slots` are the places of JWT-SVIDs in
 * the token status lists. An SVID that a foreign issuer made has no row in `issuers`.
 */
const TABLES = `
  CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE owners (
    owner_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spki BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_epoch INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE agents (
    agent_id TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    owner_id TEXT NOT NULL REFERENCES owners (owner_id),
    parent_agent_id TEXT REFERENCES agents (agent_id),
    created_at INTEGER NOT NULL,
    is_revoked INTEGER NOT NULL CHECK (is_revoked IN (0, 1)),
    revoked_at INTEGER,
    UNIQUE (path, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX agents_by_owner ON agents (owner_id, is_revoked);
  CREATE INDEX agents_by_parent ON agents (parent_agent_id);
  CREATE TABLE entries (
    entry_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('agent', 'node')),
    owner_id TEXT REFERENCES owners (owner_id),
    document TEXT NOT NULL,
    envelope TEXT,
    first_selector TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    removed_epoch INTEGER,
    CHECK ((kind = 'agent') = (owner_id IS NOT NULL)),
    CHECK ((kind = 'agent') = (envelope IS NOT NULL)),
    CHECK ((kind = 'agent') = (expires_at IS NOT NULL))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX entries_by_owner ON entries (owner_id, entry_id);
  CREATE INDEX entries_by_owner_end ON entries (owner_id, removed_epoch, expires_at);
  CREATE INDEX entries_by_selector ON entries (kind, first_selector);
  CREATE TABLE entry_nodes (
    node TEXT NOT NULL,
    entry_id TEXT NOT NULL REFERENCES entries (entry_id),
    PRIMARY KEY (node, entry_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE join_tokens (
    token_sha256 TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX join_tokens_by_end ON join_tokens (expires_at);
  CREATE TABLE instances (
    instance_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('agent', 'verifier', 'node')),
    spiffe_id TEXT NOT NULL,
    agent_id TEXT REFERENCES agents (agent_id),
    owner_id TEXT REFERENCES owners (owner_id),
    parent_instance_id TEXT REFERENCES instances (instance_id),
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    depth INTEGER NOT NULL CHECK (depth >= 0),
    fan_out INTEGER NOT NULL CHECK (fan_out >= 0),
    budget INTEGER CHECK (budget >= 0),
    custody TEXT NOT NULL CHECK (custody IN ('agent', 'delivered', 'sidecar')),
    attested TEXT,
    composition_sha256 TEXT,
    node_instance_id TEXT REFERENCES instances (instance_id),
    entry_id TEXT REFERENCES entries (entry_id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_epoch INTEGER,
    CHECK ((kind = 'agent') = (agent_id IS NOT NULL)),
    CHECK ((agent_id IS NULL) = (owner_id IS NULL)),
    CHECK (node_instance_id IS NULL OR kind = 'agent')
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX instances_by_parent ON instances (parent_instance_id, revoked_epoch, expires_at, budget);
  CREATE INDEX instances_by_owner ON instances (owner_id, revoked_epoch, expires_at);
  CREATE INDEX instances_by_owner_age ON instances (owner_id, created_at);
  CREATE INDEX instances_by_agent ON instances (agent_id);
  CREATE INDEX instances_by_revocation ON instances (revoked_epoch) WHERE revoked_epoch IS NOT NULL;
  CREATE TABLE issuers (
    serial TEXT NOT NULL PRIMARY KEY,
    der BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX instances_by_node ON instances (node_instance_id) WHERE node_instance_id IS NOT NULL;
  CREATE TABLE svids (
    svid_sha256 TEXT NOT NULL PRIMARY KEY,
    instance_id TEXT NOT NULL REFERENCES instances (instance_id),
    serial TEXT NOT NULL UNIQUE,
    spki BLOB NOT NULL,
    not_after INTEGER NOT NULL,
    issuer TEXT REFERENCES issuers (serial),
    is_class INTEGER NOT NULL CHECK (is_class IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX svids_by_end ON svids (not_after);
  CREATE INDEX svids_by_instance ON svids (instance_id);
  CREATE INDEX svids_by_issuer ON svids (issuer, not_after);
  CREATE TABLE status_slots (
    page INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    instance_id TEXT NOT NULL REFERENCES instances (instance_id),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (page, slot)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX status_slots_by_end ON status_slots (expires_at);
  CREATE INDEX status_slots_by_instance ON status_slots (instance_id);
  CREATE TABLE server_svids (
    svid_sha256 TEXT NOT NULL PRIMARY KEY,
    spki_sha256 TEXT NOT NULL,
    not_after INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE keys (
    spki_sha256 TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE claims (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, issuer, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX claims_by_end ON claims (expires_at);
  CREATE TABLE feed (
    epoch INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN
      ('instance', 'agent', 'owner', 'narrowed', 'policy', 'entry', 'authority', 'federation')),
    id TEXT NOT NULL
  ) STRICT;
  CREATE TABLE revocations (
    epoch INTEGER NOT NULL PRIMARY KEY REFERENCES feed (epoch),
    revoked_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX revocations_by_date ON revocations (revoked_at);
  CREATE TABLE authority_slots (
    slot_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('root', 'intermediate', 'jwt', 'wit')),
    state TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'superseded', 'retired', 'tainted', 'revoked')),
    spki BLOB NOT NULL UNIQUE,
    custody TEXT NOT NULL CHECK (custody IN ('sealed', 'pkcs11', 'aws-kms')),
    key_ref TEXT,
    certificate BLOB,
    issuer_id TEXT REFERENCES authority_slots (slot_id),
    expires_at INTEGER,
    prepared_at INTEGER NOT NULL,
    activated_at INTEGER,
    superseded_at INTEGER,
    CHECK ((kind IN ('jwt', 'wit')) = (certificate IS NULL)),
    CHECK ((kind = 'intermediate') = (issuer_id IS NOT NULL))
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE successions (
    sequence INTEGER NOT NULL PRIMARY KEY,
    signer_id TEXT NOT NULL REFERENCES authority_slots (slot_id),
    envelope TEXT NOT NULL
  ) STRICT;
  CREATE TABLE outbox (
    outbox_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    intent TEXT,
    control TEXT NOT NULL
  ) STRICT;
  ${FEDERATION_TABLES}
  ${BUDGET_TABLES}
  ${GATEWAY_TABLES}
  ${OAUTH_TABLES}
  ${BROKER_TABLES}
  ${MCP_TABLES}
  ${POLICY_TABLES}
  ${APPROVAL_TABLES}
`;

/** The writer's connection; makes the file (0600) and its tables when there are none. */
export function openForWriting(dataDir: string): SqliteDatabase {
  const path = join(dataDir, FILE_NAME);
  createPrivateFile(path);
  return prepare(new SqliteDatabase(path, { timeout: BUSY_TIMEOUT_MS }));
}

/** A store in memory, with the same tables; for the tests of commands. */
export function openInMemory(): SqliteDatabase {
  return prepare(new SqliteDatabase(":memory:", {}));
}

/** A connection that cannot write; the writer must have opened the file before. */
export function openForReading(dataDir: string): SqliteDatabase {
  return new SqliteDatabase(join(dataDir, FILE_NAME), { readOnly: true, timeout: BUSY_TIMEOUT_MS });
}

/** SQLite gives the write-ahead log the mode of the database, so one mode is enough. */
function createPrivateFile(path: string): void {
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
}

function prepare(database: SqliteDatabase): SqliteDatabase {
  database.exec(PRAGMAS);
  const version = database.get("PRAGMA user_version")?.integer("user_version");
  if (version === 0)
    database.exec(`BEGIN IMMEDIATE; ${TABLES} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
  else if (version !== SCHEMA_VERSION) {
    throw new TrustWardenError("config_invalid", { reason: "the state store is of another version" });
  }
  return database;
}
