/** C12: scopes by hearsay. */
import { instanceOf, signedRequest, visitIntent } from "../../test/support/actors.ts";
import { jsonOf } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED, UNPROVEN } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith, visit } from "../support/visits.ts";

const HEADERS = ["x-scopes", "x-scope", "scope", "trustwarden-scope", "x-user-roles", "x-envoy-auth-scopes"];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C12",
  title:
    "sends the scopes it would like to have: in headers, queries, bodies, intents, and in a token of its own",
  expected: "ignored or refused; only the scope that was granted counts",
  weakening: "scope-by-hearsay",
  prepare: async (world) => {
    await world.finance();
    return {
      agent: await world.enrol(["read:transactions"]),
      owner: await world.owner(),
      verifier: await world.enrolVerifier(),
      from: world.source(),
    };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "what was granted is allowed");
  },
  attack: async (world, { agent, owner, verifier, from }) => {
    const wish = "delete:transactions";
    const denied = { status: 403, code: "denied" };
    const headers = Object.fromEntries(HEADERS.map((name) => [name, `${wish} admin`]));
    const target = "/transactions/1";
    expectRefusal(
      await visit(world, { agent, method: "DELETE", target, headers }),
      denied,
      "scopes in headers",
    );
    expectRefusal(
      await visit(world, { agent, method: "DELETE", target: `${target}?scope=${wish}` }),
      denied,
      "scopes in the query",
    );
    expectRefusal(
      await visit(world, { agent, method: "DELETE", target, body: JSON.stringify({ scopes: ["admin"] }) }),
      denied,
      "scopes in the body",
    );
    expectRefusal(
      await visit(world, { agent, method: "DELETE", target, intent: { job: wish } }),
      denied,
      "a scope in the intent",
    );
    for (const extra of [{ scope: [wish] }, { scopes: ["admin"] }, { chain: ["owner:x"] }]) {
      const answer = await visit(world, { agent, method: "DELETE", target, intent: extra });
      expect(
        answer.status === 400 || answer.status === 401,
        `an intent with ${JSON.stringify(extra)} is refused, and not ${answer.status}`,
      );
    }
    const { envelope: intent } = visitIntent(agent, verifier, { action: wish });
    const asked = { intent, svid_chain: agent.answer.svid_chain, scopes: [wish] };
    const request = { method: "POST", target: "/v1/decisions", body: JSON.stringify(asked) };
    expectRefusal(
      await call(world.server.url, request, { from, tls: verifier.tls }),
      MALFORMED,
      "scopes beside the intent",
    );
    const signer = createTestSigner();
    const ticket = signTicket(owner, { name: world.name("wish"), scopes: ["*:*"] });
    expectRefusal(await enrolWith(world, ticket, { signer, from }), UNPROVEN, "a further member in a ticket");
    const aud = await world.serverId();
    const body = JSON.stringify({ audience: "elsewhere", scope: [wish] });
    const token = signedRequest(agent, {
      method: "POST",
      target: "/v1/jwt-svids",
      body,
      action: "issue:jwt-svid",
      aud,
    });
    expectRefusal(
      await call(world.server.url, token, { from, tls: agent.tls }),
      MALFORMED,
      "scopes for a token",
    );
    expect(jsonOf(await visit(world, { agent })).transactions !== undefined, "the read still works");
    expectSame(
      instanceOf(agent.answer, agent.signer).answer.scope,
      ["read:transactions"],
      "the granted scope",
    );
  },
  mayChange: ["carriedOut"],
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "denied", reason: "scope_not_covered" }, 4);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, { atLeast: 1 });
  },
});
