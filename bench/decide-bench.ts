/** `decide`: one decision in process, against the bare policy engine on the same question. */
import { join } from "node:path";
import { classOf, parseActionName } from "@trustwarden/core/action.ts";
import { type DecideInput, decide, NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import type { ChainLink } from "@trustwarden/core/principal.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { createBuiltinPolicy } from "../server/opa/builtin.ts";
import type { Bench } from "./bench.ts";

const POLICIES = join(import.meta.dirname, "..", "policies");
const OWNER = "own_01JBENCH00000000000000000A";
/** An orchestrator, a payment agent and its helper, each with less than the one above. */
const SCOPES: readonly (readonly string[])[] = [
  ["read:transactions", "read:accounts", "write:transactions", "send:report"],
  ["read:transactions", "write:transactions"],
  ["read:transactions"],
];

export const decideBench: Bench = {
  id: "decide",
  what: "one decision in process: three links of scope, the built-in policy",
  reference: "the policy engine alone (OPA's Wasm), same question",
  unit: "us",
  open: async () => {
    const { engine, data } = createBuiltinPolicy(POLICIES);
    const question = createQuestion(data.classes);
    const input = captureInput(question, engine);
    return {
      product: { run: () => requireAllow(decide(question, engine).effect) },
      reference: { run: () => engine.evaluate(input) },
    };
  },
};

/** What the policy engine is asked for the question of this benchmark, for another that asks it elsewhere. */
export function captureQuestion(): PolicyInput {
  const { engine, data } = createBuiltinPolicy(POLICIES);
  return captureInput(createQuestion(data.classes), engine);
}

function createQuestion(classes: Parameters<typeof classOf>[1]): DecideInput {
  const action = parseActionName("read:transactions:acme/2026");
  const chain = SCOPES.map(linkOf);
  const leaf = chain.at(-1);
  if (leaf === undefined) throw new Error("the chain has links");
  return {
    principal: {
      kind: "agent",
      ...leaf,
      ownerId: OWNER,
      svidSha256: "A".repeat(43),
      custody: "agent",
      attested: NOTHING_ATTESTED,
      chain,
    },
    action,
    resource: "postgres://finance-db/transactions",
    class: classOf(action, classes),
    plane: "data",
    chainScopes: chain.map(({ scope }) => scope),
    view: { fresh: true, epoch: 7 },
    enforcement: "service",
    context: NO_CONTEXT,
  };
}

function linkOf(scope: readonly string[], depth: number): ChainLink {
  const instanceId = `inst-01JBENCH0000000000000000${depth}A`;
  return {
    agentId: `agt_01JBENCH0000000000000000${depth}A`,
    instanceId,
    spiffeId: `spiffe://bench.test/team/finance/agent-${depth}/${instanceId}`,
    scope: parseScope(scope),
  };
}

/** What `decide` asks its engine. */
function captureInput(question: DecideInput, { policy }: PolicyEngine): PolicyInput {
  const asked: PolicyInput[] = [];
  decide(question, { policy, evaluate: (input) => asked.push(input) });
  const [input] = asked;
  if (input === undefined) throw new Error("the engine is asked once");
  return input;
}

/** A benchmark of refusals would be quick and worthless. */
function requireAllow(effect: "allow" | "deny" | "ask"): void {
  if (effect !== "allow") throw new Error("the decision must be an allow");
}
