/** Secrets as rows: sealed versions and what they are bound to; read alike by the command and by the plain reads. */
import { SECRET_KINDS, type SecretKind, type SecretState, type StoredVersion } from "./broker-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND = "SELECT * FROM secrets WHERE name = ?";
const LIST = "SELECT * FROM secrets ORDER BY name";
const VERSIONS = "SELECT * FROM secret_versions WHERE name = ? ORDER BY version DESC";

export function findSecret(database: SqliteDatabase, name: string): SecretState | undefined {
  const row = database.get(FIND, name);
  return row === undefined ? undefined : parseSecret(database, row);
}

/** Every secret, by name. */
export function listSecrets(database: SqliteDatabase): readonly SecretState[] {
  return database.all(LIST).map((row) => parseSecret(database, row));
}

function parseSecret(database: SqliteDatabase, row: Row): SecretState {
  const name = row.text("name");
  return {
    secretId: row.text("secret_id"),
    name,
    kind: parseKind(row.text("kind")),
    settings: row.text("settings"),
    isDisabled: row.integer("is_disabled") === 1,
    revision: row.integer("revision"),
    createdAt: row.integer("created_at"),
    changedAt: row.integer("changed_at"),
    versions: database.all(VERSIONS, name).map(parseVersion),
  };
}

function parseVersion(row: Row): StoredVersion {
  return {
    version: row.integer("version"),
    keyId: row.text("key_id"),
    wrappedKey: row.bytes("wrapped_key"),
    ciphertext: row.bytes("ciphertext"),
    createdAt: row.integer("created_at"),
    endsAt: row.integerOrNull("ends_at"),
  };
}

function parseKind(text: string): SecretKind {
  const kind = SECRET_KINDS.find((known) => known === text);
  if (kind === undefined) throw new Error("the secrets hold an unknown kind");
  return kind;
}
