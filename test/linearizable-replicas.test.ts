/**
 * Two servers on one store, each killed in turn while clients ask both, over links that lose answers and part them from the
 * database: what the clients recorded has to be what one server could have answered that does one thing at a time and never
 * dies. Without Debian's PostgreSQL there is nothing to test, and that is said.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createOwner } from "./support/actors.ts";
import {
  type Ground,
  type Recorded,
  recordJoinTokens,
  recordPolicy,
  recordQuota,
  recordStops,
  stoppedByMany,
} from "./support/histories.ts";
import { findLinearization } from "./support/linearizability.ts";
import { createPolicyKey } from "./support/policies.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";
import { startReplicas, type TwoReplicas } from "./support/replicas.ts";

const PATIENT = { timeout: 100_000, interval: 10 };
const START_MS = 120_000;
const QUOTA = 3;
/** Questions between two faults, and between two cuts of a link. */
const QUESTIONS = 60;
const RESET_EVERY = 30;
/** Longer than a lease: a server that is parted from the database says nothing any more. */
const PARTED_MS = 1500;

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: histories of servers that share a store; install Debian's postgresql\n");

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers on one store, under faults", () => {
  const key = createPolicyKey("release");
  let two: TwoReplicas;
  beforeAll(async () => {
    two = await startReplicas({
      quotas: { agentsPerOwner: QUOTA, liveInstancesPerOwner: 10_000, issuesPerOwnerPerHour: 10_000 },
      policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
    });
  }, START_MS);
  afterAll(() => two.close());

  test("answer as one that does one thing at a time", async () => {
    const [quota, tokens, stops, policy] = await underFaults((ground) =>
      Promise.all([
        recordQuota(ground, { clients: 4, quota: QUOTA }),
        recordJoinTokens(ground, { clients: 3 }),
        recordStops(ground, { clients: 3, uses: 4 }),
        recordPolicy(ground, { clients: 2, key }),
      ]),
    );
    expectLinearizable([quota]);
    expectLinearizable(tokens);
    expectLinearizable(stops.map(stoppedByMany));
    expectLinearizable([policy]);
    const outputs = [quota, policy, ...tokens, ...stops].flatMap(({ history }) =>
      history.map(({ output }): unknown => output),
    );
    expect(outputs).toEqual(
      expect.arrayContaining(["made", "full", "stopped", "admitted", "refused", "allowed", undefined]),
    );
  });

  /** Lets clients ask both while each is killed, and each is parted from the database. */
  async function underFaults<Result>(clients: (ground: Ground) => Promise<Result>): Promise<Result> {
    const { replicas } = two;
    const owner = await createOwner(await replicas[0].up(), "many");
    let asked = 0;
    let isOver = false;
    const onAsked = () => {
      asked += 1;
      if (asked % RESET_EVERY === 0) replicas[asked % 2]?.front.reset();
    };
    const recording = clients({ servers: replicas, owner, isOver: () => isOver, onAsked });
    for (const replica of replicas) {
      for (const fault of [() => replica.restart(), () => part(replica)]) {
        const before = asked;
        await vi.waitUntil(() => asked >= before + QUESTIONS, PATIENT);
        await fault();
      }
    }
    isOver = true;
    return recording;
  }

  async function part({ database }: TwoReplicas["replicas"][number]): Promise<void> {
    database.part();
    await sleep(PARTED_MS);
    database.heal();
    database.reset();
  }
});

function expectLinearizable<State, Input, Output>(recorded: readonly Recorded<State, Input, Output>[]): void {
  const decided = recorded.filter(({ history }) => history.some(({ output }) => output !== undefined));
  expect(decided.length).toBeGreaterThan(0);
  for (const { history, model } of decided)
    expect(findLinearization(history, model), JSON.stringify(history)).toBeDefined();
}
