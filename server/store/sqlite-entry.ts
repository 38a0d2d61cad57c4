/** Registration entries as rows: read alike by the commands (in their transaction) and by the plain reads. */
import { parseRegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { rememberParsed } from "./parsed-texts.ts";
import type { EntryState, NodeEntry } from "./registration-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const COLUMNS = `entries.entry_id, entries.kind, entries.document, entries.envelope, entries.created_at,
  entries.removed_epoch`;
const FIND = `SELECT ${COLUMNS} FROM entries WHERE entry_id = ?`;
const FIND_BY_SELECTOR = `
  SELECT ${COLUMNS} FROM entries
  WHERE kind = ? AND first_selector = ? AND removed_epoch IS NULL ORDER BY entry_id LIMIT ?`;
const LIST = `SELECT ${COLUMNS} FROM entries WHERE entry_id > ? ORDER BY entry_id LIMIT ?`;
const LIST_OF_OWNER = `
  SELECT ${COLUMNS} FROM entries WHERE owner_id = ? AND entry_id > ? ORDER BY entry_id LIMIT ?`;
const LIST_OF_NODE = `
  SELECT ${COLUMNS} FROM entry_nodes JOIN entries ON entries.entry_id = entry_nodes.entry_id
  JOIN owners ON owners.owner_id = entries.owner_id
  WHERE entry_nodes.node IN (?, '*') AND entry_nodes.entry_id > ? AND entries.removed_epoch IS NULL
    AND entries.expires_at > ? AND owners.revoked_epoch IS NULL
  ORDER BY entry_nodes.entry_id LIMIT ?`;

type AgentEntry = Extract<EntryState, { readonly kind: "agent" }>;

export function findEntry(database: SqliteDatabase, entryId: string): EntryState | undefined {
  const row = database.get(FIND, entryId);
  return row === undefined ? undefined : parseEntry(row);
}

/**
 * Entries whose first selector is among these; every entry that matches a workload is found by one of the workload's
 * own selectors, however many entries there are.
 *
 * @param query.limit - for each selector.
 */
export function findEntriesByFirstSelectors<Kind extends EntryState["kind"]>(
  database: SqliteDatabase,
  query: { readonly kind: Kind; readonly selectors: readonly string[]; readonly limit: number },
): readonly Extract<EntryState, { readonly kind: Kind }>[] {
  const { kind, selectors, limit } = query;
  return selectors
    .flatMap((selector) => database.all(FIND_BY_SELECTOR, kind, selector, limit).map(parseEntry))
    .filter((entry): entry is Extract<EntryState, { readonly kind: Kind }> => entry.kind === kind);
}

export function listEntries(
  database: SqliteDatabase,
  {
    ownerId,
    after = "",
    limit,
  }: { readonly ownerId?: string; readonly after?: string; readonly limit: number },
): readonly EntryState[] {
  const rows =
    ownerId === undefined
      ? database.all(LIST, after, limit)
      : database.all(LIST_OF_OWNER, ownerId, after, limit);
  return rows.map(parseEntry);
}

/** Live entries that a node of this name may ask for. @param query.now - Unix seconds. */
export function entriesOfNode(
  database: SqliteDatabase,
  query: { readonly node: string; readonly after: string; readonly now: number; readonly limit: number },
): readonly AgentEntry[] {
  const { node, after, now, limit } = query;
  return database
    .all(LIST_OF_NODE, node, after, now, limit)
    .map(parseEntry)
    .filter((entry) => entry.kind === "agent");
}

function parseEntry(row: Row): EntryState {
  const state = {
    entryId: row.text("entry_id"),
    createdAt: row.integer("created_at"),
    isRemoved: row.integerOrNull("removed_epoch") !== null,
  };
  const text = row.text("document");
  return row.text("kind") === "node"
    ? { ...state, kind: "node", document: parseNodeEntry(parseJsonObject(text)) }
    : { ...state, kind: "agent", document: parseAgentEntry(text), envelope: row.text("envelope") };
}

const parseAgentEntry = rememberParsed((text) => parseRegistrationEntry(parseJsonObject(text)));

function parseNodeEntry(json: JsonObject): NodeEntry {
  const members = new Fields(json, "internal");
  const entry = { name: members.text("name"), selectors: members.texts("selectors") };
  members.end();
  return entry;
}
