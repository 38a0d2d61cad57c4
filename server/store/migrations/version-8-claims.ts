/** Claim codes, in version 8: agents that registered themselves and wait for a human to answer for them. */
export const CLAIM_CODES_TABLE = `
  CREATE TABLE claim_codes (
    claim_id TEXT NOT NULL PRIMARY KEY,
    code_sha256 TEXT NOT NULL,
    thumbprint TEXT NOT NULL,
    wish TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    owner_id TEXT,
    ticket TEXT
  ) STRICT;
  CREATE UNIQUE INDEX claim_codes_by_code ON claim_codes (code_sha256);
  CREATE INDEX claim_codes_by_end ON claim_codes (expires_at);
`;
