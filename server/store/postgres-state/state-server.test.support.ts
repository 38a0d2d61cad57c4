/** The one PostgreSQL of a file of tests, which its state stores are in. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { POSTGRESQL_BIN } from "../../../test/support/postgresql.ts";
import { dumpTables } from "../commands/fixture.test.support.ts";
import { openForReading } from "../schema.ts";
import { startStateServer, type TestStateServer } from "./state-database.test.support.ts";

/** What the tests of one file share. */
export interface SharedStateServer {
  /** There once tests run. */
  readonly server: Omit<TestStateServer, "close">;
  /** For their files; gone with the server. */
  readonly folder: string;
}

/**
 * Has a server before the first test of a file and none after the last. Without Debian's PostgreSQL there is nothing to
 * test, and that is said.
 *
 * @param subject - of the tests.
 */
export function shareStateServer(subject: string): SharedStateServer {
  const folder = mkdtempSync(join(tmpdir(), "tw-state-"));
  let started: TestStateServer | undefined;
  if (POSTGRESQL_BIN === undefined)
    process.stderr.write(`SKIPPED: ${subject}; install Debian's postgresql\n`);
  beforeAll(async () => {
    if (POSTGRESQL_BIN !== undefined) started = await startStateServer();
  });
  afterAll(async () => {
    await started?.close();
    rmSync(folder, { recursive: true });
  });
  const there = (): TestStateServer => {
    if (started === undefined) throw new Error("the server is there once tests run");
    return started;
  };
  return {
    folder,
    server: {
      get postgresql() {
        return there().postgresql;
      },
      create: (change) => there().create(change),
      admin: (settings, sql) => there().admin(settings, sql),
    },
  };
}

/** Every row of a copy of the state, without what only a copy has. */
export function dumpMirror(dataDir: string): Readonly<Record<string, readonly unknown[]>> {
  const database = openForReading(dataDir, "state-mirror.db");
  const { mirror: _, mirror_unsent: __, sqlite_sequence: ___, ...tables } = dumpTables(database);
  database.close();
  return tables;
}
