/** P2: event ids. */
import { eventAnswer } from "@trustwarden/core/api/ledger.ts";
import { askDecision, outcomeOf, parseDecision, visitIntent } from "../../test/support/actors.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { readAsOperator } from "../support/operator.ts";

const CONFLICT = { status: 409, code: "event_conflict" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P2",
  title:
    "uses another agent's event id, its own once more for another action, and reports the outcome of another's",
  expected: "the first event stays what it was; an id is its owner's alone and is used once",
  weakening: "event-id-used-again",
  prepare: async (world) => ({
    victim: await world.enrol(["read:transactions"]),
    thief: await world.enrol(["read:transactions", "write:transactions"]),
    verifier: await world.enrolVerifier(),
    shadow: await world.enrolVerifier(),
    known: { eventId: "" },
  }),
  control: async (world, { victim, verifier, known }) => {
    const intent = visitIntent(victim, verifier);
    const decision = parseDecision(
      await askDecision(world.server, { caller: verifier, agent: victim, intent }),
    );
    expectSame(decision.allow, true, "the victim's own action");
    const body = JSON.stringify({ outcome: outcomeOf(verifier, decision.receipt) });
    const report = await call(
      world.server.url,
      { method: "POST", target: "/v1/outcomes", body },
      { tls: verifier.tls },
    );
    expectSame(report.status, 200, "the service reports what came of it");
    known.eventId = intent.intent.event_id;
  },
  attack: async (world, { victim, thief, verifier, shadow, known }) => {
    const eventOf = async () =>
      eventAnswer.parse(await readAsOperator(world.server.adminSocket, `/v1/events/${known.eventId}`)).event;
    const before = await eventOf();
    const copied = visitIntent(thief, verifier, { event_id: known.eventId });
    const own = parseDecision(
      await askDecision(world.server, { caller: verifier, agent: thief, intent: copied }),
    );
    expectSame(
      [own.agent.agent_id, own.agent.chain],
      [thief.answer.agent_id, thief.answer.chain],
      "whose action the copied id names",
    );
    expectSame(await eventOf(), before, "the victim's event after another agent used its id");
    const first = visitIntent(thief, verifier);
    expectSame(
      parseDecision(await askDecision(world.server, { caller: verifier, agent: thief, intent: first })).allow,
      true,
      "the first use of an id",
    );
    expectRefusal(
      await askDecision(world.server, { caller: verifier, agent: thief, intent: first }),
      UNPROVEN,
      "the same intent again",
    );
    const other = visitIntent(thief, verifier, {
      event_id: first.intent.event_id,
      action: "write:transactions",
    });
    expectRefusal(
      await askDecision(world.server, { caller: verifier, agent: thief, intent: other }),
      CONFLICT,
      "another action under a used id",
    );
    const masked = visitIntent(thief, verifier, {
      agent: {
        id: victim.answer.agent_id ?? "",
        spiffe_id: victim.answer.spiffe_id,
        svid_sha256: thief.svidSha256,
      },
    });
    expectRefusal(
      await askDecision(world.server, { caller: verifier, agent: thief, intent: masked }),
      UNPROVEN,
      "the victim's name in the thief's intent",
    );
    const outcome = outcomeOf(shadow, own.receipt, { status: "failure" });
    const report = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome }) };
    expectRefusal(
      await call(world.server.url, report, { tls: shadow.tls }),
      { status: 403, code: "outcome_refused" },
      "another service's outcome",
    );
    expectSame(await eventOf(), before, "the victim's event in the end");
  },
  evidence: async (ledger, { thief, victim, known }) => {
    const mine = await ledger.expect({ kind: "action", principal: thief.answer.spiffe_id }, 2);
    expect(
      mine.some(({ event_id: id }) => id === known.eventId),
      "the copied id is recorded as the thief's own action",
    );
    await ledger.expect({ kind: "action", principal: victim.answer.spiffe_id }, 0);
    await ledger.expect({ kind: "refuse", reason: "event_conflict" }, 1);
    await ledger.expect({ kind: "refuse", reason: "intent_replayed" }, 1);
    await ledger.expect({ kind: "refuse", reason: "outcome_refused" }, 1);
  },
});
