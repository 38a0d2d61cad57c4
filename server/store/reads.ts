/**
 * Plain reads of the state store, on a connection that cannot write. Each sees everything that was committed before
 * it began, so whoever has the answer of a command also reads its effect.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { createApprovalReads } from "./approval-rows.ts";
import { readAuthority } from "./authority-rows.ts";
import { findSecret, listSecrets } from "./broker-rows.ts";
import { listBudgetShares, listBudgets, listBudgetUse, useOfOthers } from "./budget-rows.ts";
import { createClaimReads } from "./claim-rows.ts";
import { readClockFloorMs } from "./commands/clock.ts";
import { readEpoch } from "./commands/epoch.ts";
import { findForeignInstance, listFederations } from "./federation-rows.ts";
import { listUpstreams } from "./gateway-rows.ts";
import { listPins } from "./mcp-rows.ts";
import { findAccessToken } from "./oauth-rows.ts";
import { createOfferReads } from "./offer-rows.ts";
import { createPeopleReads } from "./people-rows.ts";
import { findPolicy } from "./policy-rows.ts";
import type { AgentState, FeedTarget, InstanceState, OwnerState, StoreReads, SvidState } from "./ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";
import { entriesOfNode, findEntry, listEntries } from "./sqlite-entry.ts";
import { findInstance, INSTANCE_COLUMNS, lineOf, parseInstanceRow } from "./sqlite-instance.ts";
import { createStopReads } from "./stop-rows.ts";
import { createTreeReads } from "./tree-reads.ts";

/** Newest instances shown of one agent; a fleet may have had a hundred thousand. */
const MAX_INSTANCES = 1000;
/** Entries read from the outbox in one go; it is short unless the ledger was down. */
const MAX_PENDING = 10_000;

const OWNER_COLUMNS = `
  owners.owner_id, owners.name, owners.spki, owners.revoked_epoch,
  (SELECT COUNT(*) FROM passkeys WHERE passkeys.spki = owners.spki) AS devices`;
const FIND_OWNER = `SELECT ${OWNER_COLUMNS} FROM owners WHERE owner_id = ?`;
const FIND_OWNER_BY_NAME = `SELECT ${OWNER_COLUMNS} FROM owners WHERE name = ?`;
const LIST_OWNERS = `
  SELECT ${OWNER_COLUMNS}, (SELECT COUNT(*) FROM agents WHERE agents.owner_id = owners.owner_id) AS agents
  FROM owners WHERE name > ? ORDER BY name LIMIT ?`;

const FIND_SVID = `
  SELECT svids.instance_id, svids.not_after, svids.spki FROM svids
  JOIN instances ON instances.instance_id = svids.instance_id
  WHERE svids.svid_sha256 = ? AND instances.revoked_epoch IS NULL AND svids.is_class = 0`;
const FIND_STOPPED_SVID = `
  SELECT svids.instance_id, svids.not_after, svids.spki FROM svids
  JOIN instances ON instances.instance_id = svids.instance_id
  WHERE svids.svid_sha256 = ? AND instances.revoked_epoch IS NOT NULL AND svids.is_class = 0`;

const AGENT_COLUMNS = "agent_id, path, name, owner_id, parent_agent_id, is_revoked";
const FIND_AGENT = `SELECT ${AGENT_COLUMNS} FROM agents WHERE agent_id = ?`;
const LIST_AGENTS = `SELECT ${AGENT_COLUMNS} FROM agents WHERE agent_id > ? ORDER BY agent_id LIMIT ?`;
const LIST_AGENTS_OF_OWNER = `
  SELECT ${AGENT_COLUMNS} FROM agents WHERE agent_id > ? AND owner_id = ? ORDER BY agent_id LIMIT ?`;
const LIST_AGENTS_BY_NAME = `
  SELECT ${AGENT_COLUMNS} FROM agents WHERE agent_id > ? AND name = ? ORDER BY agent_id LIMIT ?`;
const LIST_AGENTS_OF_OWNER_BY_NAME = `
  SELECT ${AGENT_COLUMNS} FROM agents WHERE agent_id > ? AND owner_id = ? AND name = ? ORDER BY agent_id LIMIT ?`;
const LIST_INSTANCES = `
  SELECT ${INSTANCE_COLUMNS} FROM instances WHERE agent_id = ? ORDER BY instance_id DESC LIMIT ${MAX_INSTANCES}`;

const COUNTS = `
  SELECT (SELECT COUNT(*) FROM owners) AS owners, (SELECT COUNT(*) FROM agents) AS agents,
    (SELECT COUNT(*) FROM instances WHERE revoked_epoch IS NULL AND expires_at > ?) AS live`;
const PENDING = `
  SELECT outbox_id, intent, control FROM outbox WHERE outbox_id > ? AND outbox_id < ? ORDER BY outbox_id LIMIT ${MAX_PENDING}`;
const ALL_ROWS = { after: -1, before: Number.MAX_SAFE_INTEGER };
const TARGETS = "SELECT epoch, kind, id FROM feed WHERE epoch > ? ORDER BY epoch";

/** @param nowSeconds - the clock, Unix seconds; only counts need it. */
export function createReads(database: SqliteDatabase, nowSeconds: () => number): StoreReads {
  return {
    epoch: () => readEpoch(database),
    authority: () => readAuthority(database),
    clockFloorMs: () => readClockFloorMs(database),
    findOwner: (ownerId) => mapRow(database.get(FIND_OWNER, ownerId), parseOwner),
    findOwnerByName: (name) => mapRow(database.get(FIND_OWNER_BY_NAME, name), parseOwner),
    listOwners: ({ after, limit }) =>
      database
        .all(LIST_OWNERS, after, limit)
        .map((row) => ({ ...parseOwner(row), agents: row.integer("agents") })),
    chainOf: (instanceId) => lineOf(database, instanceId),
    findInstance: (instanceId) => findInstance(database, instanceId),
    findSvid: (svidSha256) => mapRow(database.get(FIND_SVID, svidSha256), parseSvid),
    findStoppedSvid: (svidSha256) => mapRow(database.get(FIND_STOPPED_SVID, svidSha256), parseSvid),
    findAgent: (agentId) => mapRow(database.get(FIND_AGENT, agentId), (row) => parseAgent(database, row)),
    listAgents: (query) => listAgentRows(database, query).map((row) => parseAgent(database, row)),
    isDescendant: ({ instanceId, ancestorInstanceId }) =>
      lineOf(database, instanceId).some((link) => link.instanceId === ancestorInstanceId),
    counts: () => readCounts(database, nowSeconds()),
    pendingEntries: ({ after, before } = ALL_ROWS) => database.all(PENDING, after, before).map(parsePending),
    targetsSince: (epoch) => database.all(TARGETS, epoch).map(parseTarget),
    findForeignInstance: (spiffeId) => findForeignInstance(database, spiffeId),
    findPolicy: () => findPolicy(database),
    listFederations: () => listFederations(database),
    listBudgets: () => listBudgets(database),
    listBudgetUse: () => listBudgetUse(database),
    listBudgetShares: () => listBudgetShares(database),
    useOfOthers: (of) => useOfOthers(database, of),
    listUpstreams: () => listUpstreams(database),
    findAccessToken: (jti) => findAccessToken(database, jti),
    findSecret: (name) => findSecret(database, name),
    listSecrets: () => listSecrets(database),
    listPins: (upstream) => listPins(database, upstream),
    findEntry: (entryId) => findEntry(database, entryId),
    listEntries: (query) => listEntries(database, query),
    entriesOfNode: (query) => entriesOfNode(database, query),
    ...createApprovalReads(database),
    ...createClaimReads(database),
    ...createOfferReads(database),
    ...createStopReads(database),
    ...createTreeReads(database, nowSeconds),
    ...createPeopleReads(database),
    close: () => database.close(),
  };
}

function mapRow<T>(row: Row | undefined, parse: (row: Row) => T): T | undefined {
  return row === undefined ? undefined : parse(row);
}

function listAgentRows(
  database: SqliteDatabase,
  query: Parameters<StoreReads["listAgents"]>[0],
): readonly Row[] {
  const { ownerId, name, after = "", limit } = query;
  if (ownerId !== undefined && name !== undefined) {
    return database.all(LIST_AGENTS_OF_OWNER_BY_NAME, after, ownerId, name, limit);
  }
  if (ownerId !== undefined) return database.all(LIST_AGENTS_OF_OWNER, after, ownerId, limit);
  if (name !== undefined) return database.all(LIST_AGENTS_BY_NAME, after, name, limit);
  return database.all(LIST_AGENTS, after, limit);
}

function parseOwner(row: Row): OwnerState {
  return {
    ownerId: row.text("owner_id"),
    name: row.text("name"),
    spki: row.integer("devices") === 0 ? row.bytes("spki") : null,
    isRevoked: row.integerOrNull("revoked_epoch") !== null,
  };
}

function parseSvid(row: Row): SvidState {
  return {
    instanceId: row.text("instance_id"),
    notAfter: row.integer("not_after"),
    spki: row.bytes("spki"),
  };
}

function parseAgent(database: SqliteDatabase, row: Row): AgentState {
  const agentId = row.text("agent_id");
  const instances: readonly InstanceState[] = database.all(LIST_INSTANCES, agentId).map(parseInstanceRow);
  return {
    agentId,
    path: row.text("path"),
    name: row.text("name"),
    ownerId: row.text("owner_id"),
    parentAgentId: row.textOrNull("parent_agent_id"),
    isRevoked: row.integer("is_revoked") === 1,
    instances,
  };
}

function readCounts(database: SqliteDatabase, now: number): ReturnType<StoreReads["counts"]> {
  const row = database.get(COUNTS, now);
  if (row === undefined) throw new Error("an aggregate always has a row");
  return { owners: row.integer("owners"), agents: row.integer("agents"), liveInstances: row.integer("live") };
}

function parsePending(row: Row): ReturnType<StoreReads["pendingEntries"]>[number] {
  const intent = row.textOrNull("intent");
  const control = row.text("control");
  const entries = (intent === null ? [control] : [intent, control]).map(encodeUtf8);
  return { outboxId: row.integer("outbox_id"), entries };
}

function parseTarget(row: Row): FeedTarget {
  return { epoch: row.integer("epoch"), kind: parseKind(row.text("kind")), id: row.text("id") };
}

function parseKind(text: string): FeedTarget["kind"] {
  const kinds = [
    "instance",
    "agent",
    "owner",
    "narrowed",
    "policy",
    "entry",
    "authority",
    "federation",
  ] as const;
  const kind = kinds.find((known) => known === text);
  if (kind === undefined) throw new Error("the feed holds an unknown kind");
  return kind;
}
