import { describe, expect, it } from "vitest";
import { type ActionName, parseActionName } from "../action.ts";
import { NOTHING_ATTESTED } from "../attestation.ts";
import type { AgentPrincipal, ChainLink, Principal } from "../principal.ts";
import { parseScope, type Scope } from "../scope.ts";
import { type DecideInput, decide, NO_CONTEXT } from "./decide.ts";
import type { PolicyInput } from "./policy-input.ts";
import type { PolicyEngine } from "./ports.ts";

const POLICY = { name: "test-v1", bundleSha256: "B".repeat(43) };

/** An engine that gives one answer, and keeps what it was asked. */
function engineOf(answer: unknown): PolicyEngine & { readonly asked: PolicyInput[] } {
  const asked: PolicyInput[] = [];
  return {
    policy: POLICY,
    asked,
    evaluate(input) {
      asked.push(input);
      return answer;
    },
  };
}

const yes = engineOf({ allow: true, reasons: [], policy: "test-v1" });
const action = (text: string): ActionName => parseActionName(text);

function link(name: string, scope: readonly string[]): ChainLink {
  const instanceId = `inst-${name}`;
  return {
    agentId: `agt_${name}`,
    instanceId,
    spiffeId: `spiffe://acme.test/finance/${name}/${instanceId}`,
    scope: parseScope(scope),
  };
}

const root = link("orchestrator", ["read:transactions", "write:reports"]);
const leaf = link("fetcher", ["read:transactions"]);

const agent: AgentPrincipal = {
  kind: "agent",
  spiffeId: leaf.spiffeId,
  agentId: leaf.agentId,
  instanceId: leaf.instanceId,
  ownerId: "own_1",
  svidSha256: "C".repeat(43),
  custody: "agent",
  attested: NOTHING_ATTESTED,
  chain: [root, leaf],
};

const reading: DecideInput = {
  principal: agent,
  action: action("read:transactions:2026"),
  resource: "postgres://finance-db/transactions",
  class: "C",
  plane: "data",
  chainScopes: [root.scope, leaf.scope],
  view: { fresh: true, epoch: 7 },
  enforcement: "service",
  context: NO_CONTEXT,
};

function reasonsOf(change: Partial<DecideInput>, engine: PolicyEngine = yes): readonly string[] {
  const decision = decide({ ...reading, ...change }, engine);
  expect(decision.effect).toBe(decision.reasons.length === 0 ? "allow" : "deny");
  return decision.reasons;
}

/** The value, parsed back from its JSON text, so that it has the shape of whatever the test writes. */
function untyped<T>(value: unknown): T {
  return JSON.parse(JSON.stringify(value));
}

describe("an allow", () => {
  it("needs the scope of every link, a fresh view and the policy, and says on what it was decided", () => {
    expect(decide(reading, yes)).toEqual({
      effect: "allow",
      reasons: [],
      class: "C",
      policy: POLICY,
      epoch: 7,
    });
  });

  it("asks the policy about the agent, its class, its owner and its chain", () => {
    const engine = engineOf({ allow: true, reasons: [], policy: "test-v1" });
    decide(reading, engine);
    expect(engine.asked).toEqual([
      {
        action: { name: "read:transactions:2026", verb: "read", type: "transactions", path: "2026" },
        resource: "postgres://finance-db/transactions",
        class: "C",
        plane: "data",
        subject: "none",
        enforcement: "service",
        principal: {
          kind: "agent",
          id: "spiffe://acme.test/finance/fetcher/inst-fetcher",
          class_id: "spiffe://acme.test/finance/fetcher",
          owner_id: "own_1",
          custody: "agent",
          roles: [],
        },
        agent: { attested: { type: "none", strength: "none", selectors: [] }, composition_sha256: "" },
        chain: ["agt_orchestrator", "agt_fetcher"],
        scope: { covered: true, links: 2 },
        view: { fresh: true, epoch: 7 },
        ...NO_CONTEXT,
      },
    ]);
  });
});

describe("the scope of the chain", () => {
  const wide = parseScope(["*:*"]);

  it("has to cover the action in the leaf", () => {
    expect(reasonsOf({ action: action("write:reports") })).toEqual(["scope_not_covered"]);
  });

  it("has to cover the action in every ancestor, so a wrongly issued child exceeds nobody", () => {
    expect(reasonsOf({ action: action("pay:bills"), class: "A", chainScopes: [root.scope, wide] })).toEqual([
      "scope_not_covered",
    ]);
    expect(reasonsOf({ action: action("pay:bills"), class: "A", chainScopes: [wide, leaf.scope] })).toEqual([
      "scope_not_covered",
    ]);
    expect(reasonsOf({ action: action("pay:bills"), class: "A", chainScopes: [wide, wide] })).toEqual([]);
  });

  it("covers nothing when it is empty", () => {
    expect(reasonsOf({ chainScopes: [parseScope([]), leaf.scope] })).toEqual(["scope_not_covered"]);
  });

  it("covers nothing when a link has no scope or there are more scopes than links", () => {
    expect(reasonsOf({ chainScopes: [] })).toEqual(["scope_not_covered"]);
    expect(reasonsOf({ chainScopes: [wide] })).toEqual(["scope_not_covered"]);
    expect(reasonsOf({ chainScopes: [wide, wide, wide] })).toEqual(["policy_input_malformed"]);
  });

  it("has to have links, and to end in the instance that asks", () => {
    for (const chain of [[], [leaf, root], [root], [root, { ...leaf, agentId: "agt_other" }]]) {
      const chainScopes = chain.map(() => wide);
      expect(reasonsOf({ principal: { ...agent, chain }, chainScopes })).toEqual(["policy_input_malformed"]);
    }
  });

  it("is not asked for in the control plane", () => {
    const renewal = { action: action("renew:svid"), class: "A", plane: "control", subject: "self" } as const;
    expect(reasonsOf({ ...renewal, chainScopes: [] })).toEqual([]);
  });
});

describe("the revocation view", () => {
  const stale = { fresh: false, epoch: 7 };

  it("has to be fresh for every class", () => {
    for (const actionClass of ["A", "B", "C"] as const) {
      expect(reasonsOf({ class: actionClass, view: stale })).toEqual(["view_stale"]);
    }
  });

  it("may be stale only for stopping, in the control plane", () => {
    const stop = { action: action("revoke:instance"), class: "A", plane: "control", view: stale } as const;
    expect(reasonsOf({ ...stop, subject: "self" })).toEqual([]);
    expect(reasonsOf({ ...stop, action: action("stop:server") })).toEqual([]);
    expect(reasonsOf({ ...stop, action: action("narrow:instance") })).toEqual(["view_stale"]);
    const scopes = [parseScope(["revoke:*"]), parseScope(["revoke:*"])];
    expect(reasonsOf({ ...stop, plane: "data", chainScopes: scopes })).toEqual(["view_stale"]);
  });
});

describe("self enforcement", () => {
  it("is refused for class A and taken for B and C", () => {
    expect(reasonsOf({ class: "A", enforcement: "self" })).toEqual(["self_enforcement_refused"]);
    expect(reasonsOf({ class: "B", enforcement: "self" })).toEqual([]);
    expect(reasonsOf({ class: "C", enforcement: "self" })).toEqual([]);
    expect(reasonsOf({ class: "A", enforcement: "gateway" })).toEqual([]);
  });
});

describe("what waits for a human", () => {
  const asking = engineOf({ allow: false, reasons: ["approval_required"], policy: "test-v1" });
  const tainted = engineOf({ allow: false, reasons: ["tainted", "approval_required"], policy: "test-v1" });
  const approved = { ...NO_CONTEXT, approved: true };

  it("is asked for when the policy has no other reason, and is no permission", () => {
    expect(decide(reading, asking)).toMatchObject({ effect: "ask", reasons: ["approval_required"] });
    expect(decide(reading, tainted)).toMatchObject({
      effect: "ask",
      reasons: ["approval_required", "tainted"],
    });
  });

  it("is denied when anything else stands against it", () => {
    const stale = { view: { fresh: false, epoch: 7 } };
    expect(decide({ ...reading, ...stale }, asking).effect).toBe("deny");
    expect(decide({ ...reading, action: action("pay:bills") }, asking).effect).toBe("deny");
    expect(decide({ ...reading, class: "A", enforcement: "self" }, asking).effect).toBe("deny");
  });

  it("is not asked for again when the policy does not take the approval", () => {
    expect(decide({ ...reading, context: approved }, asking)).toMatchObject({
      effect: "deny",
      reasons: ["approval_not_taken", "approval_required"],
    });
  });

  it("is only ever an agent's action: nobody is asked about the control plane", () => {
    const stop = {
      action: action("revoke:instance"),
      class: "A",
      plane: "control",
      subject: "self",
    } as const;
    expect(decide({ ...reading, ...stop }, asking)).toMatchObject({
      effect: "deny",
      reasons: ["approval_not_taken", "approval_required"],
    });
  });

  it("tells the policy of the parameters, the labels and the approval", () => {
    const engine = engineOf({ allow: true, reasons: [], policy: "test-v1" });
    const context = { ...approved, arguments: { rows: 7 }, labels: ["private"], outside: true };
    expect(decide({ ...reading, context }, engine).effect).toBe("allow");
    expect(engine.asked[0]).toMatchObject(context);
  });
});

describe("a freeze", () => {
  const frozen = { ...NO_CONTEXT, frozen: true };

  it("denies what changes the world, whatever the policy and an approval say", () => {
    for (const approved of [false, true]) {
      const context = { ...frozen, approved };
      expect(reasonsOf({ class: "A", context })).toEqual(["frozen"]);
      expect(reasonsOf({ class: "B", context })).toEqual(["frozen"]);
      expect(reasonsOf({ class: "C", context })).toEqual([]);
    }
  });

  it("is of the data plane: what it is lifted by goes on", () => {
    const thaw = { action: action("update:policy"), class: "A", plane: "control", subject: "self" } as const;
    expect(reasonsOf({ ...thaw, context: frozen })).toEqual([]);
  });
});

describe("the policy", () => {
  it("overrides by its denies, and its reasons are kept beside ours", () => {
    const no = engineOf({ allow: false, reasons: ["outside_hours", "view_stale"], policy: "test-v1" });
    expect(reasonsOf({}, no)).toEqual(["outside_hours", "view_stale"]);
    expect(reasonsOf({ view: { fresh: false, epoch: 7 }, action: action("pay:bills") }, no)).toEqual([
      "outside_hours",
      "scope_not_covered",
      "view_stale",
    ]);
  });

  it("cannot lift what the scope, the view or the class denies", () => {
    const change = { action: action("pay:bills"), class: "A", enforcement: "self" } as const;
    expect(reasonsOf({ ...change, view: { fresh: false, epoch: 7 } })).toEqual([
      "scope_not_covered",
      "self_enforcement_refused",
      "view_stale",
    ]);
  });

  it.each([
    ["nothing", undefined],
    ["null", null],
    ["true", true],
    ["a text", "true"],
    ["an empty object", {}],
    ["an empty result set", []],
    ["a result set", [{ result: { allow: true, reasons: [], policy: "test-v1" } }]],
    ["a promise", Promise.resolve({ allow: true, reasons: [], policy: "test-v1" })],
    ["an allow that is text", { allow: "true", reasons: [], policy: "test-v1" }],
    ["an allow that is a number", { allow: 1, reasons: [], policy: "test-v1" }],
    ["an allow that is null", { allow: null, reasons: [], policy: "test-v1" }],
    ["no allow", { reasons: [], policy: "test-v1" }],
    ["no reasons", { allow: true, policy: "test-v1" }],
    ["no policy", { allow: true, reasons: [] }],
    ["another policy's answer", { allow: true, reasons: [], policy: "test-v0" }],
    ["a member too many", { allow: true, reasons: [], policy: "test-v1", deny: true }],
    ["an allow with reasons against it", { allow: true, reasons: ["outside_hours"], policy: "test-v1" }],
    ["a deny without reasons", { allow: false, reasons: [], policy: "test-v1" }],
    ["reasons that are no list", { allow: true, reasons: {}, policy: "test-v1" }],
    ["a reason that is no text", { allow: false, reasons: [7], policy: "test-v1" }],
    ["a reason that is prose", { allow: false, reasons: ["Not today, thanks."], policy: "test-v1" }],
    ["a reason without end", { allow: false, reasons: ["a".repeat(65)], policy: "test-v1" }],
    [
      "17 reasons",
      { allow: false, reasons: Array.from({ length: 17 }, (_, n) => `r${n}`), policy: "test-v1" },
    ],
  ])("denies as unavailable when it answers %s", (_, answer) => {
    expect(reasonsOf({}, engineOf(answer))).toEqual(["policy_unavailable"]);
  });

  it("denies as unavailable when it throws, whatever it throws", () => {
    for (const thrown of [new Error("trap"), "text", undefined, null]) {
      const engine: PolicyEngine = {
        policy: POLICY,
        evaluate() {
          throw thrown;
        },
      };
      expect(reasonsOf({}, engine)).toEqual(["policy_unavailable"]);
    }
  });

  it("denies as unavailable when its answer throws on being read", () => {
    const answer = {
      get allow(): boolean {
        throw new Error("trap");
      },
      reasons: [],
      policy: "test-v1",
    };
    expect(reasonsOf({}, engineOf(answer))).toEqual(["policy_unavailable"]);
  });

  it("still stops what is one's own when it is dead, and nothing else", () => {
    const dead = engineOf(undefined);
    const control = { plane: "control", class: "A", chainScopes: [], enforcement: "service" } as const;
    const owner: Principal = { kind: "owner", ownerId: "own_1" };
    const enrollee: Principal = { kind: "enrollee", via: "ticket", enrolmentId: "01J", thumbprint: "t" };
    const stop = { ...control, action: action("revoke:agent") };
    const served: readonly Partial<DecideInput>[] = [
      { ...stop, principal: { kind: "operator" } },
      { ...stop, principal: owner, subject: "descendant" },
      { ...stop, subject: "self" },
      { ...stop, subject: "descendant", view: { fresh: false, epoch: 7 } },
    ];
    for (const change of served) expect(reasonsOf(change, dead)).toEqual([]);
    const denied: readonly Partial<DecideInput>[] = [
      { ...stop, principal: owner, subject: "other" },
      { ...stop, subject: "other" },
      { ...stop, subject: "none" },
      { ...stop, principal: enrollee, subject: "self" },
      {
        ...stop,
        plane: "data",
        chainScopes: reading.chainScopes,
        subject: "self",
        action: action("read:transactions:2026"),
      },
      { ...control, action: action("narrow:instance"), principal: { kind: "operator" } },
    ];
    for (const change of denied) expect(reasonsOf(change, dead)).toEqual(["policy_unavailable"]);
  });

  it("denies as unavailable when it cannot say which policy it is", () => {
    const nameless: PolicyEngine = {
      get policy(): never {
        throw new Error("not loaded");
      },
      evaluate: () => ({ allow: true, reasons: [], policy: "none" }),
    };
    const decision = decide(reading, nameless);
    expect(decision.reasons).toEqual(["policy_unavailable"]);
    expect(decision.policy.name).toBe("none");
  });

  it("denies when there is no engine at all", () => {
    expect(decide(reading, untyped({}))).toMatchObject({ effect: "deny", reasons: ["policy_unavailable"] });
    expect(decide(reading, untyped(null))).toMatchObject({ effect: "deny", reasons: ["policy_unavailable"] });
  });
});

describe("a question with a part missing or odd", () => {
  /** Every path to a member of the question, found by walking it. */
  function pathsOf(value: unknown, prefix: readonly string[] = []): readonly (readonly string[])[] {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    return Object.entries(value).flatMap(([key, member]) => [
      [...prefix, key],
      ...pathsOf(member, [...prefix, key]),
    ]);
  }

  function change(
    path: readonly string[],
    edit: (parent: Record<string, unknown>, key: string) => void,
  ): DecideInput {
    const copy = untyped<Record<string, unknown>>(reading);
    const key = path.at(-1) ?? "";
    const parent = path.slice(0, -1).reduce((at, step) => untypedMember(at, step), copy);
    edit(parent, key);
    return untypedSame(copy);
  }

  function untypedMember(of: Record<string, unknown>, key: string): Record<string, unknown> {
    return untypedSame(of[key]);
  }

  function untypedSame<T>(value: unknown): T {
    const holder: { value: T } = Object.assign(Object.create(null), { value });
    return holder.value;
  }

  // What the decision does not read: it identifies the SVID in the records, beside the decision.
  const unread = new Set(["principal.svidSha256"]);
  const paths = pathsOf(untyped(reading)).filter((path) => !unread.has(path.join(".")));

  // Another list of selectors and no composition are as good as those of the question.
  const wellFormed = new Set([
    'principal.attested.selectors = ["x"]',
    "principal.attested.compositionSha256 = null",
    // So are other labels and arguments.
    'context.labels = ["x"]',
    "context.arguments = {}",
  ]);

  it("denies, whichever member is left out", () => {
    expect(paths.length).toBeGreaterThan(16);
    for (const path of paths) {
      const decision = decide(
        change(path, (parent, key) => {
          delete parent[key];
        }),
        yes,
      );
      expect(decision, path.join(".")).toMatchObject({
        effect: "deny",
        reasons: ["policy_input_malformed"],
        class: "A",
      });
    }
  });

  it("denies, whichever member is null, a number, a list, an object or another text", () => {
    for (const path of paths) {
      for (const odd of [null, -1, 1.5, ["x"], {}, "\u0000", "x".repeat(5000)]) {
        const decision = decide(
          change(path, (parent, key) => {
            parent[key] = odd;
          }),
          yes,
        );
        const name = `${path.join(".")} = ${JSON.stringify(odd)}`;
        expect(decision.effect, name).toBe(wellFormed.has(name) ? "allow" : "deny");
      }
    }
  });

  it("denies when there is no question", () => {
    for (const question of [null, {}, [], "read:transactions"]) {
      expect(decide(untyped(question), yes).reasons).toEqual(["policy_input_malformed"]);
    }
  });

  it("denies an action with a wildcard that came past its parser", () => {
    expect(
      reasonsOf({ action: untyped("read:*"), chainScopes: [parseScope(["*:*"]), parseScope(["*:*"])] }),
    ).toEqual(["policy_input_malformed"]);
  });

  it("denies a chain of 65 links and takes one of 64", () => {
    const long = (length: number): Partial<DecideInput> => {
      const chain = [...Array.from({ length: length - 1 }, () => root), leaf];
      return { principal: { ...agent, chain }, chainScopes: chain.map((each) => each.scope) };
    };
    expect(reasonsOf(long(64))).toEqual([]);
    expect(reasonsOf(long(65))).toEqual(["policy_input_malformed"]);
  });

  it("denies an agent whose SPIFFE ID does not end in its instance", () => {
    const odd = { ...leaf, spiffeId: "spiffe://acme.test/finance/fetcher" };
    const principal = { ...agent, spiffeId: odd.spiffeId, chain: [root, odd] };
    expect(reasonsOf({ principal })).toEqual(["policy_input_malformed"]);
  });

  it("takes the whole SPIFFE ID of a foreign agent for its class", () => {
    const odd = { ...leaf, spiffeId: "spiffe://partner.test/ns/prod/sa/worker" };
    const principal = { ...agent, spiffeId: odd.spiffeId, isForeign: true, chain: [root, odd] } as const;
    expect(reasonsOf({ principal })).toEqual([]);
  });

  it("denies scopes that come with somebody who is no agent", () => {
    const scopes: readonly Scope[] = [leaf.scope];
    const owner: Principal = { kind: "owner", ownerId: "own_1" };
    expect(reasonsOf({ principal: owner, plane: "control", chainScopes: scopes })).toEqual([
      "policy_input_malformed",
    ]);
    expect(reasonsOf({ principal: owner, chainScopes: [] })).toEqual(["scope_not_covered"]);
  });
});

describe("principals without a chain", () => {
  it.each([
    [
      { kind: "owner", ownerId: "own_1" },
      { kind: "owner", id: "owner:own_1", class_id: "", owner_id: "own_1", custody: "none", roles: [] },
    ],
    [
      { kind: "operator" },
      { kind: "operator", id: "operator", class_id: "", owner_id: "", custody: "none", roles: [] },
    ],
    [
      { kind: "enrollee", via: "ticket", enrolmentId: "tkt_1", thumbprint: "D".repeat(43) },
      { kind: "enrollee", id: "enrollee:tkt_1", class_id: "", owner_id: "", custody: "none", roles: [] },
    ],
    [
      {
        kind: "verifier",
        spiffeId: "spiffe://acme.test/trustwarden/verifier/forum/inst-1",
        instanceId: "inst-1",
        name: "forum",
        svidSha256: "E".repeat(43),
      },
      {
        kind: "verifier",
        id: "spiffe://acme.test/trustwarden/verifier/forum/inst-1",
        class_id: "spiffe://acme.test/trustwarden/verifier/forum",
        owner_id: "",
        custody: "none",
        roles: [],
      },
    ],
  ] satisfies readonly (readonly [Principal, PolicyInput["principal"]])[])(
    "are described as they are: %o",
    (principal, expected) => {
      const engine = engineOf({ allow: true, reasons: [], policy: "test-v1" });
      const question = {
        principal,
        plane: "control",
        action: action("read:ledger"),
        chainScopes: [],
        subject: "self",
      } as const;
      expect(reasonsOf(question, engine)).toEqual([]);
      expect(engine.asked[0]).toMatchObject({
        principal: expected,
        chain: [],
        scope: { covered: false, links: 0 },
      });
    },
  );
});
