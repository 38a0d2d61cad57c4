/** B20: a bootstrap secret used twice. */
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { enrolWith } from "../support/visits.ts";

const PARALLEL = 50;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B20",
  title: "uses a ticket, a bearer secret until its first use, again: 50 times at once, from a second address",
  expected: "refused every time after the first binding",
  weakening: "enrolment-used-again",
  prepare: async (world) => ({
    ticket: ticketOf(await world.owner(), { name: world.name("bootstrap") }),
    from: world.source(),
  }),
  control: async (world, { ticket }) => {
    const answer = await enrolWith(world, ticket, { signer: createTestSigner() });
    expectSame(answer.status, 200, "the first use of the ticket enrols");
  },
  attack: async (world, { ticket, from }) => {
    const again = () => enrolWith(world, ticket, { signer: createTestSigner(), from });
    for (const answer of await Promise.all(Array.from({ length: PARALLEL }, again))) {
      expectRefusal(answer, UNPROVEN, "the second use of the ticket");
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "ticket_used" }, PARALLEL);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
