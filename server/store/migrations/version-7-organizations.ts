/** Organizations, in version 7: what a member may be there (null: a member and no more), and organizations that ended. */
export const ORGANIZATION_COLUMNS = `
  ALTER TABLE memberships ADD COLUMN role TEXT;
  ALTER TABLE organizations ADD COLUMN ended_at INTEGER;
`;
