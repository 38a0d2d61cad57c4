/** P1: an intent shown with another request. */
import { jsonOf } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { ROW, signVisit, visit } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P1",
  title: "sends a delete, another row, another body or a query with the intent that was signed for a read",
  expected: "refused: an intent is for one method, one target and one body",
  weakening: "intent-for-any-request",
  mayChange: [],
  prepare: async (world) => {
    await world.finance();
    const writer = await world.enrol(["read:transactions", "write:transactions"]);
    const { id } = jsonOf(await visit(world, { agent: writer, method: "POST", body: ROW }));
    return { writer, target: `/transactions/${Number(id)}` };
  },
  control: async (world, { writer, target }) => {
    expectSame((await visit(world, { agent: writer, target })).status, 200, "a read with a read's intent");
  },
  attack: async (world, { writer, target }) => {
    const { url } = await world.finance();
    const reading = async (bent: object) => {
      const { request } = await signVisit(world, { agent: writer, target });
      return call(url, { ...request, ...bent }, { tls: writer.tls });
    };
    expectRefusal(await reading({ method: "DELETE" }), UNPROVEN, "a delete with a read's intent");
    expectRefusal(
      await reading({ target: "/transactions" }),
      UNPROVEN,
      "another target with a read's intent",
    );
    expectRefusal(await reading({ target: `${target}?all=1` }), UNPROVEN, "a query that was not signed");
    const { request } = await signVisit(world, {
      agent: writer,
      method: "POST",
      target: "/transactions",
      body: ROW,
    });
    const doubled = { ...request, body: ROW.replace("-4200", "-9900") };
    expectRefusal(await call(url, doubled, { tls: writer.tls }), UNPROVEN, "another body");
    const salted = { ...request, headers: { ...request.headers, "trustwarden-salt": "A".repeat(43) } };
    expectRefusal(await call(url, salted, { tls: writer.tls }), UNPROVEN, "another salt");
  },
  evidence: async (ledger, { writer }) => {
    // The service refuses before it asks, so that no decision about it exists.
    await ledger.expect({ kind: "action", principal: writer.answer.spiffe_id }, 0);
  },
});
