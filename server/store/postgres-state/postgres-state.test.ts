/** The state store in a real PostgreSQL of Debian. Without one there is nothing to test, and that is said. */
import { copyFileSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { POSTGRESQL_BIN } from "../../../test/support/postgresql.ts";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  NOW_MS,
  RULES,
  revokeIn,
  ticketCommand,
} from "../commands/fixture.test.support.ts";
import { latestVersion, MIGRATIONS } from "../migrations/steps.ts";
import { createSqliteStore, type SqliteStore } from "../sqlite.ts";
import { PostgresConnection } from "./connection.ts";
import { startProxy } from "./database-proxy.test.support.ts";
import type { StateSettings } from "./protocol.ts";
import { RemoteStore } from "./remote-store.ts";
import { dumpMirror, shareStateServer } from "./state-server.test.support.ts";

const authority = createTestAuthority();
const { server, folder } = shareStateServer("the state store on PostgreSQL");
let settings: StateSettings;
let dataDir: string;
const opened = new Set<SqliteStore>();
const onFatal = vi.fn();

beforeEach(async () => {
  if (POSTGRESQL_BIN === undefined) return;
  settings = await server.create();
  dataDir = mkdtempSync(join(folder, "data-"));
  onFatal.mockClear();
});
afterEach(async () => {
  for (const store of opened) await store.close();
});

/** A store as a server opens it. */
async function open(
  change: { readonly remote?: StateSettings; readonly dataDir?: string } = {},
): Promise<SqliteStore> {
  const keys = authority.keys;
  const place = { dataDir, remote: settings, ...change };
  const made = await createSqliteStore({ ...place, keys, rules: RULES, nowMs: () => NOW_MS, onFatal });
  const store: SqliteStore = {
    ...made,
    close: async () => {
      if (opened.delete(store)) await made.close();
    },
  };
  opened.add(store);
  await store.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
  return store;
}

const issue = ({ commands }: SqliteStore, ownerId: string, name = "agent") =>
  commands.issue(ticketCommand(ownerId, { name }));
const revoke = (store: SqliteStore, id: string) => revokeIn(store, { kind: "instance", id });

function links(store: SqliteStore): {
  readonly until: (isLinked: boolean) => Promise<void>;
  readonly said: boolean[];
} {
  const said: boolean[] = [];
  store.watchLink(({ isLinked }) => said.push(isLinked));
  return { said, until: (isLinked) => vi.waitFor(() => expect(said.at(-1)).toBe(isLinked), PATIENT) };
}
const PATIENT = { timeout: 60_000, interval: 20 };

/** How many rows each table has in the database, and what its texts add up to. */
async function rowsThere(): Promise<Readonly<Record<string, number>>> {
  const tables = Object.keys(dumpMirror(dataDir));
  const counts = tables.map(
    (name) => `select '${name}' as name, count(*)::int as n from trustwarden_state."${name}"`,
  );
  const rows = await server.admin(settings, counts.join(" union all "));
  return Object.fromEntries(rows.map(({ name, n }) => [String(name), Number(n)]));
}

async function expectTheSame(): Promise<void> {
  const here = Object.entries(dumpMirror(dataDir)).map(([name, rows]) => [name, rows.length]);
  expect(await rowsThere()).toEqual(Object.fromEntries(here));
}

describe.skipIf(POSTGRESQL_BIN === undefined)("a state store on PostgreSQL", () => {
  test("has every row in tables of the database before anybody is answered", async () => {
    const store = await open();
    const owner = await createOwnerIn(store);
    const { value } = await issue(store, owner);
    const rows = await server.admin(
      settings,
      "select owner_id, spiffe_id, revoked_epoch from trustwarden_state.instances",
    );
    expect(rows).toEqual([{ owner_id: owner, spiffe_id: value.spiffeId, revoked_epoch: null }]);
    await revoke(store, value.instanceId);
    expect(await server.admin(settings, "select revoked_epoch from trustwarden_state.instances")).toEqual([
      { revoked_epoch: "1" },
    ]);
    await expectTheSame();
  });

  test("is the same to a server that has no copy, and to one whose copy is old", async () => {
    const first = await open();
    const owner = await createOwnerIn(first);
    await first.close();
    const old = mkdtempSync(join(folder, "old-"));
    copyFileSync(join(dataDir, "state-mirror.db"), join(old, "state-mirror.db"));
    const second = await open();
    const { value } = await issue(second, owner);
    await second.close();
    for (const directory of [old, mkdtempSync(join(folder, "none-"))]) {
      const store = await open({ dataDir: directory });
      expect(store.reads.findInstance(value.instanceId)?.ownerId).toBe(owner);
      await store.close();
    }
  });

  test("that somebody else changed is read as it is now, and nothing is written on what it was", async () => {
    const store = await open();
    const { said, until } = links(store);
    await createOwnerIn(store);
    await server.admin(settings, "update trustwarden_state.owners set name = 'bob' where name = 'alice'");
    await expect(createOwnerIn(store, "carol")).rejects.toMatchObject({ code: "store_unavailable" });
    await until(true);
    expect(said).toEqual([false, true]);
    expect(store.reads.findOwnerByName("bob")).toBeDefined();
    await createOwnerIn(store, "carol");
    await expectTheSame();
  });

  test("refuses what the database cannot hold, and takes what was asked at the same time", async () => {
    const store = await open();
    const both = await Promise.allSettled([createOwnerIn(store, "a\u0000b"), createOwnerIn(store, "good")]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(onFatal).not.toHaveBeenCalled();
    await createOwnerIn(store, "better");
    await expectTheSame();
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("without its database", () => {
  test("M4 reads and stops go on, nothing is issued, and all mends itself", async () => {
    const store = await open();
    const { until } = links(store);
    const owner = await createOwnerIn(store);
    const { value } = await issue(store, owner);
    await server.postgresql.stop();
    await expect(issue(store, owner, "other")).rejects.toMatchObject({ code: "store_unavailable" });
    await until(false);
    expect(store.reads.chainOf(value.instanceId)).toHaveLength(1);
    const { epoch, outboxId } = await revoke(store, value.instanceId);
    expect(store.reads.findInstance(value.instanceId)?.isRevoked).toBe(true);
    await store.commands.markSequenced([outboxId]);
    await server.postgresql.start();
    await until(true);
    await issue(store, owner, "other");
    expect(
      await server.admin(settings, "select max(epoch)::int as epoch from trustwarden_state.feed"),
    ).toEqual([{ epoch }]);
    await expectTheSame();
    expect(onFatal).not.toHaveBeenCalled();
  });

  test("a stop survives the end of the server, and is sent at its next start", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open({ remote: proxy.of(settings) });
    const { until } = links(store);
    const { value } = await issue(store, await createOwnerIn(store));
    proxy.cut();
    await revoke(store, value.instanceId).catch(() => undefined);
    await until(false);
    await revoke(store, value.instanceId);
    await store.close();
    await proxy.close();
    const next = await open();
    expect(next.reads.findInstance(value.instanceId)?.isRevoked).toBe(true);
    await expectTheSame();
  });

  test("a stop survives another server in its place: this one ends, and runs it again", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open({ remote: proxy.of(settings) });
    const { until } = links(store);
    const owner = await createOwnerIn(store);
    const { value } = await issue(store, owner);
    proxy.cut();
    await revoke(store, value.instanceId).catch(() => undefined);
    await until(false);
    await revoke(store, value.instanceId);
    // Whoever owns the database gives the store away while the server is cut off from it.
    await server.admin(settings, "update trustwarden_state_log.store set epoch = epoch + 1, holder = null");
    proxy.mend();
    await vi.waitFor(() => expect(onFatal).toHaveBeenCalled(), PATIENT);
    await expect(issue(store, owner, "late")).rejects.toMatchObject({ code: "store_unavailable" });
    await store.close();
    const other = await open({ dataDir: mkdtempSync(join(folder, "other-")) });
    expect(other.reads.findInstance(value.instanceId)?.isRevoked).toBe(false);
    await issue(other, owner, "between");
    await other.close();
    await proxy.close();
    const again = await open();
    expect(again.reads.findInstance(value.instanceId)?.isRevoked).toBe(true);
    await expectTheSame();
  });

  test("a command whose answer was lost is found out: it is there, and the ledger is told what it is owed", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open({ remote: proxy.of(settings) });
    const orphans: number[] = [];
    const said: boolean[] = [];
    store.watchLink((link) => {
      said.push(link.isLinked);
      orphans.push(...link.orphans);
    });
    const owner = await createOwnerIn(store);
    proxy.loseNextAnswer();
    await expect(issue(store, owner)).rejects.toMatchObject({ code: "store_unavailable" });
    await vi.waitFor(() => expect(said.at(-1)).toBe(true), PATIENT);
    expect(store.reads.counts().liveInstances).toBe(1);
    expect(orphans).toEqual([store.reads.pendingEntries().at(-1)?.outboxId]);
    await issue(store, owner, "other");
    await expectTheSame();
    expect(onFatal).not.toHaveBeenCalled();
    await store.close();
    await proxy.close();
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("the one writer", () => {
  test("is the only one: another is refused while it works, and after it was cut off", async () => {
    const impatient = { ...settings, lockWaitMs: 0 };
    const other = { dataDir: mkdtempSync(join(folder, "other-")), remote: impatient };
    const proxy = await startProxy(server.postgresql.port);
    const store = await open({ remote: proxy.of(settings) });
    await expect(open(other)).rejects.toMatchObject({ code: "data_locked" });
    proxy.cut();
    await revoke(store, "none").catch(() => undefined);
    await store.close();
    await proxy.close();
    await expect(open({ ...other, remote: settings })).rejects.toMatchObject({ code: "data_locked" });
    await (await open()).close();
    await (await open({ ...other, remote: settings })).close();
  });

  test("that takes turns ends when it loses the database, and the one that waited has all it did", async () => {
    const turns = { ...settings, goesOn: false, lockWaitMs: null };
    const store = await open({ remote: turns });
    const owner = await createOwnerIn(store);
    const waiting = open({ dataDir: mkdtempSync(join(folder, "standby-")), remote: turns });
    await server.admin(
      settings,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'trustwarden-state' and pid in (select pid from pg_locks where locktype = 'advisory' and granted)",
    );
    await vi.waitFor(() => expect(onFatal).toHaveBeenCalled(), PATIENT);
    await expect(issue(store, owner)).rejects.toMatchObject({ code: "store_unavailable" });
    const next = await waiting;
    expect(next.reads.findOwnerByName("alice")?.ownerId).toBe(owner);
    await issue(next, owner);
  });

  test("that finds another in its place is told so, and what it sends is refused", () => {
    const connection = new PostgresConnection(settings, () => undefined);
    connection.connect();
    const [first, second] = [new RemoteStore(connection, settings), new RemoteStore(connection, settings)];
    first.takeOver("first", { ...settings, goesOn: false }, latestVersion(MIGRATIONS));
    expect(first.comeBack()).toMatchObject({ version: 0 });
    second.takeOver("second", settings, latestVersion(MIGRATIONS));
    expect(() => first.comeBack()).toThrow(expect.objectContaining({ code: "state_fenced" }));
    const group = { version: 1, id: "a", described: "[]", changes: new Uint8Array([1]) };
    expect([first.apply(group), second.apply(group)]).toEqual(["fenced", null]);
    connection.close();
  });

  test.each([
    ["the schema is missing", "drop schema trustwarden_state_log cascade", /missing/],
    [
      "the tables are of another version",
      "update trustwarden_state_log.store set schema_version = 99",
      /version 99/,
    ],
  ])("does not start when %s", async (_, sql, reason) => {
    await server.admin(settings, sql);
    await expect(open()).rejects.toMatchObject({
      code: "config_invalid",
      details: { reason: expect.stringMatching(reason) },
    });
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("the rights in the database", () => {
  const as = async (user: string, sql: string): Promise<readonly unknown[]> => {
    const { port } = server.postgresql;
    const client = new Client({
      host: "127.0.0.1",
      port,
      database: settings.login.database,
      user,
      password: "of the state",
    });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };

  test.each([
    "insert into trustwarden_state.labels values ('a', 'b', 1)",
    "delete from trustwarden_state.instances",
    "update trustwarden_state_log.store set epoch = 9",
    "create table trustwarden_state.mine (a int)",
    "select trustwarden_state_log.arrange()",
    "select * from trustwarden_state_log.readers",
  ])("of the server do not reach to: %s", async (sql) => {
    await expect(as("tw_state", sql)).rejects.toMatchObject({ code: "42501" });
  });

  test("of a reader end at the rows of its owner", async () => {
    const store = await open();
    const alice = await createOwnerIn(store);
    const bob = await createOwnerIn(store, "bob");
    for (const owner of [alice, bob]) await issue(store, owner, `of-${owner.slice(-4).toLowerCase()}`);
    await server.admin(
      settings,
      `do $$ begin create role report login password 'of the state' in role trustwarden_state_reader;
         exception when duplicate_object then null; end $$;
       insert into trustwarden_state_log.readers values ('report', '${alice}')`,
    );
    expect(await as("report", "select owner_id from trustwarden_state.instances")).toEqual([
      { owner_id: alice },
    ]);
    expect(await as("report", "select name from trustwarden_state.owners")).toEqual([{ name: "alice" }]);
    await expect(as("report", "select * from trustwarden_state.secrets")).rejects.toMatchObject({
      code: "42501",
    });
    await expect(as("report", "delete from trustwarden_state.owners")).rejects.toMatchObject({
      code: "42501",
    });
  });
});
