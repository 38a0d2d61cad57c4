/** B2: one join token, many hosts. */
import { joinNode, joinToken } from "../../test/support/nodes.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import type { World } from "../support/world.ts";

const TRIES = 25;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B2",
  title: "uses one join token 50 times in parallel, from two processes at two addresses",
  expected: "one node is admitted, 49 tries are refused, one admission in the ledger",
  weakening: "join-token-used-again",
  mayChange: ["liveInstances"],
  prepare: async (world) => ({
    token: await joinToken(world.server, world.name("host")),
    sources: [world.source(), world.source()],
  }),
  control: async (world) => {
    const { answer } = await joinNode(world.server, world.name("honest"));
    expectSame(answer.agent_id, null, "a host with a token of its own joins");
  },
  attack: async (world, { token, sources }) => {
    const statuses = (await Promise.all(sources.map((from) => tryFrom(world, token, from)))).flat();
    expectSame(statuses.length, 2 * TRIES, "every try is answered");
    expectSame(statuses.filter((status) => status === 200).length, 1, "tries that were admitted");
    expectSame(statuses.filter((status) => status === 401).length, 2 * TRIES - 1, "tries that were refused");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "node" }, 1);
    await ledger.expect(
      { kind: "refuse", principal: /^enrollee:/, reason: "join_token_used" },
      2 * TRIES - 1,
    );
  },
});

/** The statuses that one process was answered with. */
async function tryFrom(world: World, token: string, from: string | undefined): Promise<readonly number[]> {
  const args = ["attacks/support/join-client.ts", world.server.url, token, String(TRIES)];
  const { exitCode, output } = await world.run({ args: from === undefined ? args : [...args, from] });
  if (exitCode !== 0) throw new Error(output);
  return JSON.parse(output);
}
