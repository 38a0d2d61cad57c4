/** Names that look alike are refused in the store: by the look that the core says, in the words of SQL. */
import { lookOf } from "@trustwarden/core/agentid/look.ts";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { LOOK_OF_LABEL } from "../migrations/version-7-registration.ts";
import { openInMemory } from "../schema.ts";
import { createTestStore, type TestStore, ticketCommand } from "./fixture.test.support.ts";

let store: TestStore;
let alice: string;
let bob: string;

beforeEach(() => {
  store = createTestStore();
  alice = store.owner("alice");
  bob = store.owner("bob");
});

const issue = (owner: string, name: string, path = "team/finance") =>
  store.run({ kind: "issue", command: ticketCommand(owner, { name, path }) });

function expectConfusable(owner: string, name: string, path = "team/finance"): void {
  const before = store.dump();
  expect(() => issue(owner, name, path)).toThrow(expect.objectContaining({ code: "name_confusable" }));
  expect(store.dump()).toEqual(before);
}

describe("a new agent", () => {
  test.each(["payment-b0t", "payment_bot"])(
    "is not %s beside payment-bot, of the same owner or another",
    (name) => {
      issue(alice, "payment-bot");
      expectConfusable(alice, name);
      expectConfusable(bob, name);
    },
  );

  test("is not called like one that was stopped, nor in a place that looks like another", () => {
    issue(alice, "billing");
    expectConfusable(bob, "bi11ing");
    expectConfusable(bob, "billing", "team/flnance");
  });

  test("may be called like a known one in another place, or differ by a digit", () => {
    issue(alice, "worker-0");
    expect(() => issue(alice, "worker-1")).not.toThrow();
    expect(() => issue(bob, "w0rker-0", "team/other")).not.toThrow();
    expect(() => issue(alice, "worker-0")).not.toThrow();
  });
});

test("SQL and the core see the same look", () => {
  const database = openInMemory();
  const label = fc.string({ unit: fc.constantFrom(..."abilmnor01._-/"), maxLength: 30 });
  fc.assert(
    fc.property(label, label, (path, name) => {
      const row = database.get(
        `SELECT ${LOOK_OF_LABEL} AS look FROM (SELECT ? AS path, ? AS name)`,
        path,
        name,
      );
      expect(row?.text("look")).toBe(lookOf(`${path}/${name}`));
    }),
  );
});
