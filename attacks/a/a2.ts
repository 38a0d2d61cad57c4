/** A2: many registrations at once for the last place of a quota. */
import { createOwner } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const QUOTA = 3;
const TRIES = 40;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A2",
  title: `registers ${TRIES} agents at once, from two addresses, when the owner has one place left`,
  expected: "exactly one is registered",
  weakening: "quota-uncounted",
  world: { configure: () => ({ quotas: { agentsPerOwner: QUOTA } }) },
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => {
    const mallory = await createOwner(world.server, "mallory");
    for (let made = 1; made < QUOTA; made += 1) {
      const ticket = signTicket(mallory, { name: world.name("first") });
      const { status, text } = await enrolWith(world, ticket, { signer: createTestSigner() });
      if (status !== 200) throw new Error(text);
    }
    return { mallory, sources: [world.source(), world.source()] };
  },
  control: async (world) => {
    await world.enrol(["read:transactions"]);
  },
  attack: async (world, { mallory, sources }) => {
    const tries = Array.from({ length: TRIES }, (_, index) => {
      const ticket = signTicket(mallory, { name: world.name("race") });
      return enrolWith(world, ticket, { signer: createTestSigner(), from: sources[index % sources.length] });
    });
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expectSame(statuses.filter((status) => status === 200).length, 1, "agents for the one place");
    expectSame(statuses.filter((status) => status === 429).length, TRIES - 1, "tries refused");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue", outcome: "success" }, 1);
  },
});
