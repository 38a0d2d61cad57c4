import { describe, expect, it } from "vitest";
import type { Decision } from "./decision.ts";
import { TrustWardenError } from "./error.ts";
import { authorize, type GuardPorts, guard } from "./guard.ts";

const allow: Decision = {
  effect: "allow",
  reasons: [],
  class: "B",
  policy: { name: "test", bundleSha256: "x" },
  epoch: 1,
};
const deny: Decision = { ...allow, effect: "deny", reasons: ["scope_not_covered"] };

/** Ports that write down what was called; `broken` names the step that fails. */
function tracedPorts(decision: Decision, broken?: { readonly step: string; readonly error: Error }) {
  const trace: string[] = [];
  const walk = <T>(step: string, result: T): T => {
    trace.push(step);
    if (broken?.step === step) throw broken.error;
    return result;
  };
  const ports: GuardPorts<string, string, string> = {
    authenticate: async (arrival) => walk("authenticate", `principal of ${arrival}`),
    decide: async () => walk("decide", decision),
    record: async () => walk("record", "receipt"),
    requireLive: () => walk("requireLive", undefined),
    recordOutcome: async (_permit, { status, reason }) =>
      walk(reason === undefined ? `outcome ${status}` : `outcome ${status} ${reason}`, undefined),
  };
  const act = async () => walk("act", "answer");
  return { ports, trace, act };
}

describe("the path", () => {
  it("walks authenticate, decide, record, re-check, act, record, in this order", async () => {
    const { ports, trace, act } = tracedPorts(allow);
    expect(await guard(ports, "call", act)).toBe("answer");
    expect(trace).toEqual(["authenticate", "decide", "record", "requireLive", "act", "outcome success"]);
  });

  it("records a deny and does not act", async () => {
    const { ports, trace, act } = tracedPorts(deny);
    await expect(guard(ports, "call", act)).rejects.toMatchObject({
      code: "denied",
      details: { reasons: ["scope_not_covered"] },
    });
    expect(trace).toEqual(["authenticate", "decide", "record"]);
  });

  it.each([
    { reasons: ["policy_unavailable"], code: "policy_unavailable" },
    { reasons: ["approval_required", "policy_unavailable"], code: "policy_unavailable" },
    { reasons: ["policy_unavailable", "scope_not_covered"], code: "denied" },
  ])(
    "does not act when no engine answered, and says so where nothing else is against it: $reasons",
    async ({ reasons, code }) => {
      const { ports, trace, act } = tracedPorts({ ...deny, reasons });
      await expect(guard(ports, "call", act)).rejects.toMatchObject({ code, details: { reasons } });
      expect(trace).toEqual(["authenticate", "decide", "record"]);
    },
  );

  it("records what waits for a human, and does not act", async () => {
    const reasons = ["approval_required"];
    const { ports, trace, act } = tracedPorts({ ...allow, effect: "ask", reasons });
    await expect(guard(ports, "call", act)).rejects.toMatchObject({
      code: "approval_required",
      details: { reasons },
    });
    expect(trace).toEqual(["authenticate", "decide", "record"]);
  });

  it.each(["authenticate", "decide", "record"])("does nothing after a failure in %s", async (step) => {
    const error = new TrustWardenError("ledger_unavailable");
    const { ports, trace, act } = tracedPorts(allow, { step, error });
    await expect(guard(ports, "call", act)).rejects.toBe(error);
    expect(trace.at(-1)).toBe(step);
    expect(trace).not.toContain("act");
  });

  it("does not act when the last check fails, and records that nothing was done", async () => {
    const { ports, trace, act } = tracedPorts(allow, {
      step: "requireLive",
      error: new TrustWardenError("lease_expired"),
    });
    await expect(guard(ports, "call", act)).rejects.toMatchObject({ code: "lease_expired" });
    expect(trace).not.toContain("act");
    expect(trace.at(-1)).toBe("outcome failure lease_expired");
  });

  it("records a failing act and passes its error on", async () => {
    const { ports, trace, act } = tracedPorts(allow, {
      step: "act",
      error: new Error("the database is gone"),
    });
    await expect(guard(ports, "call", act)).rejects.toThrow("the database is gone");
    expect(trace.at(-1)).toBe("outcome failure internal");
  });

  it.each(["call_aborted", "call_cut"] as const)(
    "records an act that broke off by %s as such",
    async (code) => {
      const { ports, trace, act } = tracedPorts(allow, { step: "act", error: new TrustWardenError(code) });
      await expect(guard(ports, "call", act)).rejects.toMatchObject({ code });
      expect(trace.at(-1)).toBe(`outcome aborted ${code}`);
    },
  );

  it("is loud when the outcome cannot be recorded, after the act", async () => {
    const error = new TrustWardenError("ledger_unavailable");
    const { ports, trace, act } = tracedPorts(allow, { step: "outcome success", error });
    await expect(guard(ports, "call", act)).rejects.toBe(error);
    expect(trace.filter((step) => step === "act")).toHaveLength(1);
  });

  it("gives a recorded deny back from its first half as a value", async () => {
    const { ports, trace } = tracedPorts(deny);
    const permit = await authorize(ports, "call");
    expect(permit).toMatchObject({
      arrival: "call",
      principal: "principal of call",
      decision: deny,
      receipt: "receipt",
    });
    expect(trace).toEqual(["authenticate", "decide", "record"]);
  });
});
