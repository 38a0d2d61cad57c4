/**
 * The tables of version 4, from which every state store of today comes. Frozen: what changes is a step of its own.
 *
 * `keys` holds every key that was ever certified or registered, for ever: a key is never used twice. `claims` holds
 * what is single use until it expires. `entries` holds removed ones too, so that none is registered again. `feed` is
 * the epoch: its largest key. `outbox` is what the ledger is owed. `revocations` dates the epochs that revoked
 * somebody; `issuers` are the certificates that issued SVIDs, by serial; `status_slots` are the places of JWT-SVIDs in
 * the token status lists. An SVID that a foreign issuer made has no row in `issuers`.
 *
 * In `federations`, `bundle` is the latest document; a foreign agent is the instance that its SPIFFE ID was registered as
 * last. The use of an instance goes with the instance's row of `budget_use` some time after its end.
 * `client_assertions` remembers the key that an assertion was first shown with, so that a thief's is another. A deleted
 * secret leaves no row; of a replaced version `ends_at` is when it goes. A removed upstream takes its catalogue
 * (`mcp_pins`) with it: another of that name begins with nothing approved. `approvals` are removed some time after they
 * end; `labels` with nobody; `freezes` holds one row or none.
 */

/** Every table and index, in an order in which they can be made. */
export const VERSION_4 = `
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
  CREATE TABLE federations (
    trust_domain TEXT NOT NULL PRIMARY KEY,
    profile TEXT CHECK (profile IN ('https_web', 'https_spiffe')),
    url TEXT,
    endpoint_spiffe_id TEXT,
    web_ca TEXT,
    bundle TEXT,
    created_at INTEGER NOT NULL,
    changed_at INTEGER,
    CHECK ((profile IS NULL) = (url IS NULL)),
    CHECK ((bundle IS NULL) = (changed_at IS NULL))
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE foreign_agents (
    spiffe_id TEXT NOT NULL PRIMARY KEY,
    instance_id TEXT NOT NULL REFERENCES instances (instance_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE budgets (
    subject_id TEXT NOT NULL,
    window TEXT NOT NULL CHECK (window IN ('lifetime', 'day', 'hour')),
    kind TEXT NOT NULL CHECK (kind IN ('owner', 'agent', 'instance')),
    calls INTEGER,
    tokens INTEGER,
    micro_usd INTEGER,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (subject_id, window)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE budget_use (
    subject_id TEXT NOT NULL,
    window TEXT NOT NULL CHECK (window IN ('lifetime', 'day', 'hour')),
    buckets TEXT NOT NULL,
    PRIMARY KEY (subject_id, window)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE upstreams (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN (
      'openai', 'anthropic', 'mcp', 'http', 'a2a', 'egress', 'postgresql')),
    url TEXT NOT NULL,
    ca TEXT,
    allow_private INTEGER NOT NULL CHECK (allow_private IN (0, 1)),
    secret TEXT,
    settings TEXT NOT NULL,
    changed_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE access_tokens (
    jti TEXT NOT NULL PRIMARY KEY,
    client_instance_id TEXT NOT NULL REFERENCES instances (instance_id),
    subject_instance_id TEXT NOT NULL REFERENCES instances (instance_id),
    page INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX access_tokens_by_end ON access_tokens (expires_at);
  CREATE INDEX access_tokens_by_place ON access_tokens (page, expires_at);
  CREATE TABLE client_assertions (
    assertion_sha256 TEXT NOT NULL PRIMARY KEY,
    confirmation TEXT NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX client_assertions_by_end ON client_assertions (expires_at);
  CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    secret_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('static', 'canary', 'oauth')),
    settings TEXT NOT NULL,
    is_disabled INTEGER NOT NULL CHECK (is_disabled IN (0, 1)),
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE secret_versions (
    name TEXT NOT NULL REFERENCES secrets (name),
    version INTEGER NOT NULL CHECK (version > 0),
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER,
    PRIMARY KEY (name, version)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE mcp_pins (
    upstream TEXT NOT NULL REFERENCES upstreams (name) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN (
      'tool', 'resource', 'template', 'prompt', 'instructions')),
    name TEXT NOT NULL,
    approved_sha256 TEXT,
    approved_document TEXT,
    seen_sha256 TEXT,
    seen_document TEXT,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (upstream, kind, name),
    CHECK ((approved_sha256 IS NULL) = (approved_document IS NULL)),
    CHECK ((seen_sha256 IS NULL) = (seen_document IS NULL)),
    CHECK (approved_sha256 IS NOT NULL OR seen_sha256 IS NOT NULL)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE custom_policy (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    key_id TEXT NOT NULL,
    bundle BLOB NOT NULL,
    sha256 TEXT NOT NULL,
    loaded_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE approvals (
    approval_id TEXT NOT NULL PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES owners (owner_id),
    instance_id TEXT NOT NULL REFERENCES instances (instance_id),
    request TEXT NOT NULL,
    parameters TEXT NOT NULL,
    body TEXT,
    salt BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answer TEXT CHECK (answer IN ('approve', 'deny')),
    answered_at INTEGER,
    envelope TEXT,
    used_by TEXT,
    CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CHECK ((answer IS NULL) = (envelope IS NULL)),
    CHECK (used_by IS NULL OR answer = 'approve')
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX approvals_by_owner ON approvals (owner_id, expires_at);
  CREATE INDEX approvals_by_instance ON approvals (instance_id, expires_at);
  CREATE INDEX approvals_by_end ON approvals (expires_at);
  CREATE TABLE labels (
    holder TEXT NOT NULL,
    label TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (holder, label)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE freezes (
    only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
  ) STRICT;
`;
