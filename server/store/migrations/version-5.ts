/**
 * Version 5. Each table of this version is added here, in the dialect that SQLite and PostgreSQL share: no `rowid`, no
 * function of one of them, truth values as 0 and 1.
 */
import { STOP_TABLES } from "../stop-rows.ts";
import type { MigrationStep } from "./steps.ts";
import { PEOPLE_TABLES } from "./version-5-people.ts";

/** What a feed names is checked where it is parsed: what can be stopped grows with every version. */
const FEED_KIND = "CHECK (length(kind) BETWEEN 1 AND 32)";

/** Pages of the tree of owners and agents are ranges of these, whatever its size (`tree-reads.ts`). */
const TREE = `
  CREATE INDEX agents_by_name ON agents (name, agent_id);
  CREATE INDEX agents_by_place ON agents (owner_id, parent_agent_id, name, agent_id);
  CREATE INDEX instances_by_end ON instances (expires_at, revoked_epoch) WHERE revoked_epoch IS NULL;
`;

/** A page of an owner's agents is a range of this, whatever the owner has. */
const PAGES = `
  CREATE INDEX agents_by_owner_id ON agents (owner_id, agent_id);
`;

const TABLES = TREE + PAGES + PEOPLE_TABLES + STOP_TABLES;

/** The step from version 4. */
export const VERSION_5: MigrationStep = {
  version: 5,
  phase: "expand",
  sql: TABLES,
  widens: [{ table: "feed", column: "kind", check: FEED_KIND }],
  retires: [],
};
