/** Several agents in one process: which of them acts, what their handles show, and what a strayed handle may do. */

import { inspect } from "node:util";
import { serialize } from "node:v8";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { actAs, currentAgent, requireActing } from "./acting.ts";
import { CallGate } from "./call-gate.ts";
import { planToolCall } from "./tool-rules.ts";
import { startWorld, type World } from "./world.test.support.ts";

let world: World;
let root: AgentIdentity;
let left: AgentIdentity;
let right: AgentIdentity;
beforeAll(async () => {
  world = await startWorld();
  root = await world.createAgent(["use:tool", "send:mail"]);
  left = await root.spawn({ name: "left", scope: ["use:tool:a"] });
  right = await root.spawn({ name: "right", scope: ["use:tool:b"] });
});
afterAll(async () => {
  await Promise.all([left?.close(), right?.close()]);
  await world?.close();
});

const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return Object(error).code;
  }
};

describe("the acting agent", () => {
  it("is nobody outside of any work, and follows work across awaits, timers and callbacks", async () => {
    expect([currentAgent(), codeOf(() => requireActing())]).toEqual([undefined, "agent_missing"]);
    const names = await actAs(left, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const inner = await actAs(right, async () => currentAgent()?.name);
      return [inner, currentAgent()?.name, (await Promise.all([0].map(async () => requireActing().name)))[0]];
    });
    expect(names).toEqual(["right", "left", "left"]);
    expect(currentAgent()).toBeUndefined();
  });

  it("refuses a handle in the work of a sibling or a child, and takes it in its own and its ancestors' work", () => {
    expect(codeOf(() => actAs(left, () => requireActing(right)))).toBe("agent_mismatch");
    expect(codeOf(() => actAs(left, () => requireActing(root)))).toBe("agent_mismatch");
    expect(actAs(left, () => requireActing(left))).toBe(left);
    expect(actAs(root, () => requireActing(left))).toBe(left);
    expect(requireActing(left)).toBe(left);
  });

  it("records what an explicit handle does as that handle's own, whoever holds it", async () => {
    // The SDK's own method knows no context: a leaked handle acts as itself and never as its holder.
    await actAs(left, () => right.act("use:tool:b", "tool:b", null, async () => "done"));
    expect((await world.actionsOf(right)).at(-1)).toMatchObject({ action: "use:tool:b", agent: right.id });
    expect((await world.actionsOf(left)).map(({ action }) => action)).not.toContain("use:tool:b");
  });

  it("runs nothing of a tool that was bound to another agent", async () => {
    const gate = new CallGate();
    let isRun = false;
    const stray = actAs(left, () =>
      gate.run({ agent: right }, planToolCall("b", {}), async () => {
        isRun = true;
      }),
    );
    await expect(stray).rejects.toMatchObject({ code: "agent_mismatch" });
    expect(isRun).toBe(false);
  });
});

describe("a handle", () => {
  const shownBy = (identity: AgentIdentity): readonly string[] => [
    String(identity),
    `${identity.toJSON()}`,
    JSON.stringify({ identity, list: [identity] }),
    inspect(identity, { depth: 20, showHidden: true }),
    inspect(identity, { depth: 20, showHidden: true, customInspect: false }),
    inspect({ ...identity }, { depth: 20, showHidden: true, customInspect: false }),
    inspect(Object.getOwnPropertyDescriptors(identity), { depth: 20, showHidden: true }),
    inspect(new Error("with it", { cause: identity }), { depth: 20 }),
  ];

  it("shows no key, however it is printed", () => {
    for (const text of shownBy(left))
      expect(text).not.toMatch(/PRIVATE|pkcs8|KeyObject|"d"|signer|credential/i);
    expect(JSON.stringify(left)).toBe(JSON.stringify(left.id));
  });

  it("cannot be cloned, serialised or sent to a worker, and a look-alike is none", () => {
    expect(() => structuredClone(left)).toThrow("could not be cloned");
    expect(() => serialize(left)).toThrow("could not be cloned");
    expect(() => new MessageChannel().port1.postMessage(left)).toThrow("could not be cloned");
    const forged: AgentIdentity = Object.create(AgentIdentity.prototype);
    expect(() => forged.act("use:tool:a", "tool:a", null, async () => "x")).toThrow(TypeError);
    expect(() => ({ ...left, act: left.act }).act("use:tool:a", "tool:a", null, async () => "x")).toThrow(
      TypeError,
    );
  });

  it("has a key of its own: what one signed is never another's", async () => {
    await left.act("use:tool:a", "tool:a", null, async () => "done");
    const ids = [root, left, right].map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    expect((await world.actionsOf(left)).every(({ agent }) => agent === left.id)).toBe(true);
    await expect(left.act("use:tool:b", "tool:b", null, async () => "done")).rejects.toMatchObject({
      code: "denied",
    });
  });
});

describe("the gate", () => {
  const call = planToolCall("a", { n: 1 });

  it("keeps one call one decision between question and run", async () => {
    const gate = new CallGate();
    const before = (await world.actionsOf(left)).length;
    expect(await gate.begin({ agent: left, id: "1" }, call)).toEqual({ kind: "run" });
    expect(await gate.begin({ agent: left, id: "1" }, call)).toEqual({ kind: "run" });
    expect(await gate.run({ agent: left, id: "1" }, call, async () => "ran")).toBe("ran");
    expect((await world.actionsOf(left)).length).toBe(before + 1);
  });

  it("decides anew when what runs is not what was asked about", async () => {
    const gate = new CallGate();
    await gate.begin({ agent: left, id: "2" }, call);
    const other = planToolCall("other", { n: 2 });
    const run = gate.run({ agent: left, id: "2" }, other, async () => "ran");
    await expect(run).rejects.toMatchObject({ code: "denied" });
  });

  it("reports a permit that nobody picked up as aborted, and a late run is decided again", async () => {
    const gate = new CallGate();
    const lone = await root.spawn({ name: "lone", scope: ["use:tool:a"] });
    await gate.begin({ agent: lone, id: "3" }, call);
    await expect
      .poll(async () => (await world.actionsOf(lone)).at(-1)?.outcome, { timeout: 60_000 })
      .toBe("aborted");
    expect(await gate.run({ agent: lone, id: "3" }, call, async () => "late")).toBe("late");
    expect((await world.actionsOf(lone)).map(({ outcome }) => outcome)).toEqual(["aborted", "success"]);
    await lone.close();
  });

  it("gives up work that is under way when its agent is stopped, and nobody else's", async () => {
    const gate = new CallGate();
    const [stopped, other] = await Promise.all([
      root.spawn({ name: "stopped", scope: ["use:tool:a"] }),
      root.spawn({ name: "other", scope: ["use:tool:a"] }),
    ]);
    const begun = Promise.withResolvers<void>();
    const late = Promise.withResolvers<string>();
    const cut = gate.run({ agent: stopped }, call, () => {
      begun.resolve();
      return new Promise(() => undefined);
    });
    const kept = gate.run({ agent: other }, call, () => late.promise);
    await begun.promise;
    // Listened to first: the stop is heard of before it has been answered, now and then.
    const given = expect(cut).rejects.toMatchObject({ code: "identity_revoked" });
    await root.revoke({ child: stopped, reason: "enough" });
    await given;
    await world.expectCut(stopped);
    late.resolve("late");
    expect(await kept).toBe("late");
    await Promise.all([stopped.close(), other.close()]);
  });

  it("gives what the work threw, once, under an open permit too", async () => {
    const gate = new CallGate();
    await gate.begin({ agent: left, id: "4" }, call);
    const run = gate.run({ agent: left, id: "4" }, call, async () => Promise.reject(new Error("broken")));
    await expect(run).rejects.toThrow("broken");
    expect((await world.actionsOf(left)).at(-1)?.outcome).toBe("failure");
  });
});
