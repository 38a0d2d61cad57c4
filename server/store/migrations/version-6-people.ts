/** People, in version 6: who made them what they are. Principals, separated by spaces; null for people of before. */
export const PEOPLE_COLUMNS = `
  ALTER TABLE person_links ADD COLUMN created_by TEXT;
  ALTER TABLE people ADD COLUMN vouched_by TEXT;
  ALTER TABLE people ADD COLUMN vouched_at INTEGER;
  CREATE INDEX confirmations_by_creation ON confirmations (created_at, confirmation_id);
`;
