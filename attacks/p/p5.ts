/** P5: a receipt that binds nobody but its holder. */
import { randomBytes } from "node:crypto";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { askDecision, intentOf, outcomeOf, parseDecision, visitIntent } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { intentHeaders, visit } from "../support/visits.ts";

const RESOURCE = "sqlite://finance-db/transactions";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P5",
  title: "shows the receipt of a decision that only binds the agent itself, as permission to a service",
  expected: "refused by the service, and by the server when a service brings that intent",
  weakening: "any-audience",
  mayChange: [],
  prepare: async (world) => {
    await world.finance();
    return {
      agent: await world.enrol(["read:transactions"]),
      verifier: await world.enrolVerifier(),
      from: world.source(),
    };
  },
  control: async (world, { agent, verifier }) => {
    const intent = intentOf(agent, { aud: await world.serverId(), resource: RESOURCE });
    const own = parseDecision(await askDecision(world.server, { caller: agent, agent, intent }));
    expectSame([own.allow, own.enforcement], [true, "self"], "a decision for the agent's own process");
    const visiting = visitIntent(agent, verifier);
    const asked = parseDecision(
      await askDecision(world.server, { caller: verifier, agent, intent: visiting }),
    );
    expectSame([asked.allow, asked.enforcement], [true, "service"], "a decision for a service");
  },
  attack: async (world, { agent, verifier }) => {
    const aud = await world.serverId();
    const { url } = await world.finance();
    const salt = new Uint8Array(randomBytes(32));
    const intent = intentOf(agent, { aud, resource: RESOURCE });
    const own = parseDecision(await askDecision(world.server, { caller: agent, agent, intent }));
    const receipt = encodeBase64url(encodeUtf8(JSON.stringify(own.receipt)));
    const shown = { "trustwarden-receipt": receipt };
    const target = "/transactions";
    expectRefusal(
      await call(url, { target, headers: shown }, { tls: agent.tls }),
      UNPROVEN,
      "the receipt alone",
    );
    const withIntent = { ...shown, ...intentHeaders(intent, salt) };
    expectRefusal(
      await call(url, { target, headers: withIntent }, { tls: agent.tls }),
      UNPROVEN,
      "the receipt with its intent",
    );
    const bound = await visit(world, { agent, intent: { aud }, headers: shown });
    expectRefusal(bound, UNPROVEN, "an intent for the server, bound to the visit");
    const brought = visitIntent(agent, verifier, { aud });
    expectRefusal(
      await askDecision(world.server, { caller: verifier, agent, intent: brought }),
      UNPROVEN,
      "a service that brings an intent for the server",
    );
    const outcome = outcomeOf(verifier, own.receipt);
    const report = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome }) };
    expectRefusal(
      await call(world.server.url, report, { tls: verifier.tls }),
      { status: 403, code: "outcome_refused" },
      "a service's outcome of it",
    );
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    const [own] = await ledger.expect({ kind: "action", principal }, 1);
    expectSame(own?.enforcement, "self", "where the only decision binds");
    await ledger.expect({ kind: "refuse", reason: "intent_audience" }, 1);
    await ledger.expect({ kind: "refuse", reason: "outcome_refused" }, 1);
  },
});
