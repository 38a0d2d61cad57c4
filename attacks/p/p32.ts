/** P32: a service that says it was allowed: without a receipt, with another call's, with one that was bent. */
import { defineScenario, expectSame } from "../scenario.ts";
import { forgeries, LIE, startLiar } from "../support/liar.ts";
import { startSdkAgent } from "../support/sdk.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P32",
  title:
    "claims success to an agent: without a receipt, with those of other calls, with bent and denying ones",
  expected: "the answer is thrown away, and the agent is told that it was not proven",
  weakening: "success-without-proof",
  prepare: async (world) => {
    const agent = await startSdkAgent(world, ["read:rows"]);
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    return { agent, id, liar: await startLiar(world) };
  },
  control: async (_world, { agent, liar }) => {
    const told = await agent.tell({ do: "fetch", url: `${liar.peer.url}/rows` });
    expectSame(told, { status: 200, body: LIE }, "an answer with its receipt");
  },
  attack: async (_world, { agent, liar }) => {
    for (const [what, { path, forge }] of Object.entries(forgeries(liar.loot))) {
      liar.mischief.forge = forge;
      const told = await agent.tell({ do: "fetch", url: `${liar.peer.url}${path}` });
      if (liar.failed.length > 0) throw liar.failed[0];
      expectSame(told, { code: "receipt_invalid" }, `success with ${what}`);
    }
    liar.peer.close();
  },
  evidence: async (ledger, { id }) => {
    await ledger.expect({ kind: "action", principal: id }, 5);
  },
});
