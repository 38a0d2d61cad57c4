/** A11: registering in a loop below the quota, with no work, with the work of others, and with old work. */
import { findWork } from "@trustwarden/core/agentid/registration-work.ts";
import { createOwner, enrolmentBody, type TestOwner, ticketOf } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { expectCode } from "../support/people-cast.ts";
import type { World } from "../support/world.ts";

/** New agents within a minute that cost nothing here. */
const EASY = 10;
const LOOP = 40;
const BITS = 14;
const COSTLY = [429, "registration_costly"] as const;

async function bodyOf(world: World, owner: TestOwner) {
  const ticket = ticketOf(owner, { name: world.name("loop") });
  return enrolmentBody(world.server, ticket, createTestSigner());
}

function register(world: World, body: object): Promise<RawAnswer> {
  const headers = { "content-type": "application/json" };
  return call(world.server.url, {
    method: "POST",
    target: "/v1/instances",
    body: JSON.stringify(body),
    headers,
  });
}

const work = (possession: string) => findWork(possession, { bits: BITS, pause: async () => undefined });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A11",
  title:
    "registers new agents as fast as it can, with no work, with work that was done for another, and with work again",
  expected: "what is easy for a human, and then 429 for everything that brings no work of its own",
  weakening: "work-unasked",
  world: { configure: () => ({ quotas: { easyAgentsPerOwnerPerMinute: EASY } }) },
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => ({
    busy: await createOwner(world.server, world.name("busy")),
    mallory: await createOwner(world.server, world.name("mallory")),
  }),
  control: async (world, { busy }) => {
    for (let made = 0; made < EASY; made += 1)
      expectSame((await register(world, await bodyOf(world, busy))).status, 200, "within the easy rate");
    const body = await bodyOf(world, busy);
    const own = { ...body, work: await work(body.possession) };
    expectSame((await register(world, own)).status, 200, "one more, with its own work");
  },
  attack: async (world, { mallory }) => {
    const statuses: number[] = [];
    for (let tried = 0; tried < LOOP; tried += 1)
      statuses.push((await register(world, await bodyOf(world, mallory))).status);
    expectSame(statuses.filter((status) => status === 200).length, EASY, "agents that cost nothing");
    expectSame(statuses.filter((status) => status === 429).length, LOOP - EASY, "refused without work");
    const [mine, other] = [await bodyOf(world, mallory), await bodyOf(world, mallory)];
    const done = await work(other.possession);
    expectCode(await register(world, { ...mine, work: done }), COSTLY, "the work of another request");
    const late = await bodyOf(world, mallory);
    expectSame(
      (await register(world, { ...late, work: await work(late.possession) })).status,
      200,
      "its own",
    );
    const again = await register(world, { ...late, work: await work(late.possession) });
    expectCode(again, [401, "principal_refused"], "the same request again");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue", outcome: "success" }, EASY + 1);
    await ledger.expect({ kind: "refuse", reason: "registration_costly" }, { atLeast: 1 });
  },
});
