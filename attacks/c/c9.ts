/** C9: a strong agent as the messenger of a weak one. */
import { askDecision, visitIntent } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { narrow, signVisit, visit } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C9",
  title:
    "a weak agent lets a strong one act for it: with its intent, over its connection, or as its stronger child",
  expected:
    "decided on the intersection of the whole chain, which the event names; a borrowed connection is refused",
  weakening: "own-scope-only",
  mayChange: ["epoch", "registry"],
  prepare: async (world) => {
    await world.finance();
    const strong = await world.enrol(["read:transactions", "delete:transactions"]);
    const weak = await world.enrol(["read:transactions", "delete:transactions", "write:reports"]);
    const helper = await world.spawn(weak, ["read:transactions", "delete:transactions"], { ttlSeconds: 500 });
    expectSame(
      (await narrow(world, weak.answer.instance_id, ["read:transactions"])).status,
      200,
      "the weak one is narrowed",
    );
    return { strong, weak, helper, verifier: await world.enrolVerifier() };
  },
  control: async (world, { strong }) => {
    expectSame(
      (await visit(world, { agent: strong, method: "DELETE", target: "/transactions/999999" })).status,
      404,
      "the strong one may delete, and there is no such row",
    );
  },
  attack: async (world, { strong, weak, helper, verifier }) => {
    const target = "/transactions/999998";
    // The strong agent as a willing messenger of the weak one's words.
    const { request } = await signVisit(world, { agent: weak, method: "DELETE", target });
    const { url } = await world.finance();
    expectRefusal(
      await call(url, request, { tls: strong.tls }),
      UNPROVEN,
      "the weak one's intent over the strong one's connection",
    );
    const intent = visitIntent(weak, verifier, {
      aud: await world.serverId(),
      action: "delete:transactions",
    });
    expectRefusal(
      await askDecision(world.server, { caller: strong, agent: weak, intent }),
      UNPROVEN,
      "another agent's intent at the server",
    );
    // The helper's own scope covers it; its parent's no longer does.
    const answer = await visit(world, { agent: helper, method: "DELETE", target });
    expectRefusal(answer, { status: 403, code: "denied" }, "the stronger child of a weak agent");
  },
  evidence: async (ledger, { weak, helper }) => {
    const [denied] = await ledger.expect(
      { kind: "action", principal: helper.answer.spiffe_id, outcome: "denied" },
      1,
    );
    const chain = [`owner:${weak.answer.owner_id}`, weak.answer.agent_id, helper.answer.agent_id];
    expectSame(
      [denied?.chain, denied?.reasons],
      [chain, ["scope_not_covered"]],
      "chain and reason of the event",
    );
    await ledger.expect({ kind: "refuse", reason: "principal_refused" }, 1);
  },
});
