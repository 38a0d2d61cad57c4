/**
 * Pages of the tree of owners and agents, for trees of millions: each page is one range of an index, what is counted is
 * counted up to a bound, and what is filtered besides is looked at up to a bound too.
 */
import type { Row, SqliteDatabase } from "./sqlite-database.ts";
import type { TreeCursor, TreeNode, TreePage, TreePlace, TreeReads } from "./tree-ports.ts";

/** Beyond this many children a person reads "1000+". */
const MAX_COUNTED = 1000;
/** Whether an agent lives is seen from its newest instances; a fleet may have had a hundred thousand. */
const MAX_INSTANCES = 20;
/** Agents of others that one page passes over in search of an owner's own. */
const MAX_PASSED = 2000;
/** Behind every text that begins with the prefix. */
const LAST = "\u{10ffff}";

const AGENT = `agent_id, path, name, owner_id, is_revoked,
  (SELECT COUNT(*) FROM (SELECT 1 FROM agents AS child
    WHERE child.owner_id = agents.owner_id AND child.parent_agent_id = agents.agent_id
    LIMIT ${MAX_COUNTED + 1}) AS counted) AS below,
  (SELECT COUNT(*) FROM (SELECT revoked_epoch, expires_at FROM instances
    WHERE instances.agent_id = agents.agent_id ORDER BY instance_id DESC LIMIT ${MAX_INSTANCES}) AS newest
    WHERE newest.revoked_epoch IS NULL AND newest.expires_at > ?) AS live`;
const OWNERS = `
  SELECT owner_id, name, revoked_epoch,
    (SELECT COUNT(*) FROM (SELECT 1 FROM agents WHERE agents.owner_id = owners.owner_id
      LIMIT ${MAX_COUNTED + 1}) AS counted) AS below
  FROM owners WHERE name > ? AND name >= ? AND name < ? ORDER BY name LIMIT ?`;
const BEHIND = "(name > ? OR (name = ? AND agent_id > ?))";
const BELOW_OWNER = `
  SELECT ${AGENT} FROM agents WHERE owner_id = ? AND parent_agent_id IS NULL AND name >= ? AND ${BEHIND}
  ORDER BY name, agent_id LIMIT ?`;
const BELOW_AGENT = `
  SELECT ${AGENT} FROM agents WHERE owner_id = ? AND parent_agent_id = ? AND name >= ? AND ${BEHIND}
  ORDER BY name, agent_id LIMIT ?`;
const NAMED = `
  SELECT ${AGENT} FROM agents WHERE name >= ? AND name < ? AND ${BEHIND} ORDER BY name, agent_id LIMIT ?`;
const NAMED_OWNERS = `
  SELECT agent_id, name, owner_id FROM agents WHERE name >= ? AND name < ? AND ${BEHIND}
  ORDER BY name, agent_id LIMIT ?`;
const AT = `
  SELECT ${AGENT} FROM agents WHERE path = ? AND name >= ? AND name < ? AND ${BEHIND}
  ORDER BY name, agent_id LIMIT ?`;
const NAME_OF = "SELECT name FROM agents WHERE agent_id = ?";
const ONE = `SELECT ${AGENT} FROM agents WHERE agent_id = ?`;

interface Page {
  readonly after: TreeCursor | null;
  readonly limit: number;
}

/** @param nowSeconds - the clock, Unix seconds. */
export function createTreeReads(database: SqliteDatabase, nowSeconds: () => number): TreeReads {
  return {
    readTree: (place, page) => {
      if (place.kind === "owners") return readOwners(database, place.prefix, page);
      if (place.kind === "named" && place.ownerId !== null) {
        return readNamedOf(database, { ...place, ownerId: place.ownerId }, { ...page, now: nowSeconds() });
      }
      const rows = readAgents(database, place, { ...page, now: nowSeconds() });
      const own = "ownerId" in place ? place.ownerId : null;
      if (own === null) return { nodes: rows.map(parseAgent), next: nextOf(rows, "agent_id", page.limit) };
      // A path belongs to its first owner, so that this leaves out all or nothing: a cursor would name a stranger's agent.
      const nodes = rows.map(parseAgent).filter(({ ownerId }) => ownerId === own);
      const isWhole = nodes.length === rows.length;
      return { nodes, next: isWhole ? nextOf(rows, "agent_id", page.limit) : null };
    },
  };
}

function readOwners(database: SqliteDatabase, prefix: string, { after, limit }: Page): TreePage {
  const rows = database.all(OWNERS, after?.name ?? "", prefix, `${prefix}${LAST}`, limit);
  return { nodes: rows.map(parseOwner), next: nextOf(rows, "owner_id", limit) };
}

function readAgents(
  database: SqliteDatabase,
  place: Exclude<TreePlace, { readonly kind: "owners" }>,
  { after, limit, now }: Page & { readonly now: number },
): readonly Row[] {
  const name = after?.name ?? "";
  const behind = [name, name, after?.id ?? ""] as const;
  switch (place.kind) {
    case "below-owner":
      return database.all(BELOW_OWNER, now, place.ownerId, name, ...behind, limit);
    case "below-agent":
      return database.all(BELOW_AGENT, now, place.ownerId, place.agentId, name, ...behind, limit);
    case "named":
      return database.all(NAMED, now, ...rangeOf(place.prefix, name), ...behind, limit);
    case "at":
      return database.all(AT, now, place.path, ...rangeOf(place.prefix, name), ...behind, limit);
  }
}

/** From where to where the names are that begin with a prefix, and not before a name. */
function rangeOf(prefix: string, name: string): readonly [from: string, to: string] {
  return [name > prefix ? name : prefix, `${prefix}${LAST}`];
}

/** An owner's agents of a name: those of others are passed over, but not for ever in one page. */
function readNamedOf(
  database: SqliteDatabase,
  { prefix, ownerId }: { readonly prefix: string; readonly ownerId: string },
  { after, limit, now }: Page & { readonly now: number },
): TreePage {
  const name = nameBehind(database, after);
  const behind = [name, name, after?.id ?? ""] as const;
  const candidates = database.all(NAMED_OWNERS, ...rangeOf(prefix, name), ...behind, MAX_PASSED);
  const own = candidates.filter((row) => row.text("owner_id") === ownerId);
  const nodes = own.slice(0, limit).flatMap((row) => {
    const found = database.get(ONE, now, row.text("agent_id"));
    return found === undefined ? [] : [parseAgent(found)];
  });
  if (own.length >= limit) return { nodes, next: nextOf(own.slice(0, limit), "agent_id", limit) };
  const last = nextOf(candidates, "agent_id", MAX_PASSED);
  // The page ends behind an agent that may be somebody else's: of it the caller gets an id, and never the name.
  return { nodes, next: last && { name: "", id: last.id } };
}

/** The name that a page begins behind; a cursor with an id alone is resolved here. */
function nameBehind(database: SqliteDatabase, after: TreeCursor | null): string {
  if (after === null || after.name !== "" || after.id === "") return after?.name ?? "";
  return database.get(NAME_OF, after.id)?.text("name") ?? LAST;
}

/** Behind the last row of a full page; a page that is not full was the last. */
function nextOf(rows: readonly Row[], id: "agent_id" | "owner_id", limit: number): TreeCursor | null {
  const last = rows.at(-1);
  return last === undefined || rows.length < limit ? null : { name: last.text("name"), id: last.text(id) };
}

function parseOwner(row: Row): TreeNode {
  const isRevoked = row.integerOrNull("revoked_epoch") !== null;
  const id = row.text("owner_id");
  return {
    kind: "owner",
    id,
    path: "",
    name: row.text("name"),
    ownerId: id,
    isRevoked,
    isLive: !isRevoked,
    ...counted(row),
  };
}

function parseAgent(row: Row): TreeNode {
  return {
    kind: "agent",
    id: row.text("agent_id"),
    path: row.text("path"),
    name: row.text("name"),
    ownerId: row.text("owner_id"),
    isRevoked: row.integer("is_revoked") === 1,
    isLive: row.integer("live") > 0,
    ...counted(row),
  };
}

function counted(row: Row): Pick<TreeNode, "below" | "isMore"> {
  const below = row.integer("below");
  return { below: Math.min(below, MAX_COUNTED), isMore: below > MAX_COUNTED };
}
