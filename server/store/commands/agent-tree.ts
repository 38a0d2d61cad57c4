/** An agent and every agent below it, and the end of their instances. */
import type { SqliteDatabase } from "../sqlite-database.ts";

/** Begins a statement: `tree (id)` has the agent of the first parameter and all agents below it. */
export const AGENT_TREE = `
  WITH RECURSIVE tree (id) AS (
    SELECT agent_id FROM agents WHERE agent_id = ?
    UNION
    SELECT agents.agent_id FROM tree CROSS JOIN agents WHERE agents.parent_agent_id = tree.id
  )`;
const END_INSTANCES = `${AGENT_TREE}
  UPDATE instances SET revoked_epoch = ?
  WHERE revoked_epoch IS NULL AND agent_id IN (SELECT id FROM tree) RETURNING expires_at`;

/** Marks every instance in an agent's subtree; returns when each that was not marked yet would have ended, Unix seconds. */
export function endInstancesBelow(
  database: SqliteDatabase,
  agentId: string,
  epoch: number,
): readonly number[] {
  return database.all(END_INSTANCES, agentId, epoch).map((row) => row.integer("expires_at"));
}
