/**
 * Two neighbouring versions on one store, in a real PostgreSQL: what the older one writes takes nothing from the newer one, what
 * the newer one writes is read by the older one, and once the older one is gone it stays out. The next version is one of this test.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { POSTGRESQL_BIN } from "../../../test/support/postgresql.ts";
import { migrateSqlite } from "../migrations/migrate-sqlite.ts";
import { additionsOf, reasonsToStop } from "../migrations/rules.ts";
import { latestVersion, MIGRATIONS, type MigrationStep, type Migrations } from "../migrations/steps.ts";
import { VERSION_9 } from "../migrations/version-9.ts";
import { SqliteDatabase } from "../sqlite-database.ts";
import { PostgresConnection } from "./connection.ts";
import { NEED_NOT_WAIT, waitingOf } from "./early-use.ts";
import { Mirror } from "./mirror.ts";
import { prepareMirror } from "./mirror-file.ts";
import type { StateSettings } from "./protocol.ts";
import { RemoteStore } from "./remote-store.ts";
import { formatStateSchema, formatStateUpgrade } from "./schema-text.ts";
import { shareStateServer } from "./state-server.test.support.ts";

const GOLDEN = new URL("../migrations/golden/state-v8-servers.sql.gz", import.meta.url);
const OWN = latestVersion(MIGRATIONS);
const NEXT_STEP: MigrationStep = {
  version: OWN + 1,
  phase: "expand",
  sql: `ALTER TABLE owners ADD COLUMN note TEXT;
    CREATE TABLE remarks (id TEXT NOT NULL PRIMARY KEY, body TEXT) STRICT;`,
  widens: [],
  retires: [],
};
const NEXT: Migrations = { ...MIGRATIONS, steps: [...MIGRATIONS.steps, NEXT_STEP] };
const ADD_OWNER =
  "INSERT INTO owners (owner_id, name, spki, created_at) VALUES (?1, ?2, CAST(?1 AS BLOB), 1)";
const { server } = shareStateServer("servers of two versions on one store");
const closings: (() => void)[] = [];
let settings: StateSettings;

beforeEach(async () => {
  if (POSTGRESQL_BIN === undefined) return;
  settings = await server.create({ goesOn: false, isShared: true });
  // These stores wait in place: nobody would take the database's words from it meanwhile.
  await server.admin(settings, `alter database ${settings.login.database} set log_statement = none`);
});
afterEach(() => {
  for (const close of closings.splice(0).reverse()) close();
});

/** One server's copy and connection, without a thread. */
function join(
  migrations: Migrations,
  database = new SqliteDatabase(":memory:", {}),
  waiting: ReadonlySet<string> = new Set(),
) {
  migrateSqlite(database, migrations);
  prepareMirror(database, "test");
  const connection = new PostgresConnection(settings, () => undefined);
  closings.push(() => connection.close());
  connection.connect();
  const remote = new RemoteStore(connection, settings);
  let ids = 0;
  const newId = () => `${latestVersion(migrations)} ${++ids}`;
  const mirror = new Mirror({ database, remote, newId, isShared: true, waiting });
  mirror.bringTogether(remote.takeOver("test", settings, latestVersion(migrations)), { isStart: true });
  const follow = () => mirror.bringTogether(remote.place(), { isStart: false });
  return {
    database,
    remote,
    follow,
    /** One group, upon what the others wrote. */
    write: (sql: string, ...values: readonly string[]) => {
      follow();
      mirror.begin();
      database.exec("BEGIN IMMEDIATE");
      database.run(sql, ...values);
      try {
        mirror.keep([]);
        database.exec("COMMIT");
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      } finally {
        mirror.end();
      }
    },
    owners: () => database.all("SELECT * FROM owners ORDER BY owner_id").map(({ values }) => ({ ...values })),
  };
}

const bringUp = () => server.admin(settings, `begin; ${formatStateUpgrade(NEXT, OWN)} commit;`);
const there = (sql: string) => server.admin(settings, sql);

describe.skipIf(POSTGRESQL_BIN === undefined)("servers of two versions on one store", () => {
  test("live with one another: neither loses what the other wrote, and the newer one's columns stay", async () => {
    const old = join(MIGRATIONS);
    old.write(ADD_OWNER, "own_1", "alice");
    await bringUp();
    // Nothing was changed under it: it goes on with the copy that it has.
    old.write(ADD_OWNER, "own_2", "bob");
    const next = join(NEXT);
    next.write("UPDATE owners SET note = 'kept' WHERE owner_id = ?", "own_1");
    next.write("INSERT INTO remarks VALUES (?, 'of the next')", "rem_1");
    next.write(
      "INSERT INTO owners (owner_id, name, spki, created_at, note) VALUES (?, 'carol', x'03', 1, 'new')",
      "own_3",
    );
    old.write("UPDATE owners SET name = 'alicia' WHERE owner_id = ?", "own_1");
    old.write("DELETE FROM owners WHERE owner_id = ?", "own_2");
    // Another of the older version may start, as one that was killed does.
    const again = join(MIGRATIONS);
    next.follow();
    const known = [
      { owner_id: "own_1", name: "alicia" },
      { owner_id: "own_3", name: "carol" },
    ];
    for (const { owners } of [old, again, next]) expect(owners()).toMatchObject(known);
    expect(next.owners()).toMatchObject([{ note: "kept" }, { note: "new" }]);
    expect(await there("select owner_id, name, note from trustwarden_state.owners order by 1")).toEqual([
      { owner_id: "own_1", name: "alicia", note: "kept" },
      { owner_id: "own_3", name: "carol", note: "new" },
    ]);
    expect(next.remote.isSettled).toBe(false);
  });

  test("a copy that an older server made is made anew: it left out what it does not know", async () => {
    const old = join(MIGRATIONS);
    await bringUp();
    join(NEXT).write("INSERT INTO remarks VALUES (?, 'of the next')", "rem_1");
    old.follow();
    const next = join(NEXT, old.database);
    expect(next.database.all("SELECT id FROM remarks").map((row) => row.text("id"))).toEqual(["rem_1"]);
  });

  test("the older one is shut out when it was not heard of for a minute, and one that stood still is fenced", async () => {
    const old = join(MIGRATIONS);
    await bringUp();
    const [next, other] = [join(NEXT), join(NEXT)];
    await there(`select trustwarden_state_log.beat('old', 0, 0, ${OWN})`);
    next.remote.settle();
    next.follow();
    expect(next.remote.isSettled).toBe(false);
    await there("update trustwarden_state_log.replicas set seen_at = now() - interval '61 seconds'");
    next.remote.settle();
    // One of the newer version that writes before it has heard of it runs its group again.
    const late = { version: 1_000, id: "late", described: "[]", changes: new Uint8Array() };
    expect(other.remote.apply(late)).toBe("behind");
    next.write(ADD_OWNER, "own_1", "alice");
    other.write(ADD_OWNER, "own_2", "bob");
    expect([next.remote.isSettled, other.remote.isSettled]).toEqual([true, true]);
    expect(() => old.write(ADD_OWNER, "own_3", "carol")).toThrow(
      expect.objectContaining({ code: "state_fenced" }),
    );
    expect(old.remote.apply(late)).toBe("fenced");
    expect(() => join(MIGRATIONS)).toThrow(expect.objectContaining({ code: "config_invalid" }));
    for (const call of [
      `beat('old', 0, 0, ${OWN})`,
      "beat('older', 0, 0)",
      `join_store(${OWN})`,
      "join_store()",
      `take_over('old', true, ${OWN})`,
      "take_over('old', true)",
    ])
      await expect(there(`select trustwarden_state_log.${call}`)).rejects.toMatchObject({ code: "TW004" });
  });

  test("one of before that comes in at the same moment stays out too, and has no epoch of those who go on", async () => {
    await bringUp();
    const settled = there(`begin; select trustwarden_state_log.settle(${OWN + 1}, 0);
      select pg_sleep(0.5) as held; commit`);
    const held = "select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep'";
    await expect.poll(() => there(held)).toEqual([{ n: 1 }]);
    const coming = [`join_store(${OWN})`, "join_store()", `take_over('old', true, ${OWN})`];
    const came = await Promise.allSettled(
      coming.map((call) => there(`select trustwarden_state_log.${call}`)),
    );
    for (const one of came) expect(one).toMatchObject({ status: "rejected", reason: { code: "TW004" } });
    await settled;
  });

  test("nobody uses what is new before it is settled, unless it is named with why: a group that does is not kept", async () => {
    await bringUp();
    await there(`select trustwarden_state_log.beat('old', 0, 0, ${OWN})`);
    const next = join(NEXT, undefined, waitingOf(NEXT));
    const early = expect.objectContaining({ rejection: "early" });
    next.write(ADD_OWNER, "own_1", "alice");
    const remark = () => next.write("INSERT INTO remarks VALUES (?, 'of the next')", "rem_1");
    expect(remark).toThrow(early);
    const note = () => next.write("UPDATE owners SET note = 'new' WHERE owner_id = ?", "own_1");
    expect(note).toThrow(early);
    expect(await there("select count(*)::int as n from trustwarden_state.remarks")).toEqual([{ n: 0 }]);
    // One that may is as any other, and so is what both know of the same row.
    join(NEXT, undefined, waitingOf(NEXT, { remarks: "of the test" })).write(
      "INSERT INTO remarks VALUES (?, 'early')",
      "rem_0",
    );
    next.write("UPDATE owners SET name = 'alicia' WHERE owner_id = ?", "own_1");
    await there("update trustwarden_state_log.replicas set seen_at = now() - interval '61 seconds'");
    next.remote.settle();
    remark();
    note();
    expect(next.owners()).toMatchObject([{ name: "alicia", note: "new" }]);
  });

  test("one that has the store alone waits for nobody of before", async () => {
    await bringUp();
    settings = { ...settings, isShared: false, goesOn: true };
    expect(join(NEXT).remote.isSettled).toBe(true);
    await expect(bringUp()).rejects.toThrow("of another version");
  });

  test("of a database that two servers of version 8 left every row is read, and they can go on with it", async () => {
    await there("drop schema trustwarden_state, trustwarden_state_log cascade");
    await there(gunzipSync(readFileSync(GOLDEN)).toString());
    await there("set search_path = ''");
    const [before] = await there("select version::int, epoch::int from trustwarden_state_log.store");
    const upgrade = formatStateUpgrade(
      { ...MIGRATIONS, steps: [...MIGRATIONS.steps.filter(({ version }) => version <= 9)] },
      8,
    );
    expect(upgrade).toContain("may work on");
    await there(`begin; ${upgrade} commit;`);
    // What a server of version 8 looks at is as it was.
    expect(
      await there("select schema_version, version::int, epoch::int from trustwarden_state_log.store"),
    ).toEqual([{ schema_version: 8, ...before }]);
    const now = join(MIGRATIONS);
    const [counted] = await there("select count(*)::int as instances from trustwarden_state.instances");
    expect(now.database.get("SELECT COUNT(*) AS instances FROM instances")?.values).toEqual(counted);
    expect(counted?.instances).toBeGreaterThan(3);
    expect(
      now.database.get("SELECT 1 AS found FROM instances WHERE revoked_epoch IS NOT NULL"),
    ).toBeDefined();
    now.write(ADD_OWNER, "own_9", "of both");
  });
});

test("what need not wait is of the latest version, and says why", () => {
  const added = MIGRATIONS.steps.slice(-1).flatMap(additionsOf);
  expect(added.length).toBeGreaterThan(0);
  for (const [name, why] of Object.entries(NEED_NOT_WAIT)) {
    expect(added).toContain(name);
    expect(why.length).toBeGreaterThan(40);
  }
  // A feature that comes with the next version waits unless somebody says otherwise.
  expect([...waitingOf(NEXT)]).toEqual(["owners.note", "remarks"]);
});

describe("a step that servers of the version before live with", () => {
  const reasons = (change: Partial<MigrationStep>) => reasonsToStop({ ...NEXT_STEP, ...change });

  test("is version 9, and whatever comes next with tables, columns and what is gone as a whole", () => {
    expect(reasonsToStop(VERSION_9)).toEqual([]);
    expect(reasons({})).toEqual([]);
    expect(reasons({ phase: "contract", sql: "DROP TABLE remarks; DROP INDEX remarks_by_body;" })).toEqual(
      [],
    );
  });

  test.each([
    ["a column, before version 10", { version: 9 }],
    [
      "a reference to rows of before",
      { sql: "CREATE TABLE t (id TEXT PRIMARY KEY, o TEXT REFERENCES owners (owner_id)) STRICT;" },
    ],
    ["columns that go", { sql: "ALTER TABLE owners DROP COLUMN note;" }],
    ["a check that admits more", { widens: [{ table: "owners", column: "kind", check: "CHECK (true)" }] }],
  ] as const)("has not: %s", (_, change) => {
    expect(reasons(change)).toHaveLength(1);
  });

  test("is said by the statements, and where it is none, that all have to stop", () => {
    expect(formatStateUpgrade(NEXT, OWN)).toContain(`Servers of version ${OWN} may work on`);
    expect(formatStateUpgrade(NEXT, OWN - 1)).toContain("Stop all servers first");
    expect(formatStateSchema(NEXT)).toContain(`set tables_version = ${OWN + 1}`);
  });
});
