/** What a database may do to the state that is in it: hang, answer late, forget, be another than it was. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
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
import { createSqliteStore, type SqliteStore } from "../sqlite.ts";
import { PostgresConnection, StatementFailure } from "./connection.ts";
import { startProxy } from "./database-proxy.test.support.ts";
import type { StateSettings } from "./protocol.ts";
import { shareStateServer } from "./state-server.test.support.ts";

const { keys } = createTestAuthority();
const { server, folder } = shareStateServer("what a database may do to the state");
const onFatal = vi.fn();
const opened = new Set<SqliteStore>();
const PATIENT = { timeout: 60_000, interval: 20 };
/** As long as the driver once waited beyond what the setting says. */
const FAR_TOO_LONG_MS = 10_000;
const LATEST = "(select max(version) from trustwarden_state_log.groups)";
let settings: StateSettings;
let dataDir: string;

beforeEach(async () => {
  if (POSTGRESQL_BIN === undefined) return;
  settings = await server.create();
  dataDir = mkdtempSync(join(folder, "data-"));
  onFatal.mockClear();
});
afterEach(async () => {
  for (const store of opened) await store.close();
  opened.clear();
});

async function open(remote = settings): Promise<SqliteStore> {
  const store = await createSqliteStore({
    dataDir,
    remote,
    keys,
    rules: RULES,
    nowMs: () => NOW_MS,
    onFatal,
  });
  opened.add(store);
  return store;
}

async function close(store: SqliteStore): Promise<void> {
  opened.delete(store);
  await store.close();
}

async function createAgent(store: SqliteStore): Promise<string> {
  const { commands } = store;
  await commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
  const ownerId = await createOwnerIn(store);
  return (await commands.issue(ticketCommand(ownerId, { name: "agent" }))).value.instanceId;
}

describe.skipIf(POSTGRESQL_BIN === undefined)("a database that hangs", () => {
  test("holds a stop up no longer than the setting says, and then it is kept without it", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open({ ...proxy.of(settings), statementTimeoutMs: 200 });
    const id = await createAgent(store);
    proxy.hang();
    const wait = Promise.withResolvers<string>();
    const timer = setTimeout(() => wait.resolve("waits"), FAR_TOO_LONG_MS);
    const refused = revokeIn(store, { kind: "instance", id }).catch(({ code }) => code);
    expect(await Promise.race([refused, wait.promise])).toBe("store_unavailable");
    clearTimeout(timer);
    await vi.waitFor(() => revokeIn(store, { kind: "instance", id }), PATIENT);
    expect(store.reads.findInstance(id)?.isRevoked).toBe(true);
    proxy.cut();
    await close(store);
    await proxy.close();
  });

  test("answers too late: the answer is not taken for that of what was asked next", () => {
    const connection = new PostgresConnection(settings, () => undefined, 100 - settings.statementTimeoutMs);
    connection.connect();
    expect(() => connection.query("select pg_sleep(1), 'first' as said")).toThrow(StatementFailure);
    const said: unknown[] = [];
    while (said.length === 0) {
      try {
        said.push(...connection.query("select 'second' as said").map((row) => row.said));
      } catch {
        // Behind the first one it takes as long.
      }
    }
    expect(said).toEqual(["second"]);
    connection.close();
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("a database that is away", () => {
  test("lets no server start, which says what to do", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const away = proxy.of(settings);
    await proxy.close();
    await expect(open(away)).rejects.toMatchObject({
      code: "store_unavailable",
      details: { reason: expect.stringMatching(/state\.postgres.*start it/) },
    });
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("a database that was put back", () => {
  test.each([
    ["has fewer groups", "update trustwarden_state_log.store set version = version - 1"],
    ["has others", `update trustwarden_state_log.groups set id = 'another' where version = ${LATEST}`],
  ])("and %s is not gone on with at a start", async (_, sql) => {
    const store = await open();
    await createAgent(store);
    await close(store);
    await server.admin(settings, sql);
    await expect(open()).rejects.toMatchObject({ code: "data_rolled_back" });
  });

  test("ends a server that works", async () => {
    const store = await open();
    await createAgent(store);
    await server.admin(settings, "update trustwarden_state_log.store set version = version - 1");
    await expect(revokeIn(store, { kind: "job", id: "nightly" })).rejects.toMatchObject({
      code: "store_unavailable",
    });
    await vi.waitFor(() => expect(onFatal).toHaveBeenCalled(), PATIENT);
  });

  test("to where another writer had the same epoch is found out by who the writer is", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open(proxy.of(settings));
    await createAgent(store);
    proxy.cut();
    await server.admin(settings, "update trustwarden_state_log.store set holder = 'another'");
    proxy.mend();
    await vi.waitFor(() => expect(onFatal).toHaveBeenCalled(), PATIENT);
    await close(store);
    await proxy.close();
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("rows that are others than the copy's", () => {
  test("are found by the first command that meets them, and the copy is made anew", async () => {
    const store = await open();
    await createAgent(store);
    const context = contextAt(NOW_MS);
    await store.commands.setFreeze({ context, freeze: { reason: "drill", until: null } });
    // A change that no number tells of.
    await server.admin(
      settings,
      "begin; select set_config('trustwarden.group', 'hidden', true); delete from trustwarden_state.freezes; commit",
    );
    const thaw = () => store.commands.setFreeze({ context, freeze: null });
    await expect(thaw()).rejects.toMatchObject({ code: "store_unavailable" });
    await store.commands.setFreeze({ context, freeze: { reason: "drill", until: null } });
    await thaw();
    expect(onFatal).not.toHaveBeenCalled();
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined)("what the database cannot hold", () => {
  test("is not kept without it either, so that nothing is in the way of what is", async () => {
    const proxy = await startProxy(server.postgresql.port);
    const store = await open(proxy.of(settings));
    const id = await createAgent(store);
    const said: boolean[] = [];
    store.watchLink(({ isLinked }) => said.push(isLinked));
    proxy.cut();
    await vi.waitFor(() => expect(said.at(-1)).toBe(false), PATIENT);
    const both = await Promise.allSettled([
      revokeIn(store, { kind: "job", id: "a\u0000b" }),
      revokeIn(store, { kind: "instance", id }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    proxy.mend();
    await vi.waitFor(() => expect(said.at(-1)).toBe(true), PATIENT);
    expect(
      await server.admin(settings, "select count(*)::int as n from trustwarden_state.revocations"),
    ).toEqual([{ n: 1 }]);
    await close(store);
    await proxy.close();
  });
});
