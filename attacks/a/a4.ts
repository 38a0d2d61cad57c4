/** A4: a human with a session, and curl, as an agent. */
import { send } from "../../test/support/http.ts";
import { createPerson } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectCode, posting, sendAs, WITH_CONSOLE } from "../support/people-cast.ts";

const ACTS = [
  posting("/v1/revocations", { target: { kind: "instance", id: "inst-01J0000000000000000000000A" } }),
  posting("/v1/jwt-svids", { audience: "https://api.test" }),
  posting("/v1/outcomes", { outcome: "x" }),
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A4",
  title: "shows an owner's session where an agent acts",
  expected: "401 no_svid: a session counts at the console and nowhere else",
  weakening: "sessions-everywhere",
  world: WITH_CONSOLE,
  prepare: async ({ server }) => ({ person: await createPerson(server) }),
  control: async (world, { person }) => {
    const shown = await sendAs(world, person, { target: "/v1/agents" });
    expectSame(shown.status, 200, "the session at the console");
  },
  attack: async ({ server }, { person: { cookie } }) => {
    for (const request of ACTS) {
      const headers = { cookie, "sec-fetch-site": "same-origin", "trustwarden-console": "1" };
      const answer = await send(server.url, { ...request, headers });
      expectCode(answer, [401, "principal_refused"], `${request.target} with a session`);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "no_svid", principal: "unauthenticated" }, ACTS.length);
  },
});
