/** K10: guards are changed from the admin plane. An agent's path does not even lead there. */
import { ownerRequest, serverIdOf, signedRequest } from "../../test/support/actors.ts";
import { jsonOf, send, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { posting } from "../support/people-cast.ts";

const GUARDS = [
  { ...posting("/v1/policy/freeze", { freeze: null }), action: "update:policy" },
  { ...posting("/v1/policy", { bundle: "AA==" }), action: "update:policy" },
  {
    ...posting("/v1/upstreams", { name: "x", kind: "http", url: "http://x.test" }),
    action: "create:upstream",
  },
  { ...posting("/v1/ledger/turns", {}), action: "rotate:ledger" },
  { ...posting("/v1/people/links", { roles: ["admin"] }), action: "create:link" },
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K10",
  title: "turns guards off through the paths of an agent and of an owner's key",
  expected: "no such row is there; the admin plane alone has them",
  weakening: "admin-rows-everywhere",
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    owner: await world.owner(),
    aud: await serverIdOf(world.server),
  }),
  control: async ({ server }) => {
    const shown = await sendAdmin(server.adminSocket, { target: "/v1/policy/freeze" });
    expectSame(jsonOf(shown).freeze, null, "the operator reads the freeze that it may change");
  },
  attack: async ({ server }, { agent, owner, aud }) => {
    for (const { action, ...request } of GUARDS) {
      const asAgent = signedRequest(agent, { ...request, action, aud });
      expectSame((await send(server.url, asAgent, agent.tls)).status, 404, `${request.target} by an agent`);
      const asOwner = ownerRequest(owner, { ...request, aud });
      expectSame((await send(server.url, asOwner)).status, 404, `${request.target} by an owner's key`);
    }
  },
  evidence: async (ledger) => ledger.expectNothing(),
});
