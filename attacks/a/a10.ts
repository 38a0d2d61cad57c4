/** A10: an agent is transferred with only the giver's signature. */
import { transferAnswer } from "@trustwarden/core/api/transfer.ts";
import { createOwner, enrolAgent, parseAnswer, type TestInstance } from "../../test/support/actors.ts";
import {
  accepting,
  offering,
  postAsOwner,
  signTransfer,
  transferDocument,
} from "../../test/support/transfers.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { expectCode } from "../support/people-cast.ts";
import { callAsAgent } from "../support/visits.ts";

const READ = { target: "/v1/events", action: "read:ledger" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A10",
  title:
    "gives an agent to an owner who does not want it, with the giver's signature alone, and takes one the same way",
  expected: "refused without the word of both about the same bytes; with it, every SVID of before is dead",
  weakening: "transfers-by-one",
  prepare: async (world) => {
    const giver = await createOwner(world.server, world.name("giver"));
    const victim = await createOwner(world.server, world.name("victim"));
    const enrol = (): Promise<TestInstance> =>
      enrolAgent(world.server, giver, { name: world.name("burden") });
    return { giver, victim, wanted: await enrol(), burden: await enrol() };
  },
  control: async (world, { giver, victim, wanted }) => {
    const transfer = transferDocument(wanted, { from: giver.ownerId, to: victim.ownerId });
    const offer = signTransfer(transfer, giver);
    expectSame((await postAsOwner(world.server, giver, offering(offer))).status, 200, "an offer");
    const taken = await postAsOwner(world.server, victim, accepting(offer, signTransfer(transfer, victim)));
    expectSame(parseAnswer(transferAnswer, taken).owner_id, victim.ownerId, "who has it by the word of both");
    expectRefusal(await callAsAgent(world, wanted, READ), UNPROVEN, "an SVID of before the transfer");
  },
  attack: async (world, { giver, victim, burden }) => {
    const transfer = transferDocument(burden, { from: giver.ownerId, to: victim.ownerId });
    const offer = signTransfer(transfer, giver);
    expectSame(
      (await postAsOwner(world.server, giver, offering(offer))).status,
      200,
      "an offer that nobody asked for",
    );
    // The giver has no request of the victim's; somebody who does shows what the giver signed twice.
    const twice = await postAsOwner(world.server, victim, accepting(offer, offer));
    expectRefusal(twice, UNPROVEN, "the giver's word twice");
    const bySelf = await postAsOwner(world.server, giver, accepting(offer, offer));
    expectCode(bySelf, [400, "transfer_invalid"], "the giver in the receiver's place");
    const grabbed = signTransfer({ ...transfer, exp: transfer.exp - 1 }, victim);
    const other = await postAsOwner(world.server, victim, accepting(offer, grabbed));
    expectCode(other, [400, "transfer_invalid"], "another document than was offered");
    expectSame((await callAsAgent(world, burden, READ)).status, 200, "the agent goes on under its owner");
  },
  evidence: async (ledger, { giver, victim }) => {
    await ledger.expect({ kind: "transfer", principal: `owner:${giver.ownerId}`, outcome: "success" }, 1);
    await ledger.expect({ kind: "transfer", principal: `owner:${victim.ownerId}`, outcome: "success" }, 0);
  },
});
