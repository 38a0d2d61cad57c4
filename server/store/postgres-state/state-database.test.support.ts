/** State stores of tests, each in a database of its own in one real PostgreSQL. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgresql, type TestPostgresql } from "../../../test/support/postgresql.ts";
import { MIGRATIONS } from "../migrations/steps.ts";
import type { StateSettings } from "./protocol.ts";
import { formatStateSchema } from "./schema-text.ts";

const LOGIN = "tw_state";

export interface TestStateServer {
  readonly postgresql: TestPostgresql;
  /** A new store, empty, at the latest version. */
  create(change?: Partial<StateSettings>): Promise<StateSettings>;
  /** Runs statements in a store's database as its owner; rows of the last. */
  admin(settings: StateSettings, sql: string): Promise<readonly Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** @param options - of the process that is PostgreSQL. */
export async function startStateServer(
  options: Parameters<typeof startPostgresql>[0] = {},
): Promise<TestStateServer> {
  const postgresql = await startPostgresql(options);
  const folder = mkdtempSync(join(tmpdir(), "tw-state-"));
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, "of the state\n", { mode: 0o600 });
  await postgresql.admin("create database template_state");
  await postgresql.admin(`begin; ${formatStateSchema(MIGRATIONS)} commit;`, "template_state");
  await postgresql.admin(
    `create role ${LOGIN} login password 'of the state' in role trustwarden_state_server`,
  );
  // A server that may forget what it has committed is refused; what is made before a test may be forgotten.
  await postgresql.admin("alter system set fsync = on");
  await postgresql.admin("select pg_reload_conf()");
  let stores = 0;
  return {
    postgresql,
    create: async (change = {}) => {
      stores += 1;
      const database = `state_${stores}`;
      await postgresql.admin(`create database ${database} template template_state`);
      return {
        login: { host: "127.0.0.1", port: postgresql.port, database, user: LOGIN, passwordFile },
        sessionTimeoutMs: 30_000,
        statementTimeoutMs: 10_000,
        lockWaitMs: 10_000,
        goesOn: true,
        isShared: false,
        ...change,
      };
    },
    admin: (settings, sql) => postgresql.admin(sql, settings.login.database),
    close: async () => {
      // Nothing of it is read again, so its last checkpoint need not wait for the disk.
      await postgresql.admin("alter system set fsync = off");
      await postgresql.admin("select pg_reload_conf()");
      await postgresql.close();
      rmSync(folder, { recursive: true });
    },
  };
}
