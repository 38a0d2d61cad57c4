/** C6: a right that the parent has lost. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { narrow, ROW, visit } from "../support/visits.ts";

const MAX_MS = 1000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C6",
  title: "a child goes on using a right that its parent has lost since the child was made",
  expected: "denied within a second, in every link below; what the parent kept still works",
  weakening: "own-scope-only",
  mayChange: ["epoch", "registry", "carriedOut"],
  prepare: async (world) => {
    await world.finance();
    const parent = await world.enrol(["read:transactions", "write:transactions", "write:reports"]);
    const child = await world.spawn(parent, ["read:transactions", "write:transactions"]);
    const grandchild = await world.spawn(child, ["write:transactions"], { limits: { depth: 1, fan_out: 1 } });
    return { parent, child, grandchild };
  },
  control: async (world, { child, grandchild }) => {
    for (const agent of [child, grandchild]) {
      expectSame(
        (await visit(world, { agent, method: "POST", body: ROW })).status,
        201,
        "a write before the narrowing",
      );
    }
  },
  attack: async (world, { parent, child, grandchild }) => {
    const startedMs = Date.now();
    const narrowed = await narrow(world, parent.answer.instance_id, ["read:transactions"]);
    expectSame(narrowed.status, 200, "the owner narrows the parent");
    expect(
      Date.now() - startedMs <= MAX_MS,
      `the narrowing is in force within a second: ${Date.now() - startedMs} ms`,
    );
    for (const agent of [child, grandchild]) {
      const answer = await visit(world, { agent, method: "POST", body: ROW });
      expectRefusal(answer, { status: 403, code: "denied" }, "a write after the narrowing");
    }
    expectSame((await visit(world, { agent: child })).status, 200, "a read, which the parent kept");
  },
  evidence: async (ledger, { child, grandchild }) => {
    for (const { answer } of [child, grandchild]) {
      const denied = {
        kind: "action",
        principal: answer.spiffe_id,
        outcome: "denied",
        reason: "scope_not_covered",
      } as const;
      await ledger.expect(denied, 1);
    }
    await ledger.expect({ kind: "narrow", principal: /^owner:own_/, outcome: "success" }, 1);
  },
});
