/** A1: registering in a loop, without an owner and with one. */
import { createOwner } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

/** Agents that one owner may have here. */
const QUOTA = 25;
const WITHOUT_OWNER = 20;
const OVER = 15;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A1",
  title: "registers agents in a loop, first without an owner and then with one whose quota is 25",
  expected: "401 for all without an owner; then exactly 25 agents, and 429 for the rest",
  weakening: "quota-uncounted",
  world: { configure: () => ({ quotas: { agentsPerOwner: QUOTA } }) },
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => ({
    mallory: await createOwner(world.server, "mallory"),
    nobody: { ownerId: `own_${"0".repeat(26)}`, signer: createTestSigner() },
    from: world.source(),
  }),
  control: async (world) => {
    await world.enrol(["read:transactions"]);
  },
  attack: async (world, { mallory, nobody, from }) => {
    const loop = async (owner: typeof nobody, times: number): Promise<readonly number[]> => {
      const statuses: number[] = [];
      for (let made = 0; made < times; made += 1) {
        const ticket = signTicket(owner, { name: world.name("loop") });
        statuses.push((await enrolWith(world, ticket, { signer: createTestSigner(), from })).status);
      }
      return statuses;
    };
    const count = (statuses: readonly number[], status: number) =>
      statuses.filter((one) => one === status).length;
    expectSame(
      count(await loop(nobody, WITHOUT_OWNER), 401),
      WITHOUT_OWNER,
      "tries without an owner refused",
    );
    const statuses = await loop(mallory, QUOTA + OVER);
    expectSame(count(statuses, 200), QUOTA, "agents of one owner");
    expectSame(count(statuses, 429), OVER, "tries beyond the quota");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue", outcome: "success" }, QUOTA);
    await ledger.expect({ kind: "refuse", reason: "quota_exceeded" }, { atLeast: 1 });
  },
});
