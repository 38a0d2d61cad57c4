/** The claims of the founding essay about scope and policy, on the real scope algebra and the real policy. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { classOf, parseActionName } from "@trustwarden/core/action.ts";
import { type DecideInput, decide, NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import { parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { AgentPrincipal, Principal } from "@trustwarden/core/principal.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { describe, expect, it } from "vitest";
import { createWasmEngine } from "../server/opa/wasm.ts";

const policies = join(import.meta.dirname, "../policies");
const builtin = parseJsonObject(readFileSync(join(policies, "trustwarden/data.json"), "utf8"));
/** The built-in policy of an organization that forbids what the essay forbids. */
const finance = {
  policy: {
    ...Object(builtin.policy),
    name: "finance-prod",
    version: "v2.3",
    forbidden: ["delete:transactions"],
  },
};
const engine = createWasmEngine({ wasmPath: join(policies, "decision.wasm"), data: finance });
const { classes } = parsePolicyData(finance);

function agentWith(scopes: readonly (readonly string[])[]): AgentPrincipal {
  const chain = scopes.map((atoms, depth) => ({
    agentId: `agt_${depth}`,
    instanceId: `inst-${depth}`,
    spiffeId: `spiffe://your-org/finance/payment-agent/inst-${depth}`,
    scope: parseScope(atoms),
  }));
  const leaf = chain.at(-1);
  if (leaf === undefined) throw new Error("a chain has a leaf");
  const held = { ownerId: "own_1", svidSha256: "A".repeat(43), custody: "agent" } as const;
  return { ...leaf, kind: "agent", ...held, attested: NOTHING_ATTESTED, chain };
}

function ask(
  principal: Principal,
  action: string,
  change: Partial<DecideInput> = {},
): ReturnType<typeof decide> {
  const name = parseActionName(action);
  const chainScopes = principal.kind === "agent" ? principal.chain.map(({ scope }) => scope) : [];
  return decide(
    {
      principal,
      action: name,
      resource: "postgres://finance-db/transactions",
      class: classOf(name, classes),
      plane: "data",
      chainScopes,
      view: { fresh: true, epoch: 1 },
      enforcement: "service",
      context: NO_CONTEXT,
      ...change,
    },
    engine,
  );
}

describe("an agent in the founding essay", () => {
  const payment = agentWith([["read:transactions", "write:reports"], ["read:transactions"]]);

  it("may do what it was granted, by a policy that the decision names", () => {
    expect(ask(payment, "read:transactions")).toMatchObject({
      effect: "allow",
      class: "C",
      policy: { name: "finance-prod-v2.3" },
    });
  });

  it("may not do what only its parent was granted", () => {
    expect(ask(payment, "write:reports").reasons).toEqual(["scope_not_covered"]);
  });

  it("cannot delete transactions, whatever it was granted and whoever granted it", () => {
    for (const scopes of [
      [["read:transactions"]],
      [["delete:transactions"]],
      [["*:*"]],
      [["*:*"], ["*:*"], ["delete:*"]],
    ]) {
      for (const action of ["delete:transactions", "delete:transactions:2026/march"]) {
        const decision = ask(agentWith(scopes), action);
        expect(decision).toMatchObject({ effect: "deny", class: "A" });
        expect(decision.reasons).toContain("action_forbidden");
      }
    }
  });

  it("keeps to its scope even if somebody issued it more than its parent has", () => {
    const rogue = agentWith([
      ["read:transactions", "write:reports"],
      ["read:transactions", "pay:bills"],
    ]);
    expect(ask(rogue, "pay:bills").reasons).toEqual(["scope_not_covered"]);
  });

  it("cannot have a dangerous action treated as a harmless one", () => {
    expect(ask(agentWith([["*:*"]]), "pay:bills", { class: "C" }).reasons).toEqual(["class_too_lax"]);
    expect(ask(agentWith([["*:*"]]), "unheard-of:thing", { class: "B" }).reasons).toEqual(["class_too_lax"]);
  });

  it("is denied when it enforces a class A action itself", () => {
    expect(ask(agentWith([["*:*"]]), "pay:bills", { enforcement: "self" }).reasons).toEqual([
      "self_enforcement_refused",
    ]);
  });
});

describe("the control plane", () => {
  const agent = agentWith([["read:transactions"]]);
  const owner: Principal = { kind: "owner", ownerId: "own_1" };
  const operator: Principal = { kind: "operator" };

  it.each([
    ["an agent stops its descendant", agent, "revoke:instance", "descendant", []],
    ["an agent stops itself", agent, "revoke:instance", "self", []],
    ["an agent stops somebody else", agent, "revoke:instance", "other", ["principal_not_permitted"]],
    ["an agent renews its SVID", agent, "renew:svid", "self", []],
    ["an agent renews another's SVID", agent, "renew:svid", "descendant", ["principal_not_permitted"]],
    ["an agent creates an owner", agent, "create:owner", "none", ["principal_not_permitted"]],
    ["an owner stops an agent of its own", owner, "revoke:agent", "descendant", []],
    ["an owner stops another owner's agent", owner, "revoke:agent", "other", ["principal_not_permitted"]],
    ["an operator stops anybody", operator, "revoke:owner", "other", []],
    ["an operator speaks for an instance", operator, "renew:svid", "other", ["principal_not_permitted"]],
  ] as const)("decides by the policy whether %s", (_, principal, action, subject, reasons) => {
    expect(ask(principal, action, { plane: "control", subject }).reasons).toEqual(reasons);
  });

  it("lets nobody but agents act in the data plane", () => {
    for (const principal of [owner, operator]) {
      expect(ask(principal, "read:transactions").reasons).toEqual([
        "principal_not_permitted",
        "scope_not_covered",
      ]);
    }
  });
});
