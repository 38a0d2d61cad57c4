/** People, in version 5: who they are, what proves them, what one of them asked another to confirm. */

/**
 * `people` holds those who ended too, so that nobody comes back as somebody else. What names a human is sealed; `*_look`
 * is a keyed digest of how an address looks. Secrets of links and sessions are kept as their digest.
 */
export const PEOPLE_TABLES = `
  CREATE TABLE people (
    person_id TEXT NOT NULL PRIMARY KEY,
    owner_id TEXT UNIQUE REFERENCES owners (owner_id),
    roles TEXT NOT NULL,
    sealed BLOB NOT NULL,
    address_look TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE passkeys (
    credential_id TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (person_id),
    spki BLOB NOT NULL UNIQUE,
    counter INTEGER NOT NULL CHECK (counter >= 0),
    is_backup_eligible INTEGER NOT NULL CHECK (is_backup_eligible IN (0, 1)),
    is_backed_up INTEGER NOT NULL CHECK (is_backed_up IN (0, 1)),
    transports TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    removed_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX passkeys_by_person ON passkeys (person_id);
  CREATE TABLE person_subjects (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES people (person_id),
    since INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE organizations (
    organization_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE memberships (
    organization_id TEXT NOT NULL REFERENCES organizations (organization_id),
    person_id TEXT NOT NULL REFERENCES people (person_id),
    since INTEGER NOT NULL,
    PRIMARY KEY (organization_id, person_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX memberships_by_person ON memberships (person_id);
  CREATE TABLE person_links (
    link_sha256 TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('first', 'invitation', 'recovery')),
    roles TEXT NOT NULL,
    person_id TEXT REFERENCES people (person_id),
    owner_id TEXT REFERENCES owners (owner_id),
    organization_id TEXT REFERENCES organizations (organization_id),
    sealed_address BLOB,
    address_look TEXT,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    CHECK ((kind = 'recovery') = (person_id IS NOT NULL)),
    CHECK ((sealed_address IS NULL) = (address_look IS NULL))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX person_links_by_end ON person_links (expires_at);
  CREATE TABLE person_sessions (
    session_sha256 TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (person_id),
    origin TEXT NOT NULL,
    via TEXT NOT NULL CHECK (via IN ('passkey', 'oidc')),
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX person_sessions_by_person ON person_sessions (person_id, ended_at);
  CREATE INDEX person_sessions_by_end ON person_sessions (expires_at);
  CREATE TABLE confirmations (
    confirmation_id TEXT NOT NULL PRIMARY KEY,
    asked_by TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answer TEXT CHECK (answer IN ('confirm', 'refuse')),
    answered_by TEXT REFERENCES people (person_id),
    used_at INTEGER,
    CHECK ((answer IS NULL) = (answered_by IS NULL)),
    CHECK (used_at IS NULL OR answer = 'confirm')
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX confirmations_by_end ON confirmations (expires_at);
`;
