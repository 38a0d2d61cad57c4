import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseActionName } from "./action.ts";
import { TrustWardenError } from "./error.ts";
import {
  findCounterexample,
  hasWildcardVerbOrType,
  isCovered,
  isStrictSubset,
  isSubset,
  parseScope,
} from "./scope.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

function covers(atoms: readonly string[], action: string): boolean {
  return isCovered(parseScope(atoms), parseActionName(action));
}

describe("the grammar of scopes", () => {
  it.each([
    "read:transactions",
    "read:transactions:2026/march",
    "read:tx:Reports_2026/a.b-c",
    "read:tx:*",
    "read:tx:*/a",
    "read:tx:a/*/b",
    "read:tx:a/**",
    "read:tx:*/a/**",
    "read:tx:__proto__",
    "*:tx",
    "read:*",
    "*:*:a",
    "issue:jwt-svid",
    "read:tx:...",
    "read:tx:.hidden",
  ])("takes %s as it is", (atom) => {
    expect(parseScope([atom])).toEqual([atom]);
  });

  it.each([
    ["an empty atom", ""],
    ["a verb alone", "read"],
    ["an empty verb", ":tx"],
    ["an empty type", "read:"],
    ["an empty path", "read:tx:"],
    ["a fourth part", "read:tx:a:b"],
    ["an upper-case verb", "READ:tx"],
    ["an upper-case type", "read:TX"],
    ["a trailing space", "read:tx "],
    ["a leading space", " read:tx"],
    ["a trailing newline", "read:tx\n"],
    ["an inner newline", "read:tx:a\nread:tx:b"],
    ["a NUL", "read:tx\u0000"],
    ["a percent escape", "read:tx%00"],
    ["an encoded slash", "read:tx:a%2fb"],
    ["two scopes in one", "read:a,delete:b"],
    ["two scopes by a space", "read:a delete:b"],
    ["a traversal in the type", "read:reports/../tx"],
    ["a traversal in the path", "read:tx:reports/../tx"],
    ["a traversal at the end", "read:tx:reports/.."],
    ["a dot segment", "read:tx:./a"],
    ["a dot segment alone", "read:tx:."],
    ["an empty segment", "read:tx:a//b"],
    ["a leading slash", "read:tx:/a"],
    ["a trailing slash", "read:tx:a/"],
    ["a backslash", "read:tx:a\\b"],
    ["a partial wildcard", "read:tx:a*"],
    ["a partial wildcard in front", "read:tx:*a"],
    ["a partial wildcard in a verb", "re*:tx"],
    ["an open end in the middle", "read:tx:**/a"],
    ["an open end after a star", "read:tx:*/**"],
    ["an open end after a later star", "read:tx:a/*/**"],
    ["two open ends", "read:tx:**/**"],
    ["three stars", "read:tx:***"],
    ["an open verb", "**:tx"],
    ["an open type", "read:**"],
    ["a negative scope", "!read:tx"],
    ["a minus", "-read:tx"],
    ["braces", "read:{tx,reports}"],
    ["a prototype as a verb", "__proto__:tx"],
    ["a digit in front of a verb", "1read:tx"],
    ["a Cyrillic look-alike", "rеad:tx"],
    ["a full-width look-alike", "read:tx:\uff41"],
    ["a full-width colon", "read\uff1atx"],
    ["a fraction slash", "read:tx:a\u2044b"],
    ["a Kelvin sign", "\u212aeep:tx"],
    ["a combining mark", "read:tx:e\u0301"],
    ["a zero-width space", "read:tx\u200b"],
    ["a right-to-left override", "read:\u202etx"],
    ["a byte order mark", "\ufeffread:tx"],
  ])("refuses %s", (_, atom) => {
    expect(codeOf(() => parseScope([atom]))).toBe("scope_malformed");
  });

  it("refuses the whole set for one bad spelling", () => {
    expect(codeOf(() => parseScope(["read:tx", "READ:tx"]))).toBe("scope_malformed");
  });

  it("takes an atom of 256 characters and refuses one of 257", () => {
    expect(parseScope([`read:tx:${"a".repeat(248)}`])[0]).toHaveLength(256);
    expect(codeOf(() => parseScope([`read:tx:${"a".repeat(249)}`]))).toBe("scope_malformed");
  });

  it("takes 64 atoms and refuses 65, even when all are the same", () => {
    const atoms = Array.from({ length: 64 }, (_, index) => `read:t${index}`);
    expect(parseScope(atoms)).toHaveLength(64);
    expect(codeOf(() => parseScope([...atoms, "read:t0"]))).toBe("scope_malformed");
    expect(codeOf(() => parseScope(Array.from({ length: 10_000 }, () => "read:tx")))).toBe("scope_malformed");
  });

  it("refuses what is no list of texts, however it prints", () => {
    for (const value of [
      JSON.parse('[["read:tx"]]'),
      JSON.parse('"read:tx"'),
      JSON.parse("{}"),
      JSON.parse("[null]"),
    ]) {
      expect(codeOf(() => parseScope(value))).toBe("scope_malformed");
    }
    expect(codeOf(() => parseScope(new Array(3)))).toBe("scope_malformed");
  });

  it("never crashes on any text", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" }), { maxLength: 3 }), (atoms) => {
        const isEmpty = atoms.length === 0;
        expect(codeOf(() => parseScope(atoms))).toBe(isEmpty ? "nothing was thrown" : "scope_malformed");
      }),
    );
  });
});

describe("the canonical form", () => {
  it("is sorted and without duplicates", () => {
    expect(parseScope(["write:b", "read:a", "write:b"])).toEqual(["read:a", "write:b"]);
  });

  it("has one spelling for everything below a type", () => {
    expect(parseScope(["read:tx:**"])).toEqual(["read:tx"]);
    expect(parseScope(["read:tx:**", "read:tx"])).toEqual(["read:tx"]);
  });

  it("leaves out what another atom covers", () => {
    expect(parseScope(["read:tx", "read:tx:a", "*:tx:b", "write:tx:b/c", "write:tx:b"])).toEqual([
      "*:tx:b",
      "read:tx",
      "write:tx:b/c",
    ]);
  });

  it("of nothing is nothing", () => {
    expect(parseScope([])).toEqual([]);
    expect(covers([], "read:tx")).toBe(false);
  });

  it("cannot be changed", () => {
    expect(Object.isFrozen(parseScope(["read:tx"]))).toBe(true);
  });
});

describe("coverage of an action", () => {
  it.each([
    ["read:tx", "read:tx", true],
    ["read:tx", "read:tx:a/b", true],
    ["read:tx", "read:txs", false],
    ["read:tx", "reads:tx", false],
    ["read:tx:**", "read:tx", true],
    ["read:tx:a", "read:tx", false],
    ["read:tx:*", "read:tx", false],
    ["read:tx:*", "read:tx:a", true],
    ["read:tx:*", "read:tx:a/b", false],
    ["read:tx:a", "read:tx:a", true],
    ["read:tx:a", "read:tx:A", false],
    ["read:tx:a", "read:tx:ab", false],
    ["read:tx:ab", "read:tx:a", false],
    ["read:tx:a", "read:tx:a/b", false],
    ["read:tx:a/**", "read:tx:a", true],
    ["read:tx:a/**", "read:tx:a/b/c", true],
    ["read:tx:a/**", "read:tx:ab", false],
    ["read:tx:a/**", "read:tx", false],
    ["read:tx:a/*/c", "read:tx:a/b/c", true],
    ["read:tx:a/*/c", "read:tx:a/c", false],
    ["read:tx:*/a/**", "read:tx:b/a", true],
    ["read:tx:*/a/**", "read:tx:a/b", false],
    ["*:tx", "delete:tx:a", true],
    ["read:*", "read:anything:a", true],
    ["*:*", "pay:bills", true],
    ["*:*:a", "pay:bills", false],
    ["*:*:a", "pay:bills:a", true],
  ])("%s covers %s: %s", (atom, action, expected) => {
    expect(covers([atom], action)).toBe(expected);
  });
});

describe("subsets", () => {
  const parent = parseScope(["read:transactions", "write:reports"]);

  it("follow the founding essay: a data fetcher is within its orchestrator, a rogue child is not", () => {
    expect(isStrictSubset({ parent, child: parseScope(["read:transactions"]) })).toBe(true);
    const rogue = parseScope(["read:transactions", "delete:transactions"]);
    expect(isSubset({ parent, child: rogue })).toBe(false);
    expect(findCounterexample({ parent, child: rogue })).toBe("delete:transactions");
  });

  it("are strict only when something is given up", () => {
    expect(isSubset({ parent, child: parent })).toBe(true);
    expect(isStrictSubset({ parent, child: parent })).toBe(false);
    expect(isStrictSubset({ parent, child: parseScope([...parent, "read:transactions:a"]) })).toBe(false);
    expect(isStrictSubset({ parent, child: parseScope(["read:transactions:a", "write:reports"]) })).toBe(
      true,
    );
  });

  it("include nothing at all", () => {
    const nothing = parseScope([]);
    expect(isStrictSubset({ parent, child: nothing })).toBe(true);
    expect(isStrictSubset({ parent: nothing, child: nothing })).toBe(false);
    expect(isSubset({ parent: nothing, child: parent })).toBe(false);
  });

  it.each([
    [["read:tx:*"], ["read:tx:a/**"], "read:tx:a/x0"],
    [["read:tx:*"], ["read:tx:a/*"], "read:tx:a/x0"],
    [["read:tx:*"], ["read:tx:**"], "read:tx"],
    [["read:tx:a/**"], ["read:tx:*"], "read:tx:x0"],
    [["read:tx"], ["*:tx"], "x0:tx"],
    [["*:tx"], ["*:*"], "x0:x0"],
    [["read:tx:x0"], ["read:tx:*"], "read:tx:x1"],
    [["read:tx:a", "read:tx:a/*", "read:tx:a/*/*"], ["read:tx:a/**"], "read:tx:a/x0/x0/x0"],
    [["read:tx:*", "read:tx:*/*"], ["read:tx"], "read:tx"],
  ])("%j does not include %j, because of %s", (parentAtoms, childAtoms, expected) => {
    const pair = { parent: parseScope(parentAtoms), child: parseScope(childAtoms) };
    expect(isSubset(pair)).toBe(false);
    expect(findCounterexample(pair)).toBe(expected);
  });

  it("have a counter-example even for the longest atoms against the most lengths", () => {
    const lengths = Array.from(
      { length: 64 },
      (_, index) =>
        `read:t:${Array(index + 1)
          .fill("*")
          .join("/")}`,
    );
    const pair = { parent: parseScope(lengths), child: parseScope([`read:t:${"*/".repeat(60)}a/**`]) };
    const found = findCounterexample(pair);
    expect(found === undefined ? "none" : isCovered(pair.parent, found)).toBe(false);
    const widest = { parent: parseScope(lengths), child: parseScope([`read:t:${"*/".repeat(124)}a`]) };
    expect(findCounterexample(widest)).toMatch(/^read:t:(?:x0\/){124}a$/);
  });
});

describe("wildcards that reach every verb or type", () => {
  it.each([
    ["*:tx", true],
    ["read:*", true],
    ["read:*:a", true],
    ["*:*", true],
    ["read:tx:*", false],
    ["read:tx:a/**", false],
    ["read:tx", false],
  ])("are seen in %s: %s", (atom, expected) => {
    expect(hasWildcardVerbOrType(parseScope(["pay:bills", atom]))).toBe(expected);
  });

  it("are not seen in an empty scope", () => {
    expect(hasWildcardVerbOrType(parseScope([]))).toBe(false);
  });
});

/**
 * The oracle reads patterns another way, as regular expressions, and decides inclusion by trying every action over a
 * small alphabet that has a word in each place that no generated atom uses, up to more segments than any atom has.
 */
const WORDS = ["a", "b", "z"];
const ACTIONS = ["r", "w", "z"].flatMap((verb) =>
  ["t", "u", "z"].flatMap((type) =>
    pathsUpTo(5).map((path) => parseActionName([verb, type, ...path].join(":"))),
  ),
);

function pathsUpTo(depth: number): readonly (readonly string[])[] {
  let level: readonly string[] = WORDS;
  const all: string[] = [];
  for (let length = 1; length <= depth; length += 1) {
    all.push(...level);
    level = level.flatMap((path) => WORDS.map((word) => `${path}/${word}`));
  }
  return [[], ...all.map((path) => [path])];
}

function oracleOf(atom: string): RegExp {
  const [verb = "", type = "", path = "**"] = atom.split(":");
  const word = (text: string): string => (text === "*" ? "[^:/]+" : text);
  if (path === "**") return new RegExp(`^${word(verb)}:${word(type)}(?::.*)?$`);
  const body = path
    .replace(/\/\*\*$/, "")
    .split("/")
    .map(word)
    .join("/");
  return new RegExp(`^${word(verb)}:${word(type)}:${body}${path.endsWith("/**") ? "(?:/.*)?" : ""}$`);
}

/** One bit for each action that the atom means; there are few atoms, so each is tried on every action once. */
const meanings = new Map<string, bigint>();

function meaningOfAtom(atom: string): bigint {
  const known = meanings.get(atom);
  if (known !== undefined) return known;
  const pattern = oracleOf(atom);
  const bits = BigInt(`0b${ACTIONS.map((action) => (pattern.test(action) ? "1" : "0")).join("")}`);
  meanings.set(atom, bits);
  return bits;
}

function meaningOf(atoms: readonly string[]): bigint {
  return atoms.reduce((bits, atom) => bits | meaningOfAtom(atom), 0n);
}

const segment = fc.constantFrom("a", "b", "*");
const path = fc
  .tuple(fc.array(segment, { maxLength: 3 }), fc.boolean())
  .map(([segments, isOpen]) =>
    (isOpen && segments.at(-1) !== "*" ? [...segments, "**"] : segments).join("/"),
  );
const atom = fc
  .tuple(fc.constantFrom("r", "w", "*"), fc.constantFrom("t", "u", "*"), path)
  .map(([verb, type, rest]) => (rest === "" ? `${verb}:${type}` : `${verb}:${type}:${rest}`));
const scope = fc.array(atom, { maxLength: 5 }).map((atoms) => ({ atoms, scope: parseScope(atoms) }));

describe("the algebra, against a brute-force oracle", () => {
  it("decides inclusion exactly, and names an action exactly when there is one", () => {
    fc.assert(
      fc.property(
        scope,
        scope,
        ({ scope: parent, atoms: parentAtoms }, { scope: child, atoms: childAtoms }) => {
          const expected = (meaningOf(childAtoms) & ~meaningOf(parentAtoms)) === 0n;
          const counterexample = findCounterexample({ parent, child });
          expect(isSubset({ parent, child })).toBe(expected);
          expect(counterexample === undefined).toBe(expected);
          if (counterexample !== undefined) {
            expect(isCovered(child, counterexample)).toBe(true);
            expect(isCovered(parent, counterexample)).toBe(false);
          }
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it("decides inclusion exactly for each of a million pairs", () => {
    const drawn = fc.sample(scope, 1000).map((one) => ({ ...one, meaning: meaningOf(one.atoms) }));
    let included = 0;
    for (const parent of drawn) {
      const outside = ~parent.meaning;
      for (const child of drawn) {
        const isIncluded = (child.meaning & outside) === 0n;
        if (isIncluded) included += 1;
        if (isSubset({ parent: parent.scope, child: child.scope }) === isIncluded) continue;
        throw new Error(`wrong about [${child.atoms}] in [${parent.atoms}]`);
      }
    }
    // Each has itself inside; were there no others, or nothing else, the pairs would say little.
    expect(included).toBeGreaterThan(20_000);
    expect(included).toBeLessThan(980_000);
  });

  it("covers exactly the actions that the patterns mean, before and after canonicalising", () => {
    fc.assert(
      fc.property(scope, fc.constantFrom(...ACTIONS), ({ atoms, scope: canonical }, action) => {
        expect(isCovered(canonical, action)).toBe(atoms.some((written) => oracleOf(written).test(action)));
      }),
      { numRuns: 10_000 },
    );
  });

  it("has one canonical form for one meaning", () => {
    fc.assert(
      fc.property(scope, scope, (left, right) => {
        const isSame = [...left.scope].join(" ") === [...right.scope].join(" ");
        const isMutual =
          isSubset({ parent: left.scope, child: right.scope }) &&
          isSubset({ parent: right.scope, child: left.scope });
        expect(isSame).toBe(isMutual);
        expect(parseScope(left.scope)).toEqual(left.scope);
        expect(parseScope([...left.atoms].reverse())).toEqual(left.scope);
      }),
      { numRuns: 5_000 },
    );
  });

  it("narrows along a chain and never widens again", () => {
    fc.assert(
      fc.property(scope, scope, scope, fc.constantFrom(...ACTIONS), (top, middle, leaf, action) => {
        fc.pre(isSubset({ parent: top.scope, child: middle.scope }));
        fc.pre(isSubset({ parent: middle.scope, child: leaf.scope }));
        if (isCovered(leaf.scope, action)) expect(isCovered(top.scope, action)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
