/** Names and values that strangers wrote: a value is judged by what it is, however it is written and however long it is. */
import { describe, expect, test } from "vitest";
import { openFormFinder } from "./known-forms.ts";
import { findNamed } from "./named-values.ts";

/** As long as a scanned file may be, and such that a pattern which begins anew at each word would never end. */
const ENDLESS = `${"example".repeat(1_000_000)}\u2028`;

describe("a value under a secret's name", () => {
  test.each([
    ["a member", "json", `{"token": "${ENDLESS}"}`],
    ["an argument", "shell", `run --token "${ENDLESS}"`],
    ["a reference that never closes", "environment", `TOKEN=x${"${".repeat(1_000_000)}`],
  ] as const)("is found at any length: %s", (_, form, text) => {
    expect(findNamed(text, form)).toHaveLength(1);
  });

  test("that only refers to a secret is none", () => {
    expect(findNamed(`{"token": "$\{TOKEN}", "password": "see $\{A} and $\{B}"}`, "json")).toEqual([]);
  });
});

describe("a row that a pattern could begin anew at each of its places", () => {
  const LENGTH = 1 << 20;
  test.each([
    ["ini", "a".repeat(LENGTH)],
    ["ini", "a=".repeat(LENGTH / 2)],
    ["ini", `${"{ ".repeat(LENGTH / 2)}`],
    ["yaml", `${" ".repeat(LENGTH)}`],
    ["yaml", "- name: A\n".repeat(LENGTH / 10)],
    ["yaml", `kind: Secret\ndata:\n${"  a: b\n".repeat(LENGTH / 8)}`],
    ["netrc", "password ".repeat(LENGTH / 9)],
    ["notebook", `{"source": ["${"a".repeat(LENGTH)}"]}`],
    ["notebook", `{"source": ["${"a=".repeat(LENGTH / 2)}"]}`],
    ["shell", "mysql ".repeat(LENGTH / 6)],
    ["shell", `mysql ${"-p ".repeat(LENGTH / 3)}`],
    ["shell", "curl -u a:".repeat(LENGTH / 10)],
    ["json", `{"mcpServers": {"a": {"url": "https://a/${"b/".repeat(LENGTH / 2)}"}}}`],
  ] as const)("is read in the time of its length: %s, %#", (form, text) => {
    const startedAt = performance.now();
    findNamed(text, form);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  test.each(["a+".repeat(LENGTH / 2), "a://".repeat(LENGTH / 4), `a://${"b".repeat(LENGTH)}`])(
    "an address too, %#",
    async (text) => {
      const find = await openFormFinder();
      const startedAt = performance.now();
      await find(text);
      expect(performance.now() - startedAt).toBeLessThan(15_000);
    },
  );
});
