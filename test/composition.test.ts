/** Compositions that a launcher and a node declare: bound at birth, declared again at each renewal, refused when they drift. */
import { join } from "node:path";
import { digestOfComposition } from "@trustwarden/core/agentid/composition.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { discovery, eventAnswer } from "@trustwarden/core/api/ledger.ts";
import { joinTokenAnswer } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { DeliveredIdentity, systemRuntime } from "trustwarden/peer.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Caller, startCaller } from "../node/caller.test.support.ts";
import type { Measure } from "../node/composition-file.ts";
import { startNode } from "../node/daemon.ts";
import { createOwner, parseAnswer, type TestOwner, ticketOf } from "./support/actors.ts";
import { send, sendAdmin } from "./support/http.ts";
import { createEntry } from "./support/nodes.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const [FIRST, SECOND] = ["A".repeat(43), "B".repeat(43)];
const quiet = { ...systemRuntime, notify: () => {} };
let server: TestServer;
let owner: TestOwner;

beforeEach(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
});
afterEach(async () => {
  await server.close();
  server.home.remove();
});

/** Texts of the records of the latest issue. */
async function issueRecord(): Promise<string> {
  const [event] = await eventsOf(server, "issue");
  const answer = await sendAdmin(server.adminSocket, { target: `/v1/events/${event?.event_id}` });
  const { records } = parseAnswer(eventAnswer, answer);
  return records.map(({ entry }) => Buffer.from(JSON.parse(entry).payload, "base64").toString()).join();
}

describe("the composition of a launched program", () => {
  it("is bound to its identity, and another one is refused at its renewal", async () => {
    const found = parseAnswer(discovery, await send(server.url, { target: "/.well-known/trustwarden" }));
    const ticket = formatTicketValue({
      authoritiesSha256: found.authorities_sha256,
      server: server.url,
      ticket: ticketOf(owner, { name: "writer" }),
    });
    let prompts = FIRST;
    const identity = await DeliveredIdentity.fromTicket({
      ticket,
      events: { onChange: () => {}, onRevoked: () => {} },
      composition: () => ({ model: SECOND, prompts }),
      runtime: quiet,
    });
    try {
      const digest = digestOfComposition({ model: SECOND, prompts: FIRST });
      expect(await issueRecord()).toContain(`"composition_sha256":"${digest}"`);
      await identity.renew();
      prompts = SECOND;
      await expect(identity.renew()).rejects.toThrow();
      expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["composition_changed"]);
    } finally {
      await identity.close();
    }
  });
});

describe("the composition of a program that a node attests", () => {
  const uid = process.getuid?.() ?? 0;

  /** A node of the server's, whose operator says what the crawler is made of. */
  async function openNode(measure: Measure) {
    const place = join(server.home.dataDir, "..", "node");
    const body = JSON.stringify({ name: "host-1" });
    const { token } = parseAnswer(
      joinTokenAnswer,
      await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/join-tokens", body }),
    );
    const socketPath = join(place, "agent.sock");
    const node = await startNode({
      ...{ dataDir: place, socketPath, runtime: quiet, joinToken: async () => token },
      compositions: new Map([["team/web/crawler", measure]]),
    });
    return { node, socketPath };
  }

  /** Makes every live identity be renewed at once. */
  async function rotate(): Promise<void> {
    const body = JSON.stringify({ step: "rotate", kind: "intermediate", force: true });
    const request = { method: "POST", target: "/v1/authority/steps", body };
    expect((await sendAdmin(server.adminSocket, request)).status).toBe(200);
  }

  it("is what the node's operator says of the agent", async () => {
    await createEntry(server, owner, { selectors: [`unix:uid:${uid}`] });
    const { node, socketPath } = await openNode(() => ({ tools: FIRST }));
    const caller = startCaller(socketPath, uid);
    try {
      expect((await caller.next()).ids?.[0]).toContain("/team/web/crawler/inst-");
      expect(await issueRecord()).toContain(digestOfComposition({ tools: FIRST }));
    } finally {
      await caller.end();
      await node.close();
    }
  });

  it("is what the entry demands, or there is no identity; drift withdraws it, and its end attests anew", async () => {
    await createEntry(server, owner, { selectors: [`composition:tools:${FIRST}`, `unix:uid:${uid}`] });
    let tools = SECOND;
    const { node, socketPath } = await openNode(() => ({ tools }));
    const callers: Caller[] = [];
    const call = (): Caller => {
      const caller = startCaller(socketPath, uid);
      callers.push(caller);
      return caller;
    };
    try {
      expect(await call().next()).toMatchObject({ status: 7 });
      expect(await eventsOf(server, "issue")).toEqual([]);
      tools = FIRST;
      const caller = call();
      const first = (await caller.next()).ids?.[0];
      expect(first).toContain("/team/web/crawler/inst-");
      tools = SECOND;
      await rotate();
      expect(await firstStatus(caller)).toBe(7);
      expect(await call().next()).toMatchObject({ status: 7 });
      await expect.poll(async () => (await eventsOf(server, "revoke")).length).toBe(1);
      tools = FIRST;
      const again = (await call().next()).ids?.[0];
      expect([again?.includes("/team/web/crawler/inst-"), again === first]).toEqual([true, false]);
    } finally {
      for (const caller of callers) await caller.end();
      await node.close();
    }
  });

  it("that cannot be measured matches nothing", async () => {
    await createEntry(server, owner, { selectors: [`composition:tools:${FIRST}`, `unix:uid:${uid}`] });
    const { node, socketPath } = await openNode(() => {
      throw new TrustWardenError("config_invalid", { setting: "composition" });
    });
    const caller = startCaller(socketPath, uid);
    try {
      expect(await caller.next()).toMatchObject({ status: 7 });
    } finally {
      await caller.end();
      await node.close();
    }
  });
});

/** How a stream ends, whatever it said before. */
async function firstStatus(caller: Caller): Promise<number | undefined> {
  for (;;) {
    const { status, closed } = await caller.next();
    if (status !== undefined || closed === true) return status;
  }
}
