/** What counts once, claimed by several servers at the same time, in a real PostgreSQL of Debian. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { POSTGRESQL_BIN } from "../../../test/support/postgresql.ts";
import { readPrivateFile } from "../../signer/private-file.ts";
import { openPostgresLogin } from "../postgres-login.ts";
import type { StateSettings } from "./protocol.ts";
import { shareStateServer } from "./state-server.test.support.ts";
import { PostgresUseRows } from "./use-rows.ts";

const ROUNDS = 40;
const NAMES = 128;
const { server } = shareStateServer("what counts once");
let settings: StateSettings;
const opened: PostgresUseRows[] = [];

beforeEach(async () => {
  if (POSTGRESQL_BIN !== undefined) settings = await server.create({ isShared: true });
});
afterEach(async () => {
  for (const rows of opened.splice(0)) await rows.close();
});

function open(): PostgresUseRows {
  const rows = new PostgresUseRows(() =>
    openPostgresLogin(settings.login, "state.postgres", readPrivateFile),
  );
  opened.push(rows);
  return rows;
}

const useOf = (name: string) => ({ kind: "intent", name, mark: "m", seconds: 60 });

describe.skipIf(POSTGRESQL_BIN === undefined)("what counts once", () => {
  test("is one server's, whatever the order in which both are shown it, and nobody waits for the other", async () => {
    const [left, right] = [open(), open()];
    for (let round = 0; round < ROUNDS; round += 1) {
      const uses = Array.from({ length: NAMES }, (_, at) => useOf(`${round} ${at}`));
      const used = await Promise.all([left.claim(uses), right.claim(uses.toReversed())]);
      const names = used.flat().map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect(names.toSorted()).toEqual(uses.map(({ name }) => name).toSorted());
    }
  });
});
