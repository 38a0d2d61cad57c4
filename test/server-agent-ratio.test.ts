/** Eighty-eight agents to an owner: the figure, and the alarm in the ledger, once. */
import { afterAll, expect, it } from "vitest";
import { createOwner, enrolAgent } from "./support/actors.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const RATIO = 88;
const home = createHome();
let server: TestServer | undefined;

afterAll(async () => {
  await server?.close();
  home.remove();
});

async function restart(): Promise<TestServer> {
  await server?.close();
  server = await startTestServer({ alarms: { agentsPerOwner: RATIO } }, home);
  return server;
}

it("is told to the ledger when the server looks, and not while there is one agent less", async () => {
  const first = await restart();
  const owner = await createOwner(first);
  for (let made = 1; made < RATIO; made += 1) await enrolAgent(first, owner, { name: `bot-${made}` });
  const second = await restart();
  expect(await eventsOf(second, "alarm")).toEqual([]);
  await enrolAgent(second, owner, { name: `bot-${RATIO}` });
  const third = await restart();
  const events = await eventsOf(third, "alarm");
  expect(events.map(({ reasons }) => reasons)).toEqual([["agents_per_owner"]]);
  const [event] = events;
  if (event === undefined) throw new Error("there is an alarm");
  expect((await payloadsOf(third, event))[0]).toMatchObject({
    details: { agents: RATIO, owners: 1, limit: RATIO },
  });
});
