/**
 * Registration entries: kept as their owner signed them, found by id, and removed without being forgotten.
 *
 * An entry's signature, times and selectors were verified before. An entry is never changed: what is read here is what
 * was registered. Every change takes an epoch, so that nodes fetch again.
 */
import { entryIdOf, type RegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import type { CommandContext, ControlDraft } from "../ports.ts";
import type { CreateEntryCommand, EntryState } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { findEntriesByFirstSelectors, findEntry } from "../sqlite-entry.ts";
import { requireLiveOwner } from "./admission.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { readEnrolmentFloor } from "./enrolment-floor.ts";
import { advanceEpoch } from "./epoch.ts";

/** As many as any owner writes; a loop that registers entries ends here. */
const MAX_ENTRIES_PER_OWNER = 10_000;
/** Admissions of nodes, which are looked through one by one. */
const MAX_NODE_ENTRIES = 1000;
/** Entries of one first selector that are compared; where there are more, one has to be named. */
const MAX_CANDIDATES = 1000;

const FIND = "SELECT 1 AS found FROM entries WHERE entry_id = ?";
const COUNT_OF_OWNER = `
  SELECT COUNT(*) AS count FROM entries WHERE owner_id = ? AND removed_epoch IS NULL AND expires_at > ?`;
const COUNT_OF_NODES = "SELECT COUNT(*) AS count FROM entries WHERE kind = 'node' AND removed_epoch IS NULL";
const INSERT = `
  INSERT INTO entries (entry_id, kind, owner_id, document, envelope, first_selector, created_at, expires_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const INSERT_NODE = "INSERT INTO entry_nodes (node, entry_id) VALUES (?, ?)";
const REMOVE = "UPDATE entries SET removed_epoch = COALESCE(removed_epoch, ?) WHERE entry_id = ?";
const REMOVE_NODES = "DELETE FROM entry_nodes WHERE entry_id = ?";

/** An owner's entry as it is kept. */
export type AgentEntry = Extract<EntryState, { readonly kind: "agent" }>;

/** @throws TrustWardenError `entry_exists`, `owner_unknown`, `identity_revoked` or `quota_exceeded`. */
export function createEntry(
  database: SqliteDatabase,
  { context, entry }: CreateEntryCommand,
  deps: CommandDeps,
): CommandResult<{ readonly entryId: string }> {
  const now = secondsOf(context);
  if (entry.kind === "node") {
    requireRoom(database.get(COUNT_OF_NODES)?.integer("count"), MAX_NODE_ENTRIES);
    const { name, selectors } = entry.document;
    const entryId = `ent_${formatUlid(context.nowMs, deps.random)}`;
    const document = { name, selectors: [...selectors] };
    const first = selectors[0] ?? "";
    database.run(INSERT, entryId, "node", null, formatCanonicalJson(document), null, first, now, null);
    const details = { change: "create", entry_kind: "node", ...document };
    return { value: { entryId }, draft: changed(database, { entryId, chain: [], details }) };
  }
  const { document, envelope } = entry;
  const entryId = entryIdOf(document);
  requireLiveOwner(database, document.owner);
  if (document.iat <= readEnrolmentFloor(database))
    throw new TrustWardenError("entry_removed", { entryId, reason: "signed before a restore" });
  // Also when it was removed: the owner's signature on it must not bring it back.
  if (database.get(FIND, entryId) !== undefined) throw new TrustWardenError("entry_exists", { entryId });
  requireRoom(database.get(COUNT_OF_OWNER, document.owner, now)?.integer("count"), MAX_ENTRIES_PER_OWNER);
  const text = formatCanonicalJson(toJson(document));
  const first = document.selectors[0] ?? "";
  database.run(INSERT, entryId, "agent", document.owner, text, envelope, first, now, document.exp);
  for (const node of document.nodes) database.run(INSERT_NODE, node, entryId);
  const chain = [`owner:${document.owner}`];
  const details = { change: "create", entry_kind: "agent", entry: envelope };
  return { value: { entryId }, draft: changed(database, { entryId, chain, details }) };
}

/** Whose it is was decided before. @throws TrustWardenError `not_found`. */
export function removeEntry(
  database: SqliteDatabase,
  { entryId }: { readonly context: CommandContext; readonly entryId: string },
): CommandResult<{ readonly entryId: string }> {
  const entry = findEntry(database, entryId);
  if (entry === undefined) throw new TrustWardenError("not_found", { kind: "entry" });
  const chain = entry.kind === "agent" ? [`owner:${entry.document.owner}`] : [];
  const details = { change: "remove", entry_kind: entry.kind };
  const draft = changed(database, { entryId, chain, details });
  database.run(REMOVE_NODES, entryId);
  return { value: { entryId }, draft };
}

/**
 * An entry by which instances may be issued and renewed now.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `entry_unknown`, `entry_removed` or `entry_expired`.
 */
export function requireLiveEntry(database: SqliteDatabase, entryId: string, now: number): AgentEntry {
  const entry = findEntry(database, entryId);
  if (entry?.kind !== "agent") throw new TrustWardenError("entry_unknown", { entryId });
  if (entry.isRemoved) throw new TrustWardenError("entry_removed", { entryId });
  if (entry.document.exp <= now) throw new TrustWardenError("entry_expired", { entryId });
  return entry;
}

/**
 * The one live entry whose selectors are all among the given ones.
 *
 * @param query.now - Unix seconds.
 * @throws TrustWardenError `entry_not_matched` or `entry_ambiguous`.
 */
export function findMatchingEntry<Kind extends EntryState["kind"]>(
  database: SqliteDatabase,
  query: { readonly kind: Kind; readonly selectors: readonly string[]; readonly now: number },
): Extract<EntryState, { readonly kind: Kind }> {
  const { kind, selectors, now } = query;
  const known = new Set(selectors);
  const candidates = findEntriesByFirstSelectors(database, { kind, selectors, limit: MAX_CANDIDATES + 1 });
  if (candidates.length > MAX_CANDIDATES)
    throw new TrustWardenError("entry_ambiguous", { kind, matching: candidates.length });
  const found = candidates.filter(
    (entry) => isLive(entry, now) && entry.document.selectors.every((selector) => known.has(selector)),
  );
  const [only] = found;
  if (only === undefined) throw new TrustWardenError("entry_not_matched", { kind });
  if (found.length > 1) throw new TrustWardenError("entry_ambiguous", { kind, matching: found.length });
  return only;
}

function isLive(entry: EntryState, now: number): boolean {
  return !entry.isRemoved && (entry.kind === "node" || entry.document.exp > now);
}

function changed(
  database: SqliteDatabase,
  change: { readonly entryId: string; readonly chain: readonly string[]; readonly details: JsonObject },
): ControlDraft {
  const { entryId, chain, details } = change;
  const epoch = advanceEpoch(database, { kind: "entry", id: entryId });
  if (details.change === "remove") database.run(REMOVE, epoch, entryId);
  return { kind: "entry", allow: true, reasons: [], subject: entryId, chain, details };
}

function requireRoom(count: number | undefined, limit: number): void {
  if (count === undefined || count >= limit)
    throw new TrustWardenError("quota_exceeded", { quota: "entries", limit });
}

function toJson(entry: RegistrationEntry): JsonObject {
  return {
    ...entry,
    scope: [...entry.scope],
    limits: { ...entry.limits },
    selectors: [...entry.selectors],
    nodes: [...entry.nodes],
  };
}
