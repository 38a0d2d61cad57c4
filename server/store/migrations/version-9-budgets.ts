/** What each of the servers that share a store holds of a budget, in version 9; a server alone has all of it in `budget_use`. */
export const BUDGET_SHARES_TABLE = `
  CREATE TABLE budget_shares (
    subject_id TEXT NOT NULL,
    window TEXT NOT NULL CHECK (window IN ('lifetime', 'day', 'hour')),
    server TEXT NOT NULL,
    buckets TEXT NOT NULL,
    PRIMARY KEY (subject_id, window, server)
  ) STRICT, WITHOUT ROWID;
`;
