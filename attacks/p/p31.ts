/** P31: a name that is made to lead to another service of the same trust domain. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { openMovingName, startHostileService, startSdkAgent, tellAfterCut } from "../support/sdk.ts";

const FINANCE = "finance-api";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P31",
  title:
    "rebinds a service's name to another service of the trust domain, before the first visit and between two",
  expected: "no request and no intent reaches the other service",
  weakening: "verifier-unnamed",
  prepare: async (world) => {
    const finance = await world.finance();
    const agent = await startSdkAgent(world, ["read:transactions", "read:rows"]);
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    const other = await startHostileService(await world.enrolVerifier(), (_request, response) =>
      response.end("[]"),
    );
    return { agent, id, other, name: await openMovingName(finance.url) };
  },
  control: async (_world, { agent, name, other }) => {
    const visit = { do: "fetch", url: `${name.url}/transactions`, verifier: FINANCE } as const;
    expectSame((await agent.tell(visit)).status, 200, "the service that is meant, by its name");
    const own = await agent.tell({ do: "fetch", url: `${other.url}/rows` });
    // It has a route table and an identity, so it is spoken to; without a receipt it is not believed.
    expectSame(own.code, "receipt_invalid", "the other service, when nobody says which one is meant");
    expect(other.intents().length === 1, "it is there, and gets intents that are meant for it");
  },
  attack: async (_world, { agent, name, other }) => {
    const before = other.intents().length;
    name.leadTo(other.url);
    for (const path of ["/transactions", "/rows", "/rows"]) {
      const told = await tellAfterCut(agent, { do: "fetch", url: `${name.url}${path}`, verifier: FINANCE });
      expectSame(other.intents().length, before, "intents at the service that was not meant");
      expectSame(told, { code: "peer_untrusted" }, `a visit to ${path} after the name moved`);
    }
    const fresh = await openMovingName(other.url);
    const first = await agent.tell({ do: "fetch", url: `${fresh.url}/rows`, verifier: FINANCE });
    fresh.close();
    name.close();
    expectSame(other.intents().length, before, "intents at the service that was not meant");
    expectSame(first, { code: "peer_untrusted" }, "a first visit that was led elsewhere");
    other.close();
  },
  evidence: async (ledger, { id }) => {
    await ledger.expect({ kind: "action", principal: id }, 0);
  },
});
