/**
 * Two servers on one store, each killed in turn while clients ask both, over links that lose answers and part them from the
 * database: what the clients recorded has to be what one server could have answered that does one thing at a time and never
 * dies. Without Debian's PostgreSQL there is nothing to test, and that is said.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HAS_NATS, startNats, type TestNats } from "./support/nats.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";
import { HISTORY_SETTINGS, requireLinearizable } from "./support/replica-histories.ts";
import { startReplicas, type TwoReplicas } from "./support/replicas.ts";

const START_MS = 120_000;

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: histories of servers that share a store; install Debian's postgresql\n");

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers on one store, under faults", () => {
  let nats: TestNats | undefined;
  let two: TwoReplicas;
  beforeAll(async () => {
    nats = HAS_NATS ? await startNats() : undefined;
    two = await startReplicas(HISTORY_SETTINGS, nats === undefined ? {} : { notices: nats.settings });
  }, START_MS);
  afterAll(async () => {
    await two.close();
    await nats?.close();
  });

  test("answer as one that does one thing at a time", async () => {
    const outputs = await requireLinearizable(two, "many");
    expect([...outputs]).toEqual(
      expect.arrayContaining(["made", "full", "stopped", "admitted", "refused", "allowed", undefined]),
    );
  });
});
