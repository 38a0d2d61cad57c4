/** What servers that share a store give one another, in version 8: keys of the authority, sealed under the key that each has in a file. */

export const REPLICA_TABLES = `
  CREATE TABLE authority_keys (
    slot_id TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
`;
