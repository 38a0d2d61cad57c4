/** Budgets against a real store: who is charged, what a crash leaves, and that nobody spends what is not left. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Amount } from "@trustwarden/core/gateway/budget.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { describe, expect, it } from "vitest";
import type { BudgetUseRow, ShareBudgetUse } from "../store/budget-ports.ts";
import {
  contextAt,
  createTestStore,
  NOW,
  NOW_MS,
  type TestStore,
} from "../store/commands/fixture.test.support.ts";
import { foldBudgetShares, shareBudgetUse } from "../store/commands/share-budget.ts";
import type { IssuedIdentity } from "../store/ports.ts";
import { createReads } from "../store/reads.ts";
import { Budgets } from "./budgets.ts";

const call = { tokens: 100, microUsd: 10 };

/** A root with a budget in its ticket, and its child with a part of it. */
function family(units: { readonly root: number | null; readonly child: number | null }) {
  const store = createTestStore();
  const owner = store.owner();
  const root = store.root(owner, { limits: { depth: 3, fanOut: 5, budget: units.root } });
  const child = store.child(root, { limits: { depth: 1, fanOut: 1, budget: units.child } });
  return { store, root, child };
}

function principalOf(store: TestStore, { instanceId }: Pick<IssuedIdentity, "instanceId">) {
  const line = createReads(store.database, () => NOW).chainOf(instanceId);
  const last = line.at(-1);
  if (last === undefined) throw new Error("an instance has a line");
  return {
    kind: "agent",
    spiffeId: last.spiffeId,
    agentId: last.agentId ?? "",
    instanceId,
    ownerId: last.ownerId ?? "",
    svidSha256: "x",
    custody: "agent",
    attested: last.attested,
    chain: line.map((link) => ({
      agentId: link.agentId ?? "",
      instanceId: link.instanceId,
      spiffeId: link.spiffeId,
      scope: parseScope([]),
    })),
  } as const;
}

function open(
  store: TestStore,
  options: { readonly save?: (rows: readonly BudgetUseRow[]) => Promise<void> } = {},
) {
  const save = async (rows: readonly BudgetUseRow[]): Promise<void> => {
    store.run({ kind: "saveBudgetUse", rows });
  };
  return new Budgets({
    reads: createReads(store.database, () => NOW),
    save: options.save ?? save,
    now: () => NOW,
    onError: () => {},
  });
}

function set(
  store: TestStore,
  budgets: Budgets,
  subject: { readonly kind: "owner" | "agent" | "instance"; readonly id: string },
  limits: { readonly calls?: number; readonly tokens?: number; readonly microUsd?: number },
): void {
  const all = { calls: null, tokens: null, microUsd: null, ...limits };
  const command = { context: contextAt(NOW_MS), subject, window: "day", limits: all } as const;
  store.run({ kind: "setBudget", command });
  budgets.apply(command);
}

const exhausted = (facts: object) =>
  expect.objectContaining({ code: "budget_exhausted", details: expect.objectContaining(facts) });

describe("budgets", () => {
  it("charge the instance, everybody above it and the owner", async () => {
    const { store, root, child } = family({ root: null, child: null });
    const budgets = open(store);
    const agent = principalOf(store, child);
    set(store, budgets, { kind: "owner", id: agent.ownerId }, { calls: 3 });
    set(store, budgets, { kind: "agent", id: principalOf(store, root).agentId }, { tokens: 250 });
    for (let round = 0; round < 2; round += 1) (await budgets.reserve(agent, call)).settle(call);
    expect(budgets.list(agent.ownerId)[0]?.used).toEqual({ calls: 2, tokens: 200, microUsd: 20 });
    (await budgets.reserve(agent, call)).settle({ tokens: 50, microUsd: 1 });
    await expect(budgets.reserve(agent, call)).rejects.toThrow(
      exhausted({ subject: agent.ownerId, measure: "calls" }),
    );
    await expect(budgets.reserve(principalOf(store, root), call)).rejects.toThrow(
      exhausted({ measure: "calls" }),
    );
  });

  it("let a child spend no more than its parent has left, and take one unit of a ticket for a micro-USD", async () => {
    const { store, root, child } = family({ root: 25, child: 20 });
    const budgets = open(store);
    (await budgets.reserve(principalOf(store, root), call)).settle(call);
    const agent = principalOf(store, child);
    (await budgets.reserve(agent, call)).settle(call);
    // Five are left at the parent, ten at the child: one more call takes the parent's rest, and overdraws it once.
    (await budgets.reserve(agent, call)).settle(call);
    await expect(budgets.reserve(agent, call)).rejects.toThrow(exhausted({ subject: root.instanceId }));
    expect(budgets.list(child.instanceId)[0]).toMatchObject({
      limits: { microUsd: 20 },
      used: { microUsd: 20 },
    });
  });

  it("refuse a model without a price exactly where money is limited", async () => {
    const { store, child } = family({ root: null, child: null });
    const budgets = open(store);
    const agent = principalOf(store, child);
    const unknown = { tokens: 1, microUsd: null };
    set(store, budgets, { kind: "agent", id: agent.agentId }, { tokens: 1000 });
    (await budgets.reserve(agent, unknown)).settle(null);
    set(store, budgets, { kind: "agent", id: agent.agentId }, { microUsd: 1000 });
    await expect(budgets.reserve(agent, unknown)).rejects.toThrow(
      expect.objectContaining({ code: "price_unknown" }),
    );
    (await budgets.reserve(agent, null)).settle(null);
  });

  it("let in one call at a time where nothing bounds its cost", async () => {
    const { store, child } = family({ root: null, child: null });
    const budgets = open(store);
    const agent = principalOf(store, child);
    set(store, budgets, { kind: "agent", id: agent.agentId }, { tokens: 1000 });
    const endless = { tokens: Number.POSITIVE_INFINITY, microUsd: null };
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => budgets.reserve(agent, endless)));
    const admitted = asked.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(admitted).toHaveLength(1);
    admitted[0]?.settle({ tokens: 100_000, microUsd: null });
    await expect(budgets.reserve(agent, endless)).rejects.toThrow(
      exhausted({ measure: "tokens", window: "day" }),
    );
  });

  it("give back what a call that never happened had taken", async () => {
    const { store, child } = family({ root: null, child: null });
    const budgets = open(store);
    const agent = principalOf(store, child);
    set(store, budgets, { kind: "agent", id: agent.agentId }, { calls: 1 });
    (await budgets.reserve(agent, null)).cancel();
    const second = await budgets.reserve(agent, null);
    second.settle(null);
    expect(() => second.cancel()).toThrow("ends once");
  });

  it("count a call that a crash left open as spent, at most a hundredth of the limit more, and never less", async () => {
    const { store, child } = family({ root: null, child: null });
    const agent = principalOf(store, child);
    const before = open(store);
    set(store, before, { kind: "agent", id: agent.agentId }, { calls: 1000, tokens: 100_000 });
    for (let round = 0; round < 30; round += 1) (await before.reserve(agent, call)).settle(call);
    await before.reserve(agent, call);
    // The process ends here: nothing is closed, nothing settled.
    const [after] = open(store).list(agent.agentId);
    expect(after?.used.calls).toBeGreaterThanOrEqual(31);
    expect(after?.used.calls).toBeLessThanOrEqual(31 + 10);
    expect(after?.used.tokens).toBeGreaterThanOrEqual(3100);
  });

  it("remember exactly what was used over a proper end", async () => {
    const { store, child } = family({ root: null, child: null });
    const agent = principalOf(store, child);
    const before = open(store);
    set(store, before, { kind: "agent", id: agent.agentId }, { calls: 1000 });
    for (let round = 0; round < 30; round += 1) (await before.reserve(agent, call)).settle(call);
    await before.close();
    expect(open(store).list(agent.agentId)[0]?.used).toEqual({ calls: 30, tokens: 3000, microUsd: 300 });
  });

  it("let nobody in while the disk cannot be written", async () => {
    const { store, child } = family({ root: null, child: null });
    const agent = principalOf(store, child);
    const budgets = open(store, { save: () => Promise.reject(new Error("no disk")) });
    set(store, budgets, { kind: "agent", id: agent.agentId }, { calls: 5 });
    await expect(budgets.reserve(agent, null)).rejects.toThrow("no disk");
    expect(budgets.list(agent.agentId)[0]?.used.calls).toBe(0);
  });

  it("cost nothing where none is set", async () => {
    const { store, child } = family({ root: null, child: null });
    const budgets = open(store, { save: () => Promise.reject(new Error("never asked")) });
    const agent = principalOf(store, child);
    (await budgets.reserve(agent, { tokens: Number.POSITIVE_INFINITY, microUsd: null })).settle(null);
    await budgets.close();
  });
});

describe("budgets of servers that share a store", () => {
  /** Two servers, and how one of them is killed: nothing more is heard of it, and its row stays. */
  function openTwo(store: TestStore) {
    const reads = createReads(store.database, () => NOW);
    const openOne = (server: string, share?: Share) =>
      new Budgets({
        reads,
        save: () => Promise.reject(new Error("rows of servers alone")),
        shared: { server, share: share ?? (async (command) => shareIn(store, command)) },
        now: () => NOW,
        onError: () => {},
      });
    return { left: openOne("left"), right: openOne("right"), openOne, reads };
  }
  type Share = (command: ShareBudgetUse) => Promise<readonly (Amount | null)[]>;
  const shareIn = (store: TestStore, command: ShareBudgetUse) => shareBudgetUse(store.database, command);

  it("let in at both together no more calls than there are, however many ask at once", async () => {
    const { store, root } = family({ root: null, child: null });
    const { left, right } = openTwo(store);
    for (const budgets of [left, right])
      set(store, budgets, { kind: "owner", id: ownerOf(store, root) }, { calls: 7 });
    const agent = principalOf(store, root);
    const asked = await Promise.allSettled(
      Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? left : right).reserve(agent, call)),
    );
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(7);
    for (const one of asked) if (one.status === "rejected") expect(one.reason).toEqual(exhausted({}));
    for (const one of asked) if (one.status === "fulfilled") one.value.settle({ tokens: 1, microUsd: 1 });
    await Promise.all([left.close(), right.close()]);
    expect(left.list(agent.ownerId)).toMatchObject([{ used: { calls: 7, tokens: 7, microUsd: 7 } }]);
    expect(right.list(agent.ownerId)).toEqual(left.list(agent.ownerId));
  });

  it("never give what a killed server held to another, and give all of it back that a living one needs no more", async () => {
    const { store, root } = family({ root: null, child: null });
    const { left, right } = openTwo(store);
    const owner = { kind: "owner", id: ownerOf(store, root) } as const;
    for (const budgets of [left, right]) set(store, budgets, owner, { calls: 1000 });
    const agent = principalOf(store, root);
    const first = await left.reserve(agent, call);
    // One call, and a hundredth ahead of it.
    expect(right.list(owner.id)).toMatchObject([{ used: { calls: 11 } }]);
    for (let calls = 0; calls < 9; calls += 1) (await left.reserve(agent, call)).cancel();
    first.cancel();
    await left.close();
    expect(right.list(owner.id)).toMatchObject([{ used: { calls: 0 } }]);
    await left.reserve(agent, call);
    foldBudgetShares(store.database, { servers: ["right"], now: NOW });
    expect(right.list(owner.id)).toMatchObject([{ used: { calls: 11 } }]);
    const rest = await Promise.allSettled(Array.from({ length: 1000 }, () => right.reserve(agent, call)));
    expect(rest.filter(({ status }) => status === "fulfilled")).toHaveLength(989);
  });

  it("have a server that was taken for dead begin anew, and let in what it held only beside what counts as used", async () => {
    const { store, root } = family({ root: null, child: null });
    const { left, right } = openTwo(store);
    const owner = { kind: "owner", id: ownerOf(store, root) } as const;
    for (const budgets of [left, right]) set(store, budgets, owner, { calls: 5 });
    const agent = principalOf(store, root);
    for (let calls = 0; calls < 3; calls += 1)
      (await left.reserve(agent, call)).settle({ tokens: 1, microUsd: 1 });
    foldBudgetShares(store.database, { servers: [], now: NOW });
    for (let calls = 0; calls < 2; calls += 1)
      (await left.reserve(agent, call)).settle({ tokens: 1, microUsd: 1 });
    await expect(left.reserve(agent, call)).rejects.toEqual(exhausted({ measure: "calls" }));
    await expect(right.reserve(agent, call)).rejects.toEqual(exhausted({ measure: "calls" }));
  });

  it("take nothing where nobody knows whether the store has it, and not twice when it is asked again", async () => {
    const { store, root } = family({ root: null, child: null });
    let isLost = true;
    const { openOne } = openTwo(store);
    const budgets = openOne("third", async (command) => {
      const held = shareIn(store, command);
      if (isLost) throw new TrustWardenError("store_unavailable");
      return held;
    });
    const owner = { kind: "owner", id: ownerOf(store, root) } as const;
    set(store, budgets, owner, { calls: 3 });
    const agent = principalOf(store, root);
    await expect(budgets.reserve(agent, call)).rejects.toMatchObject({ code: "store_unavailable" });
    isLost = false;
    for (let calls = 0; calls < 3; calls += 1) await budgets.reserve(agent, call);
    await expect(budgets.reserve(agent, call)).rejects.toEqual(exhausted({ measure: "calls" }));
  });

  it("are a server's alone when the others are no more, with what was used at each", async () => {
    const { store, root } = family({ root: null, child: null });
    const { left, right } = openTwo(store);
    const owner = { kind: "owner", id: ownerOf(store, root) } as const;
    for (const budgets of [left, right]) set(store, budgets, owner, { calls: 9 });
    const agent = principalOf(store, root);
    for (const budgets of [left, right])
      (await budgets.reserve(agent, call)).settle({ tokens: 5, microUsd: 5 });
    await Promise.all([left.close(), right.close()]);
    foldBudgetShares(store.database, { servers: [], now: NOW });
    expect(open(store).list(owner.id)).toMatchObject([{ used: { calls: 2, tokens: 10, microUsd: 10 } }]);
  });

  it("forget what was used by every server when the budget is taken away", async () => {
    const { store, root } = family({ root: null, child: null });
    const { left, right, reads } = openTwo(store);
    const owner = { kind: "owner", id: ownerOf(store, root) } as const;
    for (const budgets of [left, right]) set(store, budgets, owner, { calls: 2 });
    const agent = principalOf(store, root);
    (await left.reserve(agent, call)).settle({ tokens: 1, microUsd: 1 });
    set(store, right, owner, {});
    left.readAgain();
    expect(reads.listBudgetShares()).toEqual([]);
    expect(left.list(owner.id)).toEqual([]);
    set(store, right, owner, { calls: 2 });
    left.readAgain();
    for (const budgets of [left, right]) await budgets.reserve(agent, call);
    await expect(left.reserve(agent, call)).rejects.toEqual(exhausted({ measure: "calls" }));
  });
});

function ownerOf(store: TestStore, root: Pick<IssuedIdentity, "instanceId">): string {
  return principalOf(store, root).ownerId;
}
