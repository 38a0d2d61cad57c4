/** What owners do fast, in version 7: new agents and stops of jobs; and which names look alike. */

/** `lookOf` (`core/agentid/look.ts`) of a path and name, as a published step must have it: a test compares the two. */
export const LOOK_OF_LABEL = `replace(replace(replace(replace(replace(path || '/' || name, '0', 'o'), '1', 'l'), 'i', 'l'), 'rn', 'm'), '_', '-')`;

export const REGISTRATION_INDEXES = `
  CREATE INDEX agents_by_owner_age ON agents (owner_id, created_at) WHERE parent_agent_id IS NULL;
  CREATE INDEX feed_by_target ON feed (kind, id, epoch);
  CREATE INDEX agents_by_look ON agents (${LOOK_OF_LABEL});
`;
