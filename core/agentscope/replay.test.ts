import { describe, expect, it } from "vitest";
import type { DecisionRecord } from "../event.ts";
import type { PolicyInput } from "./policy-input.ts";
import type { PolicyEngine } from "./ports.ts";
import { type RecordedDecision, replayDecision, type UnseeingEngine } from "./replay.ts";

const BUILTIN = { name: "trustwarden-builtin-v1", bundleSha256: "A".repeat(43) };
const SPIFFE_ID = "spiffe://acme.test/finance/payer/inst-01J0000000000000000000000A";

function recorded(change: Partial<DecisionRecord> = {}): RecordedDecision {
  const reasons = change.reasons ?? [];
  const decision: DecisionRecord = {
    v: 1,
    event_id: "01890a5d-ac96-774b-bcce-b302099a8057",
    intent_sha256: "A".repeat(43),
    allow: reasons.length === 0,
    reasons,
    class: "B",
    chain: ["owner:own_1", "agt_1"],
    policy: { name: BUILTIN.name, bundle_sha256: BUILTIN.bundleSha256 },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 7,
    time: "2026-11-23T00:00:00.000Z",
    ...change,
  };
  const intent = { agent: { id: "agt_1", spiffe_id: SPIFFE_ID }, action: "pay:invoice:1", resource: "x:1" };
  return { intent, decision, selectors: null };
}

const answering = (reasons: readonly string[], seen: (input: PolicyInput) => void = () => undefined) => {
  const draft: UnseeingEngine = {
    policy: { name: "draft-v1", bundleSha256: "B".repeat(43) },
    answer: ({ question }) => {
      seen(question);
      return { kind: "answer", answer: { allow: reasons.length === 0, reasons, policy: "draft-v1" } };
    },
  };
  return draft;
};
const builtinSaying = (reasons: readonly string[]): PolicyEngine => ({
  policy: BUILTIN,
  evaluate: () => ({ allow: reasons.length === 0, reasons, policy: BUILTIN.name }),
});
const builtin = builtinSaying([]);

describe("a draft over a recorded decision", () => {
  it("changes nothing where it says what was said", () => {
    expect(replayDecision(recorded(), { draft: answering([]), builtin })).toEqual({
      kind: "same",
      effect: "allow",
    });
  });

  it("denies, and asks for a human, where it takes away", () => {
    expect(replayDecision(recorded(), { draft: answering(["too_much"]), builtin })).toEqual({
      kind: "changed",
      before: "allow",
      after: "deny",
      reasons: ["too_much"],
    });
    const asking = replayDecision(recorded(), { draft: answering(["approval_required"]), builtin });
    expect(asking).toMatchObject({ before: "allow", after: "ask" });
  });

  it("never allows what the built-in policy denied, and is not even asked", () => {
    const never: UnseeingEngine = {
      ...answering([]),
      answer: () => {
        throw new Error("it was asked");
      },
    };
    const denied = recorded({ reasons: ["scope_not_covered"] });
    expect(replayDecision(denied, { draft: never, builtin })).toEqual({ kind: "same", effect: "deny" });
  });

  it("takes the place of the custom policy that denied then", () => {
    const policy = { name: `${BUILTIN.name}+old-v1`, bundle_sha256: "C".repeat(43) };
    const denied = recorded({ reasons: ["too_much"], policy });
    expect(replayDecision(denied, { draft: answering([]), builtin })).toEqual({
      kind: "changed",
      before: "deny",
      after: "allow",
      reasons: [],
    });
    const forbidding = builtinSaying(["action_forbidden"]);
    expect(replayDecision(denied, { draft: answering([]), builtin: forbidding })).toMatchObject({
      kind: "same",
      effect: "deny",
    });
  });

  it("lifts no stop, no budget and no refusal of an approval", () => {
    const policy = { name: `${BUILTIN.name}+old-v1`, bundle_sha256: "C".repeat(43) };
    for (const reason of ["job_stopped", "policy_stopped", "budget_exhausted", "approval_used"]) {
      const stopped = recorded({ reasons: [reason], policy });
      expect(replayDecision(stopped, { draft: answering([]), builtin })).toEqual({
        kind: "same",
        effect: "deny",
      });
    }
  });

  it("is unknown where it looks at what no record says, or where no policy answered", () => {
    const looking: UnseeingEngine = {
      ...answering([]),
      answer: ({ unrecorded }) => ({ kind: "needs", members: unrecorded }),
    };
    const calls = recorded({ enforcement: "gateway", class: "C" });
    expect(replayDecision(calls, { draft: looking, builtin })).toEqual({
      kind: "unknown",
      needs: ["arguments", "labels", "outside", "frozen"],
    });
    expect(replayDecision(recorded(), { draft: looking, builtin })).toEqual({
      kind: "unknown",
      needs: ["labels", "outside"],
    });
    const without = recorded({ reasons: ["policy_unavailable"] });
    expect(replayDecision(without, { draft: answering([]), builtin })).toEqual({
      kind: "unknown",
      needs: ["policy"],
    });
    const attested = recorded({
      attested: { type: "node", strength: "unix", composition_sha256: null },
    });
    expect(replayDecision(attested, { draft: looking, builtin })).toMatchObject({
      needs: ["labels", "outside", "selectors"],
    });
  });

  it("denies when it gives no answer, as it would in force", () => {
    const broken: UnseeingEngine = {
      ...answering([]),
      answer: () => {
        throw new Error("deadline");
      },
    };
    expect(replayDecision(recorded(), { draft: broken, builtin })).toMatchObject({
      after: "deny",
      reasons: ["policy_unavailable"],
    });
  });

  it("is asked what the policies were asked then", () => {
    const seen: PolicyInput[] = [];
    const approval = { id: "e", owner: "own_1", envelope_sha256: "A".repeat(43) };
    replayDecision(recorded({ approval }), { draft: answering([], (input) => seen.push(input)), builtin });
    expect(seen[0]).toMatchObject({
      action: { name: "pay:invoice:1", verb: "pay", type: "invoice", path: "1" },
      principal: { id: SPIFFE_ID, class_id: "spiffe://acme.test/finance/payer", owner_id: "own_1" },
      chain: ["agt_1"],
      scope: { covered: true, links: 1 },
      view: { fresh: true, epoch: 7 },
      approved: true,
    });
  });
});
