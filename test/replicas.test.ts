/**
 * Two servers, each a process of its own, on one store and one ledger in a real PostgreSQL: what one does the other knows,
 * what was used at one is used at the other, and either may be killed at any time. Without Debian's PostgreSQL there is
 * nothing to test, and that is said.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  ownerRequest,
  parseDecision,
  postEnrolment,
  serverIdOf,
  ticketOf,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";
import { ReplicaCampaign } from "./support/replica-campaign.ts";
import { startReplicas, type TwoReplicas } from "./support/replicas.ts";
import type { TestServer } from "./support/server.ts";

const START_MS = 120_000;
const CAMPAIGN_MS = 600_000;
const PATIENT = { timeout: 60_000, interval: 100 };
const KILLS = 2;
const QUOTA = 5;
const EACH = 8;
const TURNS = 3;

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: servers that share a store; install Debian's postgresql\n");

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers on one store and one ledger", () => {
  let two: TwoReplicas;
  beforeAll(async () => {
    two = await startReplicas({
      quotas: { agentsPerOwner: QUOTA, liveInstancesPerOwner: 1000, issuesPerOwnerPerHour: 1000 },
    });
  }, START_MS);
  afterAll(() => two.close());

  test("know what the other did, and use up an intent for both", async () => {
    const [left, right] = await Promise.all(two.replicas.map((replica) => replica.up()));
    if (left === undefined || right === undefined) throw new Error("two servers");
    const owner = await createOwner(left, "many");
    const agent = await enrolAgent(right, owner, { name: "one" });
    const verifier = await enrolVerifier(left);
    for (const [asked, other] of [
      [left, right],
      [right, left],
    ] as const) {
      const intent = visitIntent(agent, verifier);
      const visit = { caller: verifier, agent, intent };
      expect((await askDecision(asked, visit)).status).toBe(200);
      const again = await askDecision(other, visit);
      expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
    }
  });

  test("take a ticket once and keep a quota, however many ask at both at the same time (A1, A2, B2)", async () => {
    const servers = await Promise.all(two.replicas.map((replica) => replica.up()));
    const owner = await createOwner(await two.replicas[0].up(), "crowd");
    const both = <Asked>(ask: (server: TestServer, index: number) => Promise<Asked>) =>
      Promise.all(Array.from({ length: 2 * EACH }, (_, at) => ask(servers[at % 2] ?? raise(), at)));
    const ticket = ticketOf(owner, { name: "once" });
    const shown = await both((server) => postEnrolment(server, ticket, createTestSigner()));
    expect(shown.filter(({ status }) => status === 200)).toHaveLength(1);
    const named = await both((server, at) =>
      postEnrolment(server, ticketOf(owner, { name: `one-${at}` }), createTestSigner()),
    );
    // One has its place already.
    expect(named.filter(({ status }) => status === 200)).toHaveLength(QUOTA - 1);
    expect(new Set(named.filter(({ status }) => status !== 200).map(codeOf))).toEqual(
      new Set(["quota_exceeded"]),
    );
  });

  test("stop an agent for both, and take a request that an owner signed once (A6)", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const owner = await createOwner(left, "stopper");
    const agent = await enrolAgent(left, owner, { name: "stopped" });
    const verifier = await enrolVerifier(right);
    const aud = await serverIdOf(left);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const stop = ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
    expect((await send(left.url, stop)).status).toBe(200);
    const again = await send(right.url, stop);
    expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
    const late = await askDecision(right, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    expect(late.status).toBe(401);
  });

  test("take one outcome of a decision, also when what was answered at the other is long forgotten", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const agent = await enrolAgent(left, await createOwner(left, "ender"), { name: "ending" });
    const verifier = await enrolVerifier(right);
    const visit = { caller: verifier, agent, intent: visitIntent(agent, verifier) };
    const { receipt } = parseDecision(await askDecision(left, visit));
    const report = (server: TestServer, status: "success" | "failure") => {
      const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt, { status }) });
      return send(server.url, { method: "POST", target: "/v1/outcomes", body }, verifier.tls);
    };
    expect((await report(right, "success")).status).toBe(200);
    await two.state.postgresql.admin(
      "delete from trustwarden_state_log.appends where id like 'outcome %'",
      two.database,
    );
    const other = await report(left, "failure");
    expect([other.status, codeOf(other)]).toEqual([409, "event_conflict"]);
  });

  test("have the ledger turned by the one that sequences it, and sequence shards that they only followed", async () => {
    const said = new Set<unknown>();
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const replica of two.replicas) {
        const { adminSocket } = await replica.up();
        const turned = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
        const answer = await sendAdmin(adminSocket, turned);
        said.add(answer.status === 200 ? "turned" : codeOf(answer));
      }
    }
    // Another may take the seat in the middle of a turn, and finish it; nobody turns without the seat.
    said.delete("ledger_unavailable");
    expect(said).toEqual(new Set(["turned", "replica_refused"]));
    for (const replica of two.replicas) {
      const { adminSocket } = await replica.up();
      const shards = async () => (await sendAdmin(adminSocket, { target: "/ledger/shards" })).text;
      await vi.waitFor(
        async () => expect((await shards()).match(/"vkey"/g)?.length).toBeGreaterThan(TURNS),
        PATIENT,
      );
    }
    const [left, right] = two.replicas;
    let owners = 0;
    for (const [doomed, heir] of [
      [left, right],
      [right, left],
    ] as const) {
      await doomed.kill();
      await vi.waitFor(async () => {
        owners += 1;
        await createOwner(await heir.up(), `heir-${owners}`);
      }, PATIENT);
      await doomed.start();
    }
  });

  test("refuse a step of the authority, whose key only one would have", async () => {
    const { adminSocket } = await two.replicas[0].up();
    const body = JSON.stringify({ step: "rotate", kind: "intermediate", force: false, reason: "by hand" });
    const answer = await sendAdmin(adminSocket, { method: "POST", target: "/v1/authority/steps", body });
    expect([answer.status, codeOf(answer)]).toEqual([409, "replica_refused"]);
  });

  test("say nothing of what was decided under a lease that is over when the ledger has it", async () => {
    const server = await two.replicas[0].up();
    const owner = await createOwner(server, "held");
    const agent = await enrolAgent(server, owner, { name: "held" });
    const verifier = await enrolVerifier(server, "held");
    const hold = (table: string, seconds: number) =>
      two.state.postgresql.admin(
        `begin; lock table trustwarden_state_log.${table} in access exclusive mode; select pg_sleep(${seconds}); commit`,
        two.database,
      );
    const ask = () => askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    const carrying = hold("appends", 3);
    await sleep(500);
    const asked = ask();
    await sleep(1000);
    const beating = hold("replicas", 10);
    const refused = await asked;
    expect([refused.status, codeOf(refused)]).toEqual([503, "store_unavailable"]);
    await Promise.all([carrying, beating]);
    await vi.waitFor(async () => expect((await ask()).status).toBe(200), PATIENT);
  });

  test("say nothing where one is cut off from the database, while the other goes on", async () => {
    const [left, right] = two.replicas;
    const [a, b] = [await left.up(), await right.up()];
    const owner = await createOwner(a, "parted");
    const agent = await enrolAgent(a, owner, { name: "parted" });
    const verifier = await enrolVerifier(a);
    const ask = (server: TestServer) =>
      askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    right.database.part();
    const refused = await ask(b);
    expect([refused.status, codeOf(refused)]).toEqual([503, "store_unavailable"]);
    expect((await send(b.url, { target: "/healthz" })).status).toBe(200);
    // It may have been the one that sequences: the other has its seat when the database has given the lock up.
    await vi.waitFor(async () => expect((await ask(a)).status).toBe(200), PATIENT);
    right.database.heal();
    right.database.reset();
    await vi.waitFor(async () => expect((await ask(b)).status).toBe(200), PATIENT);
  });
});

test.skipIf(POSTGRESQL_BIN === undefined)(
  "two servers that are killed in turn lose, double and contradict nothing, and no check fails",
  async () => {
    const campaign = await ReplicaCampaign.begin();
    try {
      const seen = await campaign.run(KILLS);
      expect(seen.decisions).toBeGreaterThan(KILLS);
      expect(seen.replays).toBeGreaterThan(0);
    } finally {
      await campaign.end();
    }
  },
  CAMPAIGN_MS,
);

function raise(): never {
  throw new Error("two servers");
}
