/** The salt of what a second admin confirms, in version 8; null for what was asked before. */
export const CONFIRMATION_SALT = `
  ALTER TABLE confirmations ADD COLUMN salt TEXT;
`;
