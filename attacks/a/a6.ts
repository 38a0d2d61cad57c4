/** A6: an owner leaves, and its agents go on. */
import { createOwner, enrolAgent } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { callAsAgent, callAsOwner, enrolWith, renew } from "../support/visits.ts";

const READ = { target: "/v1/events", action: "read:ledger" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A6",
  title: "goes on with the agents of an owner who has left, below it and below those, and makes new ones",
  expected: "all descendants are denied when the call that ends the owner returns, and renewals refused",
  weakening: "agents-outlive-owners",
  mayChange: ["agents", "epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const leaver = await createOwner(world.server, world.name("leaver"));
    const root = await enrolAgent(world.server, leaver, { name: world.name("root") });
    const child = await world.spawn(root, ["read:transactions"]);
    return { leaver, root, child, ticket: signTicket(leaver, { name: world.name("kept") }) };
  },
  control: async (world, { root, child }) => {
    for (const agent of [root, child]) {
      expectSame((await callAsAgent(world, agent, READ)).status, 200, "before the owner leaves");
    }
    expectSame((await renew(world, root)).status, 200, "a renewal before");
  },
  attack: async (world, { leaver, root, child, ticket }) => {
    const body = JSON.stringify({ target: { kind: "owner", id: leaver.ownerId } });
    const end = { method: "POST", target: "/v1/revocations", body };
    expectSame((await callAsOwner(world, end, leaver)).status, 200, "the owner leaves");
    for (const agent of [root, child]) {
      expectRefusal(await callAsAgent(world, agent, READ), UNPROVEN, "an agent of who left");
      expectRefusal(await renew(world, agent), UNPROVEN, "a renewal for who left");
    }
    const late = await enrolWith(world, ticket, { signer: createTestSigner() });
    expectRefusal(late, UNPROVEN, "a ticket that was kept");
    expectRefusal(await callAsOwner(world, { target: "/v1/agents" }, leaver), UNPROVEN, "the owner itself");
  },
  evidence: async (ledger, { leaver }) => {
    await ledger.expect({ kind: "revoke", principal: `owner:${leaver.ownerId}`, outcome: "success" }, 1);
    await ledger.expect({ kind: "refuse", reason: "identity_revoked" }, { atLeast: 3 });
  },
});
