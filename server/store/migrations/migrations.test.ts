/** Stores of before open, and steps that would shut out the version before them are found. */

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createReads } from "../reads.ts";
import { openForReading, openForWriting, openInMemory } from "../schema.ts";
import { SqliteDatabase } from "../sqlite-database.ts";
import { migrateSqlite } from "./migrate-sqlite.ts";
import { brokenRules, statementsOf } from "./rules.ts";
import { latestVersion, MIGRATIONS, type MigrationStep } from "./steps.ts";

const GOLDEN = new URL("./golden/", import.meta.url);
const NAMES = readdirSync(GOLDEN).filter((name) => name.endsWith(".db.gz"));
const LATEST = latestVersion(MIGRATIONS);

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "tw-migrate-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

function unpack(name: string): void {
  writeFileSync(join(dataDir, "state.db"), gunzipSync(readFileSync(new URL(name, GOLDEN))), { mode: 0o600 });
}

/** The version of the server that made a golden store. */
function versionIn(name: string): number {
  return Number(/^state-v(\d+)-/.exec(name)?.[1]);
}

/** Tables with their columns, and indexes with what they are on: what can be told apart of two schemas. */
function shapeOf(database: SqliteDatabase): readonly string[] {
  return database
    .all("SELECT type, name, COALESCE(sql, '') AS sql FROM sqlite_schema ORDER BY type, name")
    .map((row) => `${row.text("type")} ${row.text("name")} ${row.text("sql").replace(/["\s]+/g, "")}`);
}

function rowsOf(database: SqliteDatabase): Readonly<Record<string, number>> {
  const tables = database.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
  return Object.fromEntries(
    tables.map((table) => {
      const name = table.text("name");
      return [name, database.get(`SELECT COUNT(*) AS n FROM ${name}`)?.integer("n") ?? -1];
    }),
  );
}

describe("a store of an earlier version", () => {
  test("is here to be opened, for each version since the first", () => {
    const versions = new Set(NAMES.map((name) => versionIn(name)));
    expect([...versions].sort()).toEqual([4, 5, 6, 7, 8]);
    expect(LATEST - 1).toBe(Math.max(...versions));
  });

  test.each(NAMES)("is brought to the present version with every row: %s", (name) => {
    unpack(name);
    const old = new SqliteDatabase(join(dataDir, "state.db"), {});
    const before = rowsOf(old);
    expect(old.get("PRAGMA user_version")?.integer("user_version")).toBe(versionIn(name));
    old.close();
    const migrated = openForWriting(dataDir);
    expect(migrated.get("PRAGMA user_version")?.integer("user_version")).toBe(LATEST);
    expect(rowsOf(migrated)).toMatchObject(before);
    expect(migrated.get("PRAGMA foreign_keys")?.integer("foreign_keys")).toBe(1);
    const fresh = openInMemory();
    expect(shapeOf(migrated)).toEqual(shapeOf(fresh));
    fresh.close();
    migrated.close();
  });

  test.each(NAMES)("answers the reads of today: %s", (name) => {
    unpack(name);
    openForWriting(dataDir).close();
    const reads = createReads(openForReading(dataDir), () => 0);
    expect(reads.listOwners({ after: "", limit: 1_000_000 }).length).toBe(reads.counts().owners);
    expect(reads.counts().owners).toBeGreaterThan(0);
    for (const agent of reads.listAgents({ limit: 1000 }))
      for (const { instanceId } of agent.instances)
        expect(reads.chainOf(instanceId).at(-1)).toMatchObject({ instanceId });
    expect(reads.targetsSince(0)).toHaveLength(reads.epoch());
    expect(reads.authority().slots.length).toBeGreaterThan(2);
    for (const list of [
      reads.listFederations,
      reads.listUpstreams,
      reads.listSecrets,
      reads.listBudgets,
      reads.listBudgetUse,
    ])
      expect(list()).toBeInstanceOf(Array);
    expect(reads.listEntries({ limit: 100 })).toBeInstanceOf(Array);
    expect(reads.listApprovals({ isOpen: false, now: 0, limit: 100 })).toBeInstanceOf(Array);
    expect(reads.pendingEntries()).toBeInstanceOf(Array);
    reads.close();
  });

  test("never changes: what it began with is the same text for ever", () => {
    expect(createHash("sha256").update(MIGRATIONS.base.sql).digest("hex")).toBe(
      "cc46781623bb321720eb8dd3ba1e8dcdf49143fed6adf942ac0fe9eb8a16ddef",
    );
  });
});

describe("a store that does not fit", () => {
  test("of a later version is refused and left alone", () => {
    openForWriting(dataDir).close();
    const newer = new SqliteDatabase(join(dataDir, "state.db"), {});
    newer.exec(`PRAGMA user_version = ${LATEST + 1}`);
    newer.close();
    expect(() => openForWriting(dataDir)).toThrow(
      expect.objectContaining({
        code: "config_invalid",
        details: expect.objectContaining({ version: LATEST + 1, reason: expect.stringContaining("newer") }),
      }),
    );
    const after = new SqliteDatabase(join(dataDir, "state.db"), {});
    expect(after.get("PRAGMA user_version")?.integer("user_version")).toBe(LATEST + 1);
    after.close();
  });

  test("of a version before the first that is known is refused", () => {
    const old = new SqliteDatabase(join(dataDir, "state.db"), {});
    old.exec("PRAGMA user_version = 3");
    old.close();
    expect(() => openForWriting(dataDir)).toThrow(expect.objectContaining({ code: "config_invalid" }));
  });

  test("whose step fails stays as it was, and its references are guarded again", () => {
    const database = new SqliteDatabase(":memory:", {});
    migrateSqlite(database, MIGRATIONS);
    const shape = shapeOf(database);
    const broken = step({
      version: LATEST + 1,
      sql: "CREATE TABLE fine (id TEXT PRIMARY KEY) STRICT; CREATE TABLE owners (x TEXT);",
    });
    expect(() => migrateSqlite(database, { ...MIGRATIONS, steps: [...MIGRATIONS.steps, broken] })).toThrow();
    expect(shapeOf(database)).toEqual(shape);
    expect(database.get("PRAGMA user_version")?.integer("user_version")).toBe(LATEST);
    expect(database.get("PRAGMA foreign_keys")?.integer("foreign_keys")).toBe(1);
    database.close();
  });
});

test("a step that takes rows away under others leaves the store as it was", () => {
  const database = new SqliteDatabase(":memory:", {});
  const made = step({
    sql: `CREATE TABLE mothers (id TEXT NOT NULL PRIMARY KEY) STRICT;
      CREATE TABLE children (id TEXT NOT NULL PRIMARY KEY, mother TEXT REFERENCES mothers (id)) STRICT;`,
  });
  const steps = [...MIGRATIONS.steps, made];
  migrateSqlite(database, { ...MIGRATIONS, steps });
  database.exec("INSERT INTO mothers VALUES ('a'); INSERT INTO children VALUES ('b', 'a')");
  const taken = step({ version: LATEST + 2, phase: "contract", sql: "DELETE FROM mothers;" });
  expect(() => migrateSqlite(database, { ...MIGRATIONS, steps: [...steps, taken] })).toThrow(
    "refers to nothing",
  );
  expect(rowsOf(database)).toMatchObject({ mothers: 1, children: 1 });
  expect(database.get("PRAGMA user_version")?.integer("user_version")).toBe(LATEST + 1);
  database.close();
});

function step(change: Partial<MigrationStep>): MigrationStep {
  return { version: LATEST + 1, phase: "expand", sql: "", widens: [], retires: [], ...change };
}

describe("the rules of migrations", () => {
  const broken = (...steps: readonly Partial<MigrationStep>[]) =>
    brokenRules({
      base: MIGRATIONS.base,
      steps: [
        ...MIGRATIONS.steps,
        ...steps.map((change, index) => step({ version: LATEST + 1 + index, ...change })),
      ],
    });

  test("are kept by every step there is", () => {
    expect(statementsOf(MIGRATIONS.base.sql).length).toBeGreaterThan(50);
    expect(brokenRules(MIGRATIONS)).toEqual([]);
  });

  test.each([
    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY) STRICT",
    "CREATE INDEX owners_by_date ON owners (created_at)",
    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, n TEXT) STRICT, WITHOUT ROWID; CREATE UNIQUE INDEX t_n ON t (n)",
    "ALTER TABLE owners ADD COLUMN note TEXT",
    "ALTER TABLE owners ADD COLUMN person_id TEXT REFERENCES owners (owner_id)",
  ])("let a step that expands say: %s", (sql) => {
    expect(broken({ sql })).toEqual([]);
  });

  test.each([
    "CREATE TABLE t (id TEXT) STRICT",
    "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT) STRICT",
    "CREATE UNIQUE INDEX owners_by_date ON owners (created_at)",
    "ALTER TABLE owners ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE owners RENAME COLUMN name TO title",
    "ALTER TABLE owners DROP COLUMN name",
    "DROP TABLE owners",
    "UPDATE owners SET name = ''",
    "CREATE TABLE t (id TEXT PRIMARY KEY, CHECK (json_valid(id))) STRICT",
  ])("do not let a step that expands say: %s", (sql) => {
    expect(broken({ sql })).toHaveLength(1);
  });

  test("let a step take away what an earlier version retired, and nothing else", () => {
    const contract = {
      phase: "contract",
      sql: "ALTER TABLE owners DROP COLUMN name; DROP TABLE labels",
    } as const;
    expect(broken({ retires: ["owners.name", "labels"] }, contract)).toEqual([]);
    expect(broken({ retires: ["owners.name"] }, contract)).toHaveLength(1);
    expect(broken({ ...contract, retires: ["owners.name", "labels"] })).toHaveLength(2);
    expect(
      broken({}, { phase: "contract", sql: "CREATE TABLE t (id TEXT PRIMARY KEY) STRICT" }),
    ).toHaveLength(1);
  });

  test("let no version be left out", () => {
    expect(broken({ version: LATEST + 2 })).toHaveLength(1);
  });
});
