/** P30: impostors of the server, at an agent's first contact. */
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { PUBLIC_QUESTIONS, startImpostors } from "../support/impostors.ts";
import { startSdkAgent } from "../support/sdk.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P30",
  title:
    "plays the server for an agent that has a ticket: other roots, another domain, a service's key, an older TLS",
  expected: "refused before the ticket or a proof leaves the agent",
  weakening: "server-unpinned",
  prepare: async (world) => ({
    agent: await startSdkAgent(world, ["read:rows"]),
    impostors: await startImpostors(world),
  }),
  control: async (world, { agent }) => {
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    expect(id.startsWith(`spiffe://${TRUST_DOMAIN}/`), "the genuine server gives the agent an identity");
  },
  attack: async (_world, { agent, impostors }) => {
    for (const [what, peer, code] of impostors) {
      const ticket = await agent.ticketAt(peer.url);
      const told = await agent.tell({ do: "create", name: agent.name, ticket });
      const asked = peer.heard.filter(({ target, hasBody }) => hasBody || !PUBLIC_QUESTIONS.includes(target));
      peer.close();
      expectSame(
        asked.map(({ method, target }) => `${method} ${target}`),
        [],
        `what the agent says to ${what}`,
      );
      expectSame(told, { code }, what);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
  },
});
