/**
 * Histories of two servers on one store, each killed in turn while clients ask both, over links that lose answers and part them
 * from the database: what the clients recorded has to be what one server could have answered that does one thing at a time and
 * never dies.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createOwner } from "./actors.ts";
import {
  type Ground,
  recordJoinTokens,
  recordPolicy,
  recordQuota,
  recordStops,
  requireOrders,
  stoppedByMany,
} from "./histories.ts";
import { createPolicyKey } from "./policies.ts";
import type { Replica, TwoReplicas } from "./replicas.ts";

const QUOTA = 3;
/** Questions between two faults, and between two cuts of a link. */
const QUESTIONS = 60;
const RESET_EVERY = 30;
/** Longer than a lease: a server that is parted from the database says nothing any more. */
const PARTED_MS = 1500;
const LOOK_MS = 10;
const PATIENCE_MS = 300_000;

const key = createPolicyKey("release");

/** Of both servers. */
export const HISTORY_SETTINGS = {
  quotas: { agentsPerOwner: QUOTA, liveInstancesPerOwner: 10_000, issuesPerOwnerPerHour: 10_000 },
  policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
};

/** Records quota, join tokens, stops and the policy's version under faults. @throws AssertionError for a history of no one server. */
export async function requireLinearizable(two: TwoReplicas, name: string): Promise<ReadonlySet<unknown>> {
  const [quota, tokens, stops, policy] = await underFaults(two, name, (ground) =>
    Promise.all([
      recordQuota(ground, { clients: 4, quota: QUOTA }),
      recordJoinTokens(ground, { clients: 3 }),
      recordStops(ground, { clients: 3, uses: 4 }),
      recordPolicy(ground, { clients: 2, key }),
    ]),
  );
  requireOrders([quota]);
  requireOrders(tokens);
  requireOrders(stops.map(stoppedByMany));
  requireOrders([policy]);
  const all = [quota, policy, ...tokens, ...stops];
  return new Set(all.flatMap(({ history }) => history.map(({ output }): unknown => output)));
}

/** Lets clients ask both while each is killed, and each is parted from the database. */
async function underFaults<Result>(
  { replicas }: TwoReplicas,
  name: string,
  clients: (ground: Ground) => Promise<Result>,
): Promise<Result> {
  const owner = await createOwner(await replicas[0].up(), name);
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
      const untilMs = performance.now() + PATIENCE_MS;
      while (asked < before + QUESTIONS) {
        assert.ok(performance.now() < untilMs, "the servers answer");
        await sleep(LOOK_MS);
      }
      await fault();
    }
  }
  isOver = true;
  return recording;
}

async function part({ database }: Replica): Promise<void> {
  database.part();
  await sleep(PARTED_MS);
  database.heal();
  database.reset();
}
