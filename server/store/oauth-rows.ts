/** Issued access tokens as rows: read alike by the commands and by the plain reads. */
import type { AccessTokenState } from "./oauth-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";

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
