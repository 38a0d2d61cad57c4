/** The alarm about agents per owner: once when it is passed, and again only after it was clearly below. */
import { expect, it } from "vitest";
import type { ControlDraft } from "../store/ports.ts";
import { AgentRatio } from "./agent-ratio.ts";

function watch(limit: number, marked = { isOn: false }) {
  const counts = { owners: 1, agents: 0 };
  const drafts: ControlDraft[] = [];
  const warned: string[] = [];
  const noted: number[] = [];
  let isBroken = false;
  const ratio = new AgentRatio({
    limit,
    mark: {
      isOn: () => marked.isOn,
      set: (isOn) => {
        marked.isOn = isOn;
      },
    },
    counts: () => counts,
    note: ({ agents }) => noted.push(agents),
    record: async (draft) => {
      if (isBroken) throw new Error("the ledger is not there");
      drafts.push(draft);
    },
    warn: (_, message) => warned.push(message),
    onFailure: () => undefined,
  });
  const at = async (agents: number, owners = 1): Promise<number> => {
    Object.assign(counts, { agents, owners });
    await ratio.look();
    return drafts.length;
  };
  return {
    at,
    drafts,
    warned,
    breakLedger: (broken: boolean) => {
      isBroken = broken;
    },
  };
}

it("sounds at the limit and not below, in the log and in the ledger", async () => {
  const { at, drafts, warned } = watch(88);
  expect(await at(87)).toBe(0);
  expect(await at(88)).toBe(1);
  expect(warned).toEqual(["alarm"]);
  expect(drafts[0]).toMatchObject({
    kind: "alarm",
    reasons: ["agents_per_owner"],
    details: { agents: 88, owners: 1, limit: 88 },
  });
});

it("counts over all owners, and says nothing where there is none", async () => {
  const { at } = watch(88);
  expect(await at(1_495_999, 17_000)).toBe(0);
  expect(await at(1_496_000, 17_000)).toBe(1);
  expect(await watch(88).at(0, 0)).toBe(0);
});

it("sounds once while it lasts, and again after it was a tenth below", async () => {
  const { at } = watch(100);
  expect(await at(100)).toBe(1);
  expect(await at(500)).toBe(1);
  expect(await at(90)).toBe(1);
  expect(await at(100)).toBe(1);
  expect(await at(89)).toBe(1);
  expect(await at(100)).toBe(2);
});

it("sounds at the next look when the ledger did not take it", async () => {
  const { at, breakLedger } = watch(10);
  breakLedger(true);
  await expect(at(10)).rejects.toThrow("not there");
  breakLedger(false);
  expect(await at(10)).toBe(1);
});

it("is on again after a start of the server, and sounds anew only after it was clearly below", async () => {
  const marked = { isOn: false };
  await watch(10, marked).at(10);
  expect(marked.isOn).toBe(true);
  const { at } = watch(10, marked);
  expect([await at(11), await at(12)]).toEqual([0, 0]);
  expect([await at(8), marked.isOn, await at(10)]).toEqual([0, false, 1]);
});
