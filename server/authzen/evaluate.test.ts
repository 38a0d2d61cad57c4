/** Whether an evaluation still counts when it is answered. */
import { expect, it } from "vitest";
import { askAgain, type Evaluation, isCurrent } from "./evaluate.ts";

const ALLOW: Evaluation = {
  isAllowed: true,
  reasons: [],
  class: "C",
  epoch: 4,
  policy: { name: "p-v1", bundleSha256: "" },
  subject: "spiffe://acme.test/a",
  chain: [],
  instances: 1,
};
const DENY: Evaluation = { ...ALLOW, isAllowed: false, reasons: ["identity_revoked"] };
const at = (epoch: number, isLinked = true) => ({
  reads: { epoch: () => epoch },
  sharing: { isCurrent: () => isLinked },
});
const never = () => Promise.reject(new Error("decided again"));

it("an allow counts on its own epoch, and a deny always", async () => {
  expect(await askAgain(at(4), ALLOW, never)).toBe(ALLOW);
  expect(await askAgain(at(5), DENY, never)).toBe(DENY);
  expect([isCurrent(at(4), ALLOW), isCurrent(at(5), ALLOW), isCurrent(at(5), DENY)]).toEqual([
    true,
    false,
    true,
  ]);
  // Cut off from the servers that share the store.
  expect([isCurrent(at(4, false), ALLOW), isCurrent(at(4, false), DENY)]).toEqual([false, true]);
});

it("an allow of before is decided again, and stands only when it is allowed on the state of now", async () => {
  const again = await askAgain(at(5), ALLOW, async () => ({ ...ALLOW, epoch: 5 }));
  expect([isCurrent(at(5), again), isCurrent(at(6), again)]).toEqual([true, false]);
  const fallen = await askAgain(at(5), ALLOW, async () => ({ ...DENY, epoch: 5 }));
  expect(isCurrent(at(5), fallen)).toBe(false);
});
