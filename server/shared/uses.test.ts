/** What counts once is refused a second time with the code of its kind, and claims go to the store together. */
import type { ClaimedUse, UseRows } from "@trustwarden/core/use-rows.ts";
import { expect, test } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { SharedUses, type UseKind } from "./uses.ts";

const NOW = 1_780_000_000;

function storeOf(): UseRows & { readonly asked: (readonly ClaimedUse[])[] } {
  const marks = new Map<string, string>();
  const asked: (readonly ClaimedUse[])[] = [];
  return {
    asked,
    claim: async (uses) => {
      asked.push(uses);
      return uses.flatMap(({ kind, name, mark }) => {
        const before = marks.get(`${kind} ${name}`);
        if (before === undefined) marks.set(`${kind} ${name}`, mark);
        return before === undefined ? [] : [{ kind, name, mark: before }];
      });
    },
  };
}

const useOf = (kind: UseKind, name: string, mark = "") => ({ kind, name, mark, forgetAt: NOW + 60 });

test("a second use is refused with the code of its kind, whichever server it comes to", async () => {
  const rows = storeOf();
  const [left, right] = [new SharedUses(rows), new SharedUses(rows)];
  for (const [kind, code] of [
    ["intent", "intent_replayed"],
    ["nonce", "nonce_invalid"],
    ["owner-request", "owner_request_replayed"],
  ] as const) {
    await left.claim(useOf(kind, "a"), NOW);
    await expectRejection(right.claim(useOf(kind, "a"), NOW), code);
    await right.claim(useOf(kind, "b"), NOW);
  }
});

test("the name of an intent with another payload is a conflict", async () => {
  const uses = new SharedUses(storeOf());
  await uses.claim(useOf("intent", "a", "first"), NOW);
  await expectRejection(uses.claim(useOf("intent", "a", "other"), NOW), "event_conflict");
});

test("claims of one moment go to the store together, one name once in each batch, and are kept longer than they count", async () => {
  const rows = storeOf();
  const uses = new SharedUses(rows);
  const claims = ["a", "b", "a"].map((name) => uses.claim(useOf("nonce", name), NOW));
  const ends = await Promise.allSettled(claims);
  expect(ends.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  expect(rows.asked.map((batch) => batch.map(({ name }) => name))).toEqual([["a", "b"], ["a"]]);
  expect(rows.asked[0]?.[0]?.seconds).toBeGreaterThan(300);
});

test("a store that cannot say leaves nothing used: whoever asks is refused", async () => {
  const uses = new SharedUses({ claim: () => Promise.reject(new Error("away")) });
  await expect(uses.claim(useOf("intent", "a"), NOW)).rejects.toThrow("away");
});
