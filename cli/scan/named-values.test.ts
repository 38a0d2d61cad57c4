/** Names and values that strangers wrote: a value is judged by what it is, however it is written and however long it is. */
import { describe, expect, test } from "vitest";
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
