/** Registration, in version 7: how fast an owner makes agents, and which names look alike, asked once for each that is new. */

/** `lookOf` (`core/agentid/look.ts`) of a path and name, as a published step must have it: a test compares the two. */
export const LOOK_OF_LABEL = `replace(replace(replace(replace(replace(path || '/' || name, '0', 'o'), '1', 'l'), 'i', 'l'), 'rn', 'm'), '_', '-')`;

export const REGISTRATION_INDEXES = `
  CREATE INDEX agents_by_owner_age ON agents (owner_id, created_at) WHERE parent_agent_id IS NULL;
  CREATE INDEX agents_by_look ON agents (${LOOK_OF_LABEL});
`;
