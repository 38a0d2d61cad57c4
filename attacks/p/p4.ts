/** P4: a name that is taken. */
import { createOwner } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signGrant, signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const TAKEN = { status: 409, code: "name_taken" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P4",
  title: "a child, and another owner's agent, named like an agent that everybody knows",
  expected:
    "refused: a name belongs to its first owner and parent; nearly the same spelling is refused or another name",
  weakening: "any-parent-of-a-name",
  prepare: async (world) => ({
    known: await world.enrol(["read:transactions", "write:reports"], { name: "payment-agent" }),
    parent: await world.enrol(["read:transactions", "write:reports"]),
    owner: await world.owner(),
    mallory: await createOwner(world.server, "mallory"),
    from: world.source(),
  }),
  control: async (world, { owner, known }) => {
    const ticket = signTicket(owner, { name: known.answer.name });
    const answer = await enrolWith(world, ticket, { signer: createTestSigner() });
    expectSame(
      [answer.status, JSON.parse(answer.text).agent_id],
      [200, known.answer.agent_id],
      "a second instance by its owner",
    );
  },
  attack: async (world, { known, parent, mallory, from }) => {
    const { name, path } = known.answer;
    const signer = createTestSigner();
    const child = await enrolWith(world, signGrant(parent, signer, { name }), { signer, from });
    expectRefusal(child, TAKEN, "another agent's child of that name");
    const stranger = await enrolWith(world, signTicket(mallory, { name, path }), {
      signer: createTestSigner(),
      from,
    });
    expectRefusal(stranger, TAKEN, "another owner's agent of that name");
    const elsewhere = createTestSigner();
    const moved = await enrolWith(world, signGrant(parent, elsewhere, { name, path: "team/other" }), {
      signer: elsewhere,
      from,
    });
    expectRefusal(
      moved,
      { status: 401, code: "principal_refused" },
      "a child in another place than its parent",
    );
    for (const like of [
      "Payment-Agent",
      "payment-agent ",
      "payment‐agent",
      "pаyment-agent",
      "inst-01K0",
      "payment-agent/inst-01K0",
    ]) {
      const answer = await enrolWith(world, signTicket(mallory, { name: like, path }), {
        signer: createTestSigner(),
        from,
      });
      expectRefusal(
        answer,
        { status: 400, code: "name_malformed" },
        `the look-alike ${JSON.stringify(like)}`,
      );
    }
    const reserved = await enrolWith(world, signTicket(mallory, { name: "x", path: "trustwarden/server" }), {
      signer: createTestSigner(),
      from,
    });
    expectRefusal(reserved, { status: 400, code: "name_malformed" }, "a name among the servers");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "name_taken" }, 2);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
