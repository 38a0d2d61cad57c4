/** What a caller may repeat as often as it likes: none of it may fill the disk, or hold up the thread that stops agents. */
import { agentList, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  ownerRequest,
  parseAnswer,
  postEnrolment,
  serverIdOf,
  type TestOwner,
  ticketOf,
} from "./support/actors.ts";
import { send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { CONSOLE, createPerson, sendConsole } from "./support/people.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let owner: TestOwner;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  owner = await createOwner(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const asOperator = (target: string) => sendAdmin(server.adminSocket, { target });

async function ledgerSize(): Promise<number> {
  return parseAnswer(statusAnswer, await asOperator("/v1/status")).ledger.size;
}

describe("a used ticket, which anybody may have read in the ledger", () => {
  it("does not fill the ledger, however often it is brought", async () => {
    const ticket = ticketOf(owner, { name: "once" });
    expect((await postEnrolment(server, ticket, createTestSigner())).status).toBe(200);
    const thief = createTestSigner();
    const before = await ledgerSize();
    const startedMs = performance.now();
    for (let round = 0; round < 10; round += 1) {
      const tries = Array.from({ length: 20 }, () => postEnrolment(server, ticket, thief));
      expect(new Set((await Promise.all(tries)).map(({ status }) => status))).toEqual(new Set([401]));
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const refusals = (await ledgerSize()) - before - 1;
    // The allowance of one peer, and the counts of what was beyond it.
    expect(refusals).toBeGreaterThanOrEqual(60);
    expect(refusals).toBeLessThanOrEqual(60 + 5 * seconds + seconds + 1);
    const [latest] = (await eventsOf(server, "refuse")).filter(({ reasons }) => reasons[0] === "ticket_used");
    expect(latest).toBeDefined();
  });
});

describe("what a proven caller may not do", () => {
  /** Asks a hundred times, and counts what the ledger has of it. */
  async function expectBounded(by: string, ask: () => Promise<{ readonly status: number }>): Promise<void> {
    const startedMs = performance.now();
    for (let round = 0; round < 10; round += 1) {
      const tries = await Promise.all(Array.from({ length: 10 }, ask));
      expect(new Set(tries.map(({ status }) => status))).toEqual(new Set([403]));
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const refusals = (await eventsOf(server, "refuse")).filter(({ authorized_by }) => authorized_by === by);
    // The allowance of one caller, and the counts of what was beyond it.
    expect(refusals.length).toBeGreaterThanOrEqual(60);
    expect(refusals.length).toBeLessThanOrEqual(60 + 5 * seconds + seconds + 1);
  }

  it("is refused each time and does not fill the ledger when it is a stop that is not the stopper's to give", async () => {
    const victim = await enrolAgent(server, owner, { name: "victim" });
    const mallory = await createOwner(server, "mallory");
    const aud = await serverIdOf(server);
    const body = JSON.stringify({ target: { kind: "instance", id: victim.answer.instance_id } });
    await expectBounded(`owner:${mallory.ownerId}`, () =>
      send(server.stopUrl, ownerRequest(mallory, { method: "POST", target: "/v1/revocations", body, aud })),
    );
  });

  it("is refused each time and does not fill the ledger when it waits for a second admin", async () => {
    const { personId, cookie } = await createPerson(server);
    const turn = { method: "POST", target: "/v1/ledger/turns", body: "{}" } as const;
    await expectBounded(`person:${personId}`, () => sendConsole(server, turn, cookie));
  });
});

describe("a list of agents", () => {
  it("ends its page early where agents have many instances, and goes on behind it", async () => {
    const carol = await createOwner(server, "carol");
    const enrol = (name: string) =>
      postEnrolment(server, ticketOf(carol, { name, path: "fleet" }), createTestSigner());
    for (const [name, copies] of [
      ["few", 2],
      ["many", 200],
      ["last", 1],
    ] as const) {
      expect((await enrol(name)).status).toBe(200);
      await Promise.all(Array.from({ length: copies - 1 }, () => enrol(name)));
    }
    const pages: string[][] = [];
    let cursor = "";
    for (;;) {
      const target = `/v1/agents?owner=${carol.ownerId}&limit=100${cursor}`;
      const page = parseAnswer(agentList, await asOperator(target));
      pages.push(page.agents.map(({ name, instances }) => `${name} ${instances.length}`));
      if (page.next_cursor === null) break;
      cursor = `&cursor=${page.next_cursor}`;
    }
    expect(pages).toEqual([["few 2", "many 200"], ["last 1"]]);
  });

  it("keeps to the limit that was asked for", async () => {
    const { agents, next_cursor } = parseAnswer(agentList, await asOperator("/v1/agents?limit=2"));
    expect([agents.length, next_cursor]).toEqual([2, agents[1]?.agent_id]);
    const { agents: all, next_cursor: end } = parseAnswer(
      agentList,
      await asOperator("/v1/agents?name=once&limit=1"),
    );
    expect([all.length, end]).toEqual([1, null]);
  });
});
