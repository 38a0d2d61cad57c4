/**
 * What goes on in an outage, by action class, as docs/guides/outages.md says it: a real server, a real service and a real
 * database, each a process of its own, and the outage really happens.
 */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { call } from "../attacks/support/client.ts";
import { openEvidence } from "../attacks/support/evidence.ts";
import { visit } from "../attacks/support/visits.ts";
import { World } from "../attacks/support/world.ts";
import { shareStateServer } from "../server/store/postgres-state/state-server.test.support.ts";
import { postEnrolment, type TestInstance, ticketOf } from "./support/actors.ts";
import { mayMount } from "./support/disk-full.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import {
  CLOCK_AHEAD,
  CLOCK_BACK,
  databaseAway,
  homeOf,
  LEDGER_DISK_FULL,
  type Outage,
  POLICY_DEAD,
  SERVER_DEAD,
  SERVER_FROZEN,
} from "./support/outages.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";

/** How long the state's database is away: half an hour of it is `OUTAGE_SECONDS=1800`. */
const AWAY_SECONDS = Number(process.env.OUTAGE_SECONDS ?? 5);
/** SVIDs of agents that may delete last ten minutes; the others' an hour. */
const CLASS_A_SECONDS = 480;
const LONG = { timeout: 180_000 + AWAY_SECONDS * 1000 };
/** Until every lease has run out. */
const LEASES_MS = 1_500;
/** Whoever has not answered by then answers nobody. */
const SILENCE_MS = 5_000;
const AGAIN = { timeout: 60_000, interval: 500 };
const ROW = JSON.stringify({ account: "supplier", amountCents: -4200, memo: "invoice" });

const { server: database } = shareStateServer("an outage of the state's database");
const MAY_MOUNT = await mayMount();
if (!MAY_MOUNT) process.stderr.write("SKIPPED: a full disk needs the right to mount one\n");

/** What is answered, by what is asked. */
interface Cells {
  /** Deletes, pays, issues. */
  readonly a: string;
  /** Ordinary writes. */
  readonly b: string;
  /** Reads. */
  readonly c: string;
  /** A new identity. */
  readonly issue: string;
  readonly stop: string;
}

const GOES_ON: Cells = { a: "goes on", b: "goes on", c: "goes on", issue: "goes on", stop: "goes on" };

/** A server at work. */
interface Scene {
  readonly world: World;
  readonly agent: TestInstance;
  /** Whom the stop stops. */
  readonly other: TestInstance;
}

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(outage: Outage): Promise<Scene> {
  const home = homeOf(outage);
  const settings = (await outage.settings?.(home)) ?? {};
  const world = new World(settings, outage.faults ?? [], home);
  cleanups.push(() => world.close());
  // First: a disk that is in place cannot be removed with the directories.
  cleanups.push(() => outage.release?.(home));
  await world.start();
  const scope = ["read:transactions", "write:transactions", "delete:transactions"];
  const scene = { world, agent: await world.enrol(scope), other: await world.enrol(scope) };
  expect(await probe(scene, { isStopped: false })).toEqual(GOES_ON);
  return scene;
}

/** Asks for everything at once: an outage may be the end of the process that answers. */
async function probe(scene: Scene, { isStopped }: { readonly isStopped: boolean }): Promise<Cells> {
  const { world, agent, other } = scene;
  const owner = await world.owner();
  const ticket = ticketOf(owner, { name: world.name("late") });
  const target = { kind: "instance", id: other.answer.instance_id };
  const stop = JSON.stringify({ target });
  const health = () => call(world.server.stopUrl, { target: "/healthz" });
  const [a, b, c, issue, stopped] = await Promise.all([
    cellOf(visit(world, { agent, method: "DELETE", target: "/transactions/1" })),
    cellOf(visit(world, { agent, method: "POST", body: ROW })),
    cellOf(visit(world, { agent })),
    cellOf(enrol(world, ticket)),
    cellOf(
      isStopped
        ? sendAdmin(world.server.adminSocket, { method: "POST", target: "/v1/revocations", body: stop })
        : health(),
    ),
  ]);
  return { a, b, c, issue, stop: stopped };
}

/** What an enrolment is answered, or the question for the nonce that it needs. */
async function enrol({ server }: World, ticket: string): Promise<RawAnswer> {
  const nonce = await send(server.url, { target: "/v1/nonce" });
  return nonce.status === 200 ? postEnrolment(server, ticket, createTestSigner()) : nonce;
}

async function cellOf(asked: Promise<RawAnswer>): Promise<string> {
  const silence = new Promise<"nobody">((resolve) => setTimeout(resolve, SILENCE_MS, "nobody"));
  const answer = await Promise.race([asked.catch(() => "nobody" as const), silence]);
  if (typeof answer === "string") return `${answer} answers`;
  // What is deleted need not be there: the act was carried out.
  if (answer.status < 300 || (answer.status === 404 && codeOf(answer) === undefined)) return "goes on";
  return `${answer.status} ${codeOf(answer)}`;
}

/** Everything but who was stopped goes on again, and that stays stopped. */
async function expectBack(scene: Scene, { isStopped }: { readonly isStopped: boolean }): Promise<void> {
  await vi.waitFor(async () => expect(await probe(scene, { isStopped: false })).toEqual(GOES_ON), AGAIN);
  if (!isStopped) return;
  const late = await visit(scene.world, { agent: scene.other });
  expect([late.status >= 400, await stateOf(scene)]).toEqual([true, "revoked"]);
}

async function stateOf({ world, other }: Scene): Promise<unknown> {
  const { adminSocket } = world.server;
  const { text } = await sendAdmin(adminSocket, { target: `/v1/agents/${other.answer.agent_id}` });
  const found: unknown = JSON.parse(text).instances?.find(
    ({ instance_id }: { readonly instance_id: string }) => instance_id === other.answer.instance_id,
  )?.status;
  return found;
}

/** What docs/guides/outages.md says, a row an outage; each test below shows one. */
const NOBODY: Cells = {
  a: "503 lease_expired",
  b: "503 lease_expired",
  c: "503 lease_expired",
  issue: "nobody answers",
  stop: "nobody answers",
};
const CLOCK_BEHIND = "503 clock_rolled_back";
const UNDECIDED = "503 policy_unavailable";
const EXPIRED = "401 principal_refused";
const ROWS: readonly (readonly [Outage, Cells])[] = [
  [SERVER_DEAD, NOBODY],
  [SERVER_FROZEN, NOBODY],
  [POLICY_DEAD, { a: UNDECIDED, b: UNDECIDED, c: UNDECIDED, issue: UNDECIDED, stop: "goes on" }],
  [LEDGER_DISK_FULL, NOBODY],
  [databaseAway(() => database), { ...GOES_ON, issue: "503 store_unavailable" }],
  [CLOCK_BACK, { a: CLOCK_BEHIND, b: CLOCK_BEHIND, c: CLOCK_BEHIND, issue: CLOCK_BEHIND, stop: "goes on" }],
  [CLOCK_AHEAD, { a: EXPIRED, b: EXPIRED, c: EXPIRED, issue: EXPIRED, stop: "goes on" }],
];
const cellsOf = (outage: Outage): Cells => {
  const row = ROWS.find(([{ name }]) => name === outage.name);
  if (row === undefined) throw new Error(`no row for ${outage.name}`);
  return row[1];
};

describe("an outage", LONG, () => {
  it("is in docs/guides/outages.md, by what is answered in each", () => {
    const guide = readFileSync("docs/guides/outages.md", "utf8");
    for (const [{ name }, { a, b, c, issue, stop }] of ROWS) {
      const cells = [a, b, c, issue, stop].map((cell) => cell.replace(/^(\d+) (.*)$/, "$1 `$2`"));
      expect(guide).toContain(`| ${[name, ...cells].join(" | ")} |`);
    }
  });

  it.each([SERVER_DEAD, SERVER_FROZEN])("$name: nobody acts, and all go on afterwards", async (outage) => {
    const scene = await open(outage);
    await outage.begin(scene.world);
    expect(await probe(scene, { isStopped: true })).toEqual(cellsOf(outage));
    await outage.end(scene.world);
    await expectBack(scene, { isStopped: outage === SERVER_FROZEN });
  });

  it.each([POLICY_DEAD, CLOCK_BACK])("$name: nothing but a stop goes on", async (outage) => {
    const scene = await open(outage);
    await outage.begin(scene.world);
    expect(await probe(scene, { isStopped: true })).toEqual(cellsOf(outage));
    await outage.end(scene.world);
    await expectBack(scene, { isStopped: true });
  });

  it("of a clock that is ahead lets nobody in, and what it signed is believed after it", async () => {
    const scene = await open(CLOCK_AHEAD);
    await CLOCK_AHEAD.begin(scene.world);
    expect(await probe(scene, { isStopped: true })).toEqual(cellsOf(CLOCK_AHEAD));
    await CLOCK_AHEAD.end(scene.world);
    // The stop was signed an hour from now: until then the server believes no clock that says less.
    const { a, b, c, issue } = await probe(scene, { isStopped: false });
    for (const cell of [a, b, c, issue]) expect(cell).toMatch(/^503 (?:clock_rolled_back|lease_expired)$/);
    await CLOCK_AHEAD.begin(scene.world);
    expect(await stateOf(scene)).toBe("revoked");
  });

  it("of the ledger's disk ends the server, after what was durable was answered", async ({ skip }) => {
    skip(!MAY_MOUNT, "a full disk needs the right to mount one");
    const scene = await open(LEDGER_DISK_FULL);
    await LEDGER_DISK_FULL.begin(scene.world);
    const first = await probe(scene, { isStopped: true });
    expect(first.stop).toBe("goes on");
    await scene.world.child.exited;
    await wait(LEASES_MS);
    expect(await probe(scene, { isStopped: true })).toEqual(cellsOf(LEDGER_DISK_FULL));
    await LEDGER_DISK_FULL.end(scene.world);
    await expectBack(scene, { isStopped: true });
  });

  it.skipIf(POSTGRESQL_BIN === undefined)(
    "of the state's database: everything goes on but what makes identities, stops are kept, and no event is lost",
    async () => {
      const away = databaseAway(() => database);
      const scene = await open(away);
      const reader = await scene.world.enrol(["read:transactions"]);
      const owner = await scene.world.owner();
      const evidence = openEvidence(scene.world.server.adminSocket, 0);
      await away.begin(scene.world);
      const beganMs = performance.now();
      const seconds = () => (performance.now() - beganMs) / 1000;
      let reads = 0;
      // Whoever is not answered on a machine that is busy for half an hour asks again; a wrong answer stays wrong.
      const holds = async (): Promise<void> => {
        if (seconds() < CLASS_A_SECONDS)
          expect(await probe(scene, { isStopped: reads === 0 })).toEqual(cellsOf(away));
        else expect(await cellOf(enrol(scene.world, ticketOf(owner)))).toBe(cellsOf(away).issue);
        expect(await cellOf(visit(scene.world, { agent: reader }))).toBe("goes on");
      };
      while (seconds() < AWAY_SECONDS) {
        await (reads === 0 ? holds() : vi.waitFor(holds, AGAIN));
        reads += 1;
        await wait(Math.max(1_000, AWAY_SECONDS * 5));
      }
      await away.end(scene.world);
      await (AWAY_SECONDS < CLASS_A_SECONDS
        ? expectBack(scene, { isStopped: true })
        : vi.waitFor(async () => expect(await stateOf(scene)).toBe("revoked"), AGAIN));
      expect((await visit(scene.world, { agent: scene.other })).status).toBeGreaterThanOrEqual(400);
      await evidence.expect({ principal: reader.answer.spiffe_id, outcome: "success" }, { atLeast: reads });
    },
  );
});
