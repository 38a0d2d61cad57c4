/**
 * A server that is killed while many clients ask it, over a link that loses their answers: what they recorded has to be
 * what one server could have answered that does one thing at a time and never dies.
 */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createOwner } from "./support/actors.ts";
import { configureHome, startProcess } from "./support/crash-server.ts";
import { type FaultyLink, openFaultyLink } from "./support/faulty-link.ts";
import {
  ALIVE,
  type Ground,
  recordJoinTokens,
  recordPolicy,
  recordQuota,
  recordStops,
  requireOrders,
} from "./support/histories.ts";
import { findLinearization } from "./support/linearizability.ts";
import { createPolicyKey } from "./support/policies.ts";
import { createHome, type TestServer } from "./support/server.ts";

const PATIENT = { timeout: 100_000, interval: 10 };
const QUOTA = 3;
const KILLS = 2;
/** Questions between two kills, and between two cuts of the link. */
const QUESTIONS = 80;
const RESET_EVERY = 30;
const home = createHome();
const key = createPolicyKey("release");
let link: FaultyLink;
let running: ReturnType<typeof startProcess>;
/** Replaced when the process is; whoever asks waits for it. */
let up: Promise<TestServer>;

beforeAll(async () => {
  configureHome(home, {
    quotas: {
      agentsPerOwner: QUOTA,
      liveInstancesPerOwner: 10_000,
      issuesPerOwnerPerHour: 10_000,
      easyAgentsPerOwnerPerMinute: 10_000,
    },
    policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
  });
  up = start();
  await up;
});
afterAll(async () => {
  running.kill();
  await running.gone;
  await link.close();
  home.remove();
});

async function start(): Promise<TestServer> {
  running = startProcess(home);
  const server = await running.ready;
  if (server === undefined) throw new Error(running.errors());
  const before = link;
  link = await openFaultyLink(Number(new URL(server.url).port));
  await before?.close();
  return { ...server, url: `https://127.0.0.1:${link.port}` };
}

/** A try after a failure goes on with the same state. */
let tries = 0;

/** Lets clients ask while the server is killed, and says when it is over. */
async function underKills<Result>(clients: (ground: Ground) => Promise<Result>): Promise<Result> {
  tries += 1;
  const owner = await createOwner(await up, `many-${tries}`);
  let asked = 0;
  let isOver = false;
  const onAsked = () => {
    asked += 1;
    if (asked % RESET_EVERY === 0) link.reset();
  };
  const recording = clients({ servers: [{ up: () => up }], owner, isOver: () => isOver, onAsked });
  for (let kills = 0; kills < KILLS; kills += 1) {
    const before = asked;
    await vi.waitUntil(() => asked >= before + QUESTIONS, PATIENT);
    const { gone, kill } = running;
    kill();
    up = gone.then(start);
    await up;
  }
  isOver = true;
  return recording;
}

test("quota, join tokens, stops and the policy's version are those of one server that never dies", async () => {
  const [quota, tokens, stops, policy] = await underKills((ground) =>
    Promise.all([
      recordQuota(ground, { clients: 5, quota: QUOTA }),
      recordJoinTokens(ground, { clients: 3 }),
      recordStops(ground, { clients: 3, uses: 4 }),
      recordPolicy(ground, { clients: 2, key }),
    ]),
  );
  requireOrders([quota]);
  requireOrders(tokens);
  requireOrders(stops);
  requireOrders([policy]);
  // What was recorded is worth looking at: each of the answers came, and another answer would have been found out.
  const outputs = [quota, policy, ...tokens, ...stops].flatMap(({ history }) =>
    history.map(({ output }): unknown => output),
  );
  expect(outputs).toEqual(
    expect.arrayContaining([
      "made",
      "full",
      "stopped",
      "admitted",
      "refused",
      "allowed",
      "rollback",
      undefined,
    ]),
  );
  const used = stops.find(({ history }) => history.some(({ output }) => output === "refused"));
  const forged = used?.history.map((one) =>
    one.output === "refused" ? { ...one, askedAt: 0, answeredAt: 0 } : one,
  );
  expect(findLinearization(forged ?? [], ALIVE)).toBeUndefined();
});
