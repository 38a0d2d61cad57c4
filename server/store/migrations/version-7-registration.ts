/** Registration, in version 7: how fast an owner makes agents, asked once for each that is new. */
export const REGISTRATION_INDEXES = `
  CREATE INDEX agents_by_owner_age ON agents (owner_id, created_at) WHERE parent_agent_id IS NULL;
`;
