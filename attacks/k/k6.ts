/** K6: an address is no proof: nobody comes in with somebody's. K6b is the same through an identity provider. */
import { SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import { createLink, createPerson, originOf, useLink } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectCode, WITH_CONSOLE } from "../support/people-cast.ts";

const INVITED = { roles: ["auditor"] };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K6",
  title: "comes in with the address of an admin, or one that looks like it",
  expected: "refused: an address lets nobody in, and makes no second person of one",
  weakening: "addresses-of-anybody",
  world: WITH_CONSOLE,
  prepare: async ({ server }) => {
    await createPerson(server, {}, { address: "ada@acme.test" });
    return { link: await createLink(server, INVITED) };
  },
  control: async ({ server }) => {
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    const link = await createLink(server, INVITED);
    const answer = await useLink(server, { link, authenticator, address: "grace@acme.test" });
    expectSame(answer.status, 200, "somebody with an address of her own");
  },
  attack: async ({ server }, { link }) => {
    for (const address of ["ada@acme.test", "A.d.a+1@acme.test", "ADA@ACME.TEST"]) {
      const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
      const answer = await useLink(server, { link, authenticator, address });
      expectCode(answer, [409, "person_exists"], `coming in as ${address}`);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "person_exists" }, 3);
    await ledger.expect({ kind: "person" }, 0);
  },
});
