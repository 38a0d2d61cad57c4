/** What is taken in within the last moment of a signed document is written as of that moment: no owner makes a log that audits refuse. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { createOwner, enrolAgent } from "./support/actors.ts";
import { jsonOf, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { accepting, offering, postAsOwner, signTransfer, transferDocument } from "./support/transfers.ts";

/** Frozen, it still goes on by a hundredth of a millisecond each time that somebody looks. */
const TICK_MS = 0.01;
const eventPage = z.object({ events: z.array(z.object({ timestamp: z.string() })) });
let frozenMs: number | null = null;
const clock = {
  nowMs: () => {
    if (frozenMs === null) return Date.now();
    frozenMs += TICK_MS;
    return frozenMs;
  },
  monoMs: () => performance.now(),
};
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({}, undefined, clock);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

it("an acceptance that is in time is recorded in time, by whichever look at the clock", async () => {
  const [alice, bob] = [await createOwner(server, "alice"), await createOwner(server, "bob")];
  const root = await enrolAgent(server, alice, { name: "keeper" });
  const transfer = transferDocument(root, { from: alice.ownerId, to: bob.ownerId });
  const edge = { ...transfer, exp: transfer.iat + 20 };
  const offer = signTransfer(edge, alice);
  expect((await postAsOwner(server, alice, offering(offer))).status).toBe(200);
  const taking = accepting(offer, signTransfer(edge, bob));
  let looks = 0;
  let status = 0;
  while (status !== 200 && looks < 100) {
    looks += 1;
    frozenMs = edge.exp * 1000 - (looks + 0.5) * TICK_MS;
    status = (await postAsOwner(server, bob, taking)).status;
  }
  frozenMs = edge.exp * 1000 - 1000;
  expect([status, looks > 1]).toEqual([200, true]);
  const listed = await sendAdmin(server.adminSocket, { target: "/v1/events?kind=transfer" });
  const times = eventPage.parse(jsonOf(listed)).events.map(({ timestamp }) => Date.parse(timestamp));
  expect(times).toHaveLength(2);
  expect(Math.max(...times)).toBeLessThan(edge.exp * 1000);
});
