/** Instances as rows: read alike by the commands (in their transaction) and by the plain reads. */
import { type AttestationFacts, NOTHING_ATTESTED, STRENGTHS } from "@trustwarden/core/attestation.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import { CUSTODIES } from "@trustwarden/core/principal.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { rememberParsed } from "./parsed-texts.ts";
import { INSTANCE_KINDS, type InstanceState } from "./ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

/** Columns that `parseInstanceRow` reads. */
export const INSTANCE_COLUMNS = `instances.instance_id, instances.kind, instances.spiffe_id, instances.agent_id,
  instances.owner_id, instances.parent_instance_id, instances.path, instances.name, instances.scope, instances.depth,
  instances.fan_out, instances.budget, instances.custody, instances.attested, instances.composition_sha256,
  instances.node_instance_id, instances.entry_id, instances.created_at, instances.expires_at, instances.revoked_epoch`;

const FIND = `SELECT ${INSTANCE_COLUMNS} FROM instances WHERE instance_id = ?`;

/**
 * Walks up from an instance; ends at the root, since a parent is always older than its child. A planner with statistics
 * may think that the line is longer than all instances; `CROSS JOIN` leaves it no choice in SQLite and means the same elsewhere.
 */
const LINE = `
  WITH RECURSIVE line (id, level) AS (
    VALUES (?, 0)
    UNION ALL
    SELECT instances.parent_instance_id, level + 1 FROM line CROSS JOIN instances
    WHERE instances.instance_id = line.id AND instances.parent_instance_id IS NOT NULL
  )
  SELECT ${INSTANCE_COLUMNS} FROM line CROSS JOIN instances WHERE instances.instance_id = line.id ORDER BY level DESC`;

export function findInstance(database: SqliteDatabase, instanceId: string): InstanceState | undefined {
  const row = database.get(FIND, instanceId);
  return row === undefined ? undefined : parseInstanceRow(row);
}

/** From the root instance down to the named one, inclusive; empty when it is unknown. */
export function lineOf(database: SqliteDatabase, instanceId: string): readonly InstanceState[] {
  // Most have no parent: one look at one row is a third of the price of the walk.
  const instance = findInstance(database, instanceId);
  if (instance === undefined) return [];
  if (instance.parentInstanceId === null) return [instance];
  return database.all(LINE, instanceId).map(parseInstanceRow);
}

/** The chain as records show it: `owner:<id>`, then the agent ids from the root down; empty for who is no agent. */
export function formatLine(line: readonly InstanceState[]): readonly string[] {
  const ownerId = line.at(0)?.ownerId ?? null;
  if (ownerId === null) return [];
  return [`owner:${ownerId}`, ...line.flatMap(({ agentId }) => (agentId === null ? [] : [agentId]))];
}

export function parseInstanceRow(row: Row): InstanceState {
  return {
    instanceId: row.text("instance_id"),
    kind: oneOf(INSTANCE_KINDS, row.text("kind")),
    spiffeId: row.text("spiffe_id"),
    agentId: row.textOrNull("agent_id"),
    ownerId: row.textOrNull("owner_id"),
    parentInstanceId: row.textOrNull("parent_instance_id"),
    path: row.text("path"),
    name: row.text("name"),
    scope: parseScopeColumn(row.text("scope")),
    limits: {
      depth: row.integer("depth"),
      fanOut: row.integer("fan_out"),
      budget: row.integerOrNull("budget"),
    },
    custody: oneOf(CUSTODIES, row.text("custody")),
    attested: parseAttested(row.textOrNull("attested"), row.textOrNull("composition_sha256")),
    nodeInstanceId: row.textOrNull("node_instance_id"),
    entryId: row.textOrNull("entry_id"),
    createdAt: row.integer("created_at"),
    expiresAt: row.integer("expires_at"),
    isRevoked: row.integerOrNull("revoked_epoch") !== null,
  };
}

/** Null when nothing was attested; the composition has a column of its own. */
export function formatAttestedColumn({ type, strength, selectors }: AttestationFacts): string | null {
  if (strength === "none") return null;
  return formatCanonicalJson({ type, strength, selectors: [...selectors] });
}

function parseAttested(text: string | null, compositionSha256: string | null): AttestationFacts {
  return text === null
    ? { ...NOTHING_ATTESTED, compositionSha256 }
    : { ...parseAttestedText(text), compositionSha256 };
}

const parseAttestedText = rememberParsed((text): Omit<AttestationFacts, "compositionSha256"> => {
  const members = new Fields(parseJsonObject(text), "internal");
  return {
    type: members.text("type"),
    strength: members.oneOf("strength", STRENGTHS),
    selectors: members.texts("selectors"),
  };
});

function oneOf<T extends string>(known: readonly T[], text: string): T {
  const found = known.find((item) => item === text);
  if (found === undefined) throw new Error("a row holds an unknown word");
  return found;
}

/** Atoms have no spaces, so a space separates them. */
export function formatScopeColumn(scope: Scope): string {
  return scope.join(" ");
}

const parseScopeColumn = rememberParsed((text): Scope => parseScope(text === "" ? [] : text.split(" ")));
