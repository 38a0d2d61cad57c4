/** The scope grammar: canonical forms, refusals, and which scope is within which. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const parse = casesOf("scope");
const subset = casesOf("scope_subset");
const action = casesOf("action");

const REFUSED: readonly string[] = [
  "",
  "read",
  "read:",
  ":x",
  "Read:x",
  "read:X",
  "read:x:",
  "read:x:/a",
  "read:x:a/",
  "read:x:a//b",
  "read:x:.",
  "read:x:a/..",
  "read:x:a b",
  "read:x:a%2fb",
  "read:x:a*",
  "read:x:**/a",
  "read:x:*/**",
  "read:x:***",
  "re*d:x",
  "**:x",
  "read:**",
  "read:x:a:b",
  "-read:x",
  "1read:x",
  " read:x",
  "read:x\n",
  "r\u0435ad:x",
  "read:\u00e4",
  `read:x:${"a".repeat(250)}`,
];

/** Parent, child, whether the child is within it. */
const PAIRS: readonly (readonly [readonly string[], readonly string[], boolean])[] = [
  [["read:x"], ["read:x"], true],
  [["read:x"], ["read:x:a"], true],
  [["read:x:a"], ["read:x"], false],
  [["read:x:*"], ["read:x:a"], true],
  [["read:x:*"], ["read:x:a/b"], false],
  [["read:x:*"], ["read:x"], false],
  [["read:x:a/**"], ["read:x:a"], true],
  [["read:x:a/**"], ["read:x:a/b/c"], true],
  [["read:x:a/**"], ["read:x:a/*"], true],
  [["read:x:a/*"], ["read:x:a/**"], false],
  [["read:x:a/**"], ["read:x:ab"], false],
  [["*:x"], ["delete:x"], true],
  [["read:x"], ["*:x"], false],
  [["read:*"], ["read:anything:at/all"], true],
  [["read:x:a", "read:x:b"], ["read:x:*"], false],
  [["read:x", "write:y"], ["write:y:1", "read:x"], true],
  [["read:x"], [], true],
  [[], ["read:x"], false],
  [[], [], true],
  [["read:x:A"], ["read:x:a"], false],
];

/** @returns the cases. */
export function makeScope(): readonly VectorCase[] {
  return [...forms(), ...refusals(), ...PAIRS.map(pairOf), ...actions()];
}

function forms(): readonly VectorCase[] {
  const canonical: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["one atom", ["read:transactions"], ["read:transactions"]],
    ["sorted, each once", ["write:b", "read:a", "write:b"], ["read:a", "write:b"]],
    ["an open path is no path", ["read:a:**"], ["read:a"]],
    ["a covered atom goes", ["read:a:x/y", "read:a:x/**", "read:a:z"], ["read:a:x/**", "read:a:z"]],
    ["a wildcard type covers", ["read:*", "read:a:b"], ["read:*"]],
    ["nothing", [], []],
    ["every spelling of a segment", ["read:a:A.b-c_1/*/..."], ["read:a:A.b-c_1/*/..."]],
    ["64 atoms", atoms(64), [...atoms(64)].sort()],
  ];
  return canonical.map(([name, given, out]) => parse.good(name, { atoms: [...given] }, [...out]));
}

function refusals(): readonly VectorCase[] {
  return [
    ...REFUSED.map((atom) =>
      parse.bad(`the atom ${JSON.stringify(atom.slice(0, 30))}`, { atoms: [atom] }, "scope_malformed"),
    ),
    parse.bad("one bad atom refuses them all", { atoms: ["read:a", "read:"] }, "scope_malformed"),
    parse.bad("65 atoms", { atoms: [...atoms(65)] }, "scope_malformed"),
    parse.bad("an atom that is no text", { atoms: [7] }, "scope_malformed"),
  ];
}

function pairOf([parent, child, isWithin]: (typeof PAIRS)[number]): VectorCase {
  const input: JsonObject = { parent: [...parent], child: [...child] };
  return subset.good(`[${child.join(", ")}] in [${parent.join(", ")}]`, input, isWithin);
}

function actions(): readonly VectorCase[] {
  return [
    action.good("an action", { text: "read:x:a/b" }, "read:x:a/b"),
    action.bad("an action with a wildcard", { text: "read:x:*" }, "action_malformed"),
    action.bad("an action with a dotted segment", { text: "read:x:../y" }, "action_malformed"),
    action.bad("an action that ends in a line end", { text: "read:x\n" }, "action_malformed"),
  ];
}

function atoms(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `read:t${index}`);
}
