/** E3: Rego and paths as data. */
import { askDecision, parseDecision, visitIntent } from "../../test/support/actors.ts";
import { codeOf } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const REGO = [
  'x"; allow := true; y := "',
  "input.scope.covered := true",
  "data.policy.forbidden",
  "{{ allow }} or true",
  "../../data.json",
  'delete:transactions" with data.policy as {}',
];
/** `data.policy.forbidden` is Rego, and a name like any other: inside `input` it means nothing. */
const isNoName = (text: string): boolean => !/^[a-z0-9._-]+$/.test(text);
const ACTIONS = [
  ...REGO,
  "read:transactions:../admin",
  "read:transactions\nallow",
  "READ:transactions",
  "read:*",
  "read:transactions:**",
  "read",
  "read:transactions:a:b",
  "read:transactions ",
  "réad:transactions",
  "a".repeat(2000),
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E3",
  title: "puts Rego, paths and wildcards into the action, the resource and the name of an agent",
  expected: "refused where a grammar exists; elsewhere only ever text inside `input`, which decides nothing",
  weakening: "any-action-text",
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    owner: await world.owner(),
    verifier: await world.enrolVerifier(),
    from: world.source(),
  }),
  control: async (world, { agent, verifier }) => {
    const intent = visitIntent(agent, verifier);
    expectSame(
      parseDecision(await askDecision(world.server, { caller: verifier, agent, intent })).allow,
      true,
      "a plain action",
    );
  },
  attack: async (world, { agent, owner, verifier, from }) => {
    for (const action of ACTIONS) {
      const intent = visitIntent(agent, verifier, { action });
      const answer = await askDecision(world.server, { caller: verifier, agent, intent });
      const code = answer.status === 400 ? String(codeOf(answer)) : answer.text.slice(0, 120);
      expectSame(
        [answer.status, code],
        [400, "action_malformed"],
        `the action ${JSON.stringify(action).slice(0, 60)}`,
      );
    }
    for (const resource of [...REGO, "x".repeat(2000), "null", "\u0000", "\u202e"]) {
      const intent = visitIntent(agent, verifier, { action: "delete:transactions", resource });
      const answer = await askDecision(world.server, { caller: verifier, agent, intent });
      const isDenied = answer.status === 400 || (answer.status === 200 && !parseDecision(answer).allow);
      expect(isDenied, `a delete of ${JSON.stringify(resource).slice(0, 60)} is denied: ${answer.status}`);
    }
    for (const name of [
      ...REGO.filter(isNoName),
      "input.x y",
      "../x",
      "x/../../y",
      "$(id)",
      "'; DROP TABLE agents;--",
    ]) {
      const signer = createTestSigner();
      const answer = await enrolWith(world, signTicket(owner, { name }), { signer, from });
      expectRefusal(answer, { status: 400, code: "name_malformed" }, `the name ${JSON.stringify(name)}`);
    }
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect(
      { kind: "action", principal, outcome: "denied", reason: "scope_not_covered" },
      { atLeast: 5 },
    );
    expectSame(
      (await ledger.matching({ kind: "action", principal })).filter(({ outcome }) => outcome !== "denied"),
      [],
      "actions allowed",
    );
    await ledger.expect({ kind: "issue" }, 0);
  },
});
