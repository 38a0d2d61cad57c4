/** What a newer ledger says was stopped is stopped again, whatever it was; what people had open is closed. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readEpoch } from "../store/commands/epoch.ts";
import {
  contextAt,
  createTestAuthority,
  createTestKey,
  NOW_MS,
  RULES,
  ticketCommand,
} from "../store/commands/fixture.test.support.ts";
import { changeRestore } from "../store/commands/people/restores.ts";
import { findPerson } from "../store/people-rows.ts";
import type { Committed } from "../store/ports.ts";
import type { RevokeCommand } from "../store/revocation-ports.ts";
import { openForWriting } from "../store/schema.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import type { SqliteDatabase } from "../store/sqlite-database.ts";
import { adminsOf, isHeldBy, keepRestore } from "./hold-restore.ts";
import { closePast, Replay, voidEverything } from "./settle-state.ts";

const { keys } = createTestAuthority();
let folder: string;
let backup: string;
let database: SqliteDatabase;
let entries: Uint8Array[];
let instanceId: string;
let ownerId: string;

const revokeAs = (principal: string, target: RevokeCommand["target"], owner: string | null = null) => ({
  context: { ...contextAt(NOW_MS), principal },
  target,
  ownerId: owner,
  reason: "",
});

/** A backup with one agent, and the ledger of what was stopped before and after it was made. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tw-settle-"));
  backup = join(folder, "backup");
  mkdirSync(backup);
  entries = [];
  const log = <T>(committed: Committed<T>): T => {
    entries.push(...committed.entries);
    return committed.value;
  };
  const store = await createSqliteStore({
    dataDir: folder,
    keys,
    rules: RULES,
    nowMs: () => NOW_MS,
    onFatal: () => undefined,
  });
  const { commands } = store;
  const context = contextAt(NOW_MS);
  await commands.issueServerSvid({ context, reason: "start" });
  ({ ownerId } = log(await commands.createOwner({ context, name: "alice", spki: createTestKey().spki })));
  ({ instanceId } = log(await commands.issue(ticketCommand(ownerId, { name: "agent" }))));
  log(await commands.revoke(revokeAs("operator", { kind: "job", id: "before" })));
  await copy();
  log(await commands.revoke(revokeAs(`owner:${ownerId}`, { kind: "job", id: "nightly" }, ownerId)));
  log(await commands.revoke(revokeAs("operator", { kind: "policy", id: "A".repeat(43) })));
  log(await commands.revoke(revokeAs("operator", { kind: "key", id: "B".repeat(43) })));
  log(await commands.revoke(revokeAs("operator", { kind: "everything", id: "*" })));
  await store.close();
  database = openForWriting(backup);
});
afterEach(() => {
  database.close();
  rmSync(folder, { recursive: true });
});

async function copy(): Promise<void> {
  const source = openForWriting(folder);
  source.run("VACUUM INTO ?", join(backup, "state.db"));
  source.close();
}

it("repeats stops of every kind, each with its own epoch, and none that the backup has", () => {
  const before = readEpoch(database);
  const replay = new Replay(database);
  for (const entry of entries) replay.take(entry);
  expect(replay.result).toMatchObject({ stops: 4, missing: {} });
  // Everything takes two: everybody's death, and every decision that was made.
  expect(readEpoch(database)).toBe(before + 5);
  const stops = database
    .all("SELECT kind, id, owner_id FROM stops ORDER BY kind, id")
    .map(({ values }) => values);
  expect(stops).toEqual([
    { kind: "job", id: "before", owner_id: "" },
    { kind: "job", id: "nightly", owner_id: ownerId },
    { kind: "policy", id: "A".repeat(43), owner_id: "" },
  ]);
  const holder = database.get("SELECT holder FROM keys WHERE spki_sha256 = ?", "B".repeat(43));
  expect(holder?.text("holder")).toBe("stopped");
  const agent = database.get("SELECT revoked_epoch FROM instances WHERE instance_id = ?", instanceId);
  expect(agent?.integer("revoked_epoch")).toBe(before + 4);
});

/** An event as a server that lived on wrote it into the ledger. */
function entryOf(about: {
  readonly kind: string;
  readonly principal: string;
  readonly subject: string;
  readonly chain: string[];
  readonly details: JsonObject;
}): Uint8Array {
  const record = {
    ...{ v: 1, event_id: formatUuidV7(NOW_MS, randomBytes), allow: true, reasons: [], intent_sha256: null },
    ...{ epoch: readEpoch(database) + 1, from: { peer: "test" }, time: formatTime(NOW_MS) },
    ...about,
  };
  return encodeUtf8(issueEnvelope("control", record, createTestKey().signer, "A".repeat(43)));
}

/** That an agent went to an owner. */
function transferEntry(agentId: string, owner: string, change = "accept"): Uint8Array {
  const details = { change, agent_id: agentId, from: ownerId, owner };
  const chain = [`owner:${ownerId}`, agentId];
  return entryOf({ kind: "transfer", principal: `owner:${owner}`, subject: agentId, chain, details });
}

/** What happened to somebody. */
function personEntry(details: JsonObject): Uint8Array {
  return entryOf({ kind: "person", principal: "operator", subject: "p", chain: [], details });
}

it("repeats who has which agent, and ends one that went to somebody whom the backup does not know", () => {
  const known = `own_${"0".repeat(26)}`;
  const insert = "INSERT INTO owners (owner_id, name, spki, created_at) VALUES (?, 'bob', ?, 1)";
  database.run(insert, known, createTestKey().spki);
  const agentId = database.get("SELECT agent_id FROM agents")?.text("agent_id") ?? "";
  const stateOf = () => {
    const agent = database.get("SELECT owner_id, is_revoked FROM agents WHERE agent_id = ?", agentId);
    const live = "SELECT COUNT(*) AS n FROM instances WHERE revoked_epoch IS NULL AND agent_id IS NOT NULL";
    return { ...agent?.values, live: database.get(live)?.integer("n") };
  };
  const replay = new Replay(database);
  replay.take(transferEntry(agentId, known, "offer"));
  expect([replay.result.stops, stateOf()]).toEqual([0, { owner_id: ownerId, is_revoked: 0, live: 1 }]);
  replay.take(transferEntry(agentId, known));
  expect([replay.result.stops, stateOf()]).toEqual([1, { owner_id: known, is_revoked: 0, live: 0 }]);
  replay.take(transferEntry(agentId, `own_${"1".repeat(26)}`));
  expect([replay.result, stateOf()]).toMatchObject([
    { stops: 2, missing: {} },
    { owner_id: known, is_revoked: 1 },
  ]);
});

/** Somebody with a passkey, a session, a link that nobody has used, and something to confirm. */
function admitPerson(): void {
  const end = Math.floor(NOW_MS / 1000) + 3600;
  const add = (sql: string, ...values: readonly (string | number | Uint8Array)[]) =>
    database.run(sql, ...values);
  add(
    "INSERT INTO people (person_id, roles, sealed, created_at) VALUES ('p', 'admin', ?, 1)",
    randomBytes(8),
  );
  add(
    `INSERT INTO passkeys (credential_id, person_id, spki, counter, is_backup_eligible, is_backed_up, transports, created_at)
     VALUES ('c', 'p', ?, 0, 0, 0, '', 1)`,
    randomBytes(8),
  );
  add("INSERT INTO person_subjects (issuer, subject, person_id, since) VALUES ('i', 's', 'p', 1)");
  add(
    `INSERT INTO person_sessions (session_sha256, person_id, origin, via, opened_at, seen_at, expires_at)
     VALUES ('s', 'p', 'o', 'passkey', 1, 1, ?)`,
    end,
  );
  add(
    "INSERT INTO person_links (link_sha256, kind, roles, person_id, expires_at) VALUES ('l', 'recovery', '', 'p', ?)",
    end,
  );
  add(
    `INSERT INTO confirmations (confirmation_id, asked_by, method, target, body, digest, reason, created_at, expires_at)
     VALUES ('c', 'p', 'POST', '/', '', '', '', 1, ?)`,
    end,
  );
}

const countOf = (sql: string): number => database.get(`SELECT COUNT(*) AS n FROM ${sql}`)?.integer("n") ?? -1;
const openOf = () => [
  countOf("person_sessions WHERE ended_at IS NULL"),
  countOf("person_links WHERE used_at IS NULL"),
  countOf("confirmations"),
  countOf("passkeys WHERE removed_at IS NULL"),
  countOf("person_subjects"),
];

it("closes every session and link of people, and where nothing is proven their passkeys too", () => {
  admitPerson();
  expect(openOf()).toEqual([1, 1, 1, 1, 1]);
  closePast(database, { epoch: 0, nowMs: NOW_MS });
  expect(openOf()).toEqual([0, 0, 0, 1, 1]);
  voidEverything(database, { epoch: 0, nowMs: NOW_MS, vouched: [], agreeing: [] });
  expect(openOf()).toEqual([0, 0, 0, 0, 0]);
});

it("takes from people again what was taken since, and counts what it cannot repeat", () => {
  admitPerson();
  const replay = new Replay(database);
  replay.take(personEntry({ change: "link", person: "p" }));
  expect([replay.result, openOf()[3]]).toMatchObject([{ stops: 0, missing: { person: 1 } }, 1]);
  replay.take(personEntry({ change: "remove-passkey", person: "p", credential_id: "c" }));
  expect([replay.result.stops, openOf()[3]]).toEqual([1, 0]);
  replay.take(personEntry({ change: "end", person: "p", roles: ["admin"] }));
  expect([replay.result.stops, countOf("people WHERE ended_at IS NULL")]).toEqual([2, 0]);
});

it("takes a role from somebody again, and gives none that came since", () => {
  admitPerson();
  const replay = new Replay(database);
  const roles = (before: string[], ...after: string[]) =>
    replay.take(personEntry({ change: "roles", person: "p", roles: after, before }));
  const there = () => findPerson(database, "p")?.roles;
  database.run("UPDATE people SET roles = 'auditor admin'");
  roles(["auditor", "admin"], "auditor");
  expect([there(), adminsOf(database), replay.result]).toMatchObject([["auditor"], [], { missing: {} }]);
  roles(["auditor"], "operator");
  expect([there(), replay.result]).toMatchObject([[], { stops: 1, missing: { person: 1 } }]);
});

it("knows the admins of the backup, without those who went since and with those who came", () => {
  admitPerson();
  const replay = new Replay(database);
  expect([adminsOf(database), replay.admins.over(adminsOf(database))]).toEqual([["p"], ["p"]]);
  replay.take(personEntry({ change: "register", person: "q", roles: ["admin"] }));
  replay.take(personEntry({ change: "register", person: "r", roles: ["auditor"] }));
  expect(replay.admins.over(["p"])).toEqual(["p", "q"]);
  replay.take(personEntry({ change: "roles", person: "p", roles: ["auditor"], before: ["admin"] }));
  expect(replay.admins.over(["p"])).toEqual(["q"]);
  replay.take(personEntry({ change: "end", person: "q", roles: ["admin"] }));
  expect(replay.admins.over([])).toEqual([]);
  expect([isHeldBy(["p", "q"]), isHeldBy(["p"])]).toEqual([true, false]);
});

it("lets nobody agree by a passkey that was made while an earlier restore waited, and was then backed up and restored again", () => {
  admitPerson();
  database.run("INSERT INTO people (person_id, roles, sealed, created_at) VALUES ('q', 'admin', x'00', 1)");
  database.run(`INSERT INTO passkeys
    (credential_id, person_id, spki, counter, is_backup_eligible, is_backed_up, transports, created_at)
    VALUES ('d', 'q', x'00', 0, 0, 0, '', 200)`);
  const restoreAt = (restoredAt: number) =>
    keepRestore(database, {
      ...{ outcome: "proven", backup: null, restoredBy: "uid:0", restoredAt },
      ...{ admins: ["p", "q"], random: randomBytes },
    });
  const release = (nowMs: number) =>
    changeRestore(database, {
      change: { change: "release", personId: "p", confirmedBy: "q", sessionSha256: "s" },
      context: contextAt(nowMs),
    });
  restoreAt(100);
  restoreAt(300);
  expect(() => release(400_000)).toThrow(
    expect.objectContaining({ code: "second_admin_required", details: { reason: "a new passkey" } }),
  );
  release((200 + 86_400) * 1000);
  restoreAt(300);
  release(400_000);
});
