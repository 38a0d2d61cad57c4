/** Issued access tokens as rows: read alike by the commands and by the plain reads. */
import type { AccessTokenState } from "./oauth-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

/** `client_assertions` remembers the key that an assertion was first shown with, so that a thief's is another. */
export const OAUTH_TABLES = `
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
`;

const FIND = `
  SELECT client_instance_id, subject_instance_id, revoked_at FROM access_tokens WHERE jti = ?`;

/** A token that was issued and has not ended long ago. */
export function findAccessToken(database: SqliteDatabase, jti: string): AccessTokenState | undefined {
  const row = database.get(FIND, jti);
  if (row === undefined) return undefined;
  return {
    clientInstanceId: row.text("client_instance_id"),
    subjectInstanceId: row.text("subject_instance_id"),
    isRevoked: row.integerOrNull("revoked_at") !== null,
  };
}
