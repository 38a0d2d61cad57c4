/** The promise of the lists: what is listed may be called, and what may be called is listed. */
import { classOf } from "@trustwarden/core/action.ts";
import { decide, NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import { NOTHING_ATTESTED } from "@trustwarden/core/attestation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import type { CallPlan } from "@trustwarden/core/gateway/plan.ts";
import { planPrompt, planResource, planTool } from "@trustwarden/core/gateway/plan-mcp.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PinState } from "../../store/mcp-ports.ts";
import { Catalogues } from "./catalogues.ts";
import type { McpVisit } from "./perform.ts";
import { isListedOf } from "./results.ts";

const TOOLS = ["find", "look", "pay", "sub/tool", "gone"] as const;
const WORDS = ["a", "b", "x"] as const;
const SETTINGS = parseMcpSettings({
  tools: {
    look: { read_only: true },
    pay: { action: "pay:invoice:{id}" },
    "sub/tool": { action: "edit:page" },
  },
});
const URIS = ["note://all/first", "file:///etc/hosts"] as const;
const PROMPTS = ["greet"] as const;
const CLASSES = { call: "B", read: "C", get: "C", pay: "B", edit: "B" } as const;

const version = fc
  .option(fc.constantFrom("1", "2"), { freq: 3 })
  .map((text) => (text === null ? null : { sha256: text, document: `{"v":${text}}` }));
const pinsOf = (kind: PinState["kind"], names: readonly string[]) =>
  fc.tuple(...names.map(() => fc.record({ approved: version, seen: version }))).map((states) =>
    states.map(
      (state, index): PinState => ({
        upstream: "up",
        kind,
        name: names[index] ?? "",
        changedAt: 0,
        ...state,
      }),
    ),
  );
const catalogue = fc
  .tuple(pinsOf("tool", TOOLS), pinsOf("resource", URIS), pinsOf("prompt", PROMPTS))
  .map((parts) => parts.flat().filter(({ approved, seen }) => approved !== null || seen !== null));
const atom = fc.constantFrom(
  "call:mcp:up/**",
  "call:mcp:up/find",
  "call:mcp:*/gone",
  "read:mcp:up/tools/look",
  "read:mcp:up/**",
  "read:mcp:up/resources/note/**",
  "get:mcp",
  "pay:invoice",
  "pay:invoice:a",
  "pay:invoice:*",
  "edit:page",
  "edit:*",
  "*:mcp:up/**",
);
const scope: fc.Arbitrary<Scope> = fc.array(atom, { minLength: 1, maxLength: 5 }).map(parseScope);
const forbidden = fc.uniqueArray(
  fc.constantFrom("call:mcp:up/find", "read:mcp:up/tools/look", "edit:page", "get:mcp:up/prompts/greet"),
);

/** The effect of a plan, by the real `decide` and a policy that forbids some actions to everybody. */
function decisionOf(chain: readonly Scope[], forbids: readonly string[]) {
  const agent = agentOf(chain);
  const engine = {
    policy: { name: "test-v1", bundleSha256: "B".repeat(43) },
    evaluate: ({ action, scope: asked }: PolicyInput) => {
      const reasons = asked.covered && !forbids.includes(action.name) ? [] : ["forbidden"];
      return { allow: reasons.length === 0, reasons, policy: "test-v1" };
    },
  };
  const effect = (plan: CallPlan) =>
    decide(
      {
        principal: agent,
        action: plan.action,
        resource: plan.resource,
        class: classOf(plan.action, CLASSES),
        plane: "data",
        chainScopes: chain,
        view: { fresh: true, epoch: 1 },
        enforcement: "gateway",
        context: { ...NO_CONTEXT, arguments: plan.arguments, outside: plan.effects.writesOutside },
      },
      engine,
    ).effect;
  return { agent, effect };
}

function agentOf(chain: readonly Scope[]): AgentPrincipal {
  const links = chain.map((linkScope, index) => ({
    agentId: `agt_${index}`,
    instanceId: `inst-${index}`,
    spiffeId: `spiffe://acme.test/a/inst-${index}`,
    scope: linkScope,
  }));
  const leaf = links.at(-1);
  return {
    kind: "agent",
    spiffeId: leaf?.spiffeId ?? "",
    agentId: leaf?.agentId ?? "",
    instanceId: leaf?.instanceId ?? "",
    ownerId: "own_1",
    svidSha256: "C".repeat(43),
    custody: "agent",
    attested: NOTHING_ATTESTED,
    chain: links,
  };
}

function cataloguesOf(pins: readonly PinState[]): Catalogues {
  const refuse = () => Promise.reject(new Error("nothing changes here"));
  return new Catalogues({
    commands: { observeMcp: refuse, approveMcp: refuse },
    listPins: () => pins,
    settle: refuse,
    ownContext: () => ({ nowMs: 0, principal: "test", peer: "local", intent: null }),
    monoMs: () => 0,
    warn: () => undefined,
  });
}

function isPinned(catalogues: Catalogues, kind: PinState["kind"], name: string): boolean {
  try {
    catalogues.require("up", kind, name);
    return true;
  } catch (error) {
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

describe("a list", () => {
  it("names a tool, resource or prompt exactly when a call of it would pass catalogue and decision", () => {
    const counted = { listed: 0, hidden: 0 };
    fc.assert(
      fc.property(
        catalogue,
        fc.array(scope, { minLength: 1, maxLength: 3 }),
        forbidden,
        (pins, chain, forbids) => {
          const { agent, effect } = decisionOf(chain, forbids);
          const catalogues = cataloguesOf(pins);
          const mayCall = (_caller: unknown, plan: CallPlan) => effect(plan) !== "deny";
          // Only these members of a visit are looked at by a list.
          const visit = {
            call: { caller: { agent } },
            upstream: "up",
            settings: SETTINGS,
            parts: { catalogues, mayCall },
          } as unknown as McpVisit;
          const isListed = isListedOf(visit);
          const listed = (kind: PinState["kind"], name: string) =>
            catalogues.usable("up", kind).some((pin) => pin.name === name) && isListed(kind, name);
          const question = { upstream: "up", settings: SETTINGS };
          const check = (kind: PinState["kind"], name: string, plans: readonly CallPlan[]) => {
            const isCallable =
              isPinned(catalogues, kind, name) && plans.some((plan) => effect(plan) !== "deny");
            expect([kind, name, listed(kind, name)]).toEqual([kind, name, isCallable]);
            counted[isCallable ? "listed" : "hidden"] += 1;
          };
          for (const tool of TOOLS)
            check(
              "tool",
              tool,
              WORDS.map((id) => planTool(question, tool, { id })),
            );
          for (const uri of URIS) check("resource", uri, [planResource(question, uri)]);
          for (const prompt of PROMPTS) check("prompt", prompt, [planPrompt(question, prompt, {})]);
        },
      ),
      { numRuns: 1500 },
    );
    expect(counted.listed).toBeGreaterThan(100);
    expect(counted.hidden).toBeGreaterThan(100);
  });
});
