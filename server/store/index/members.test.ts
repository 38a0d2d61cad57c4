import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BLOCK_EVENTS, intersect, MemberSet, type Members, parseMembers, unite } from "./members.ts";

function membersOf(numbers: Iterable<number>): Members {
  const set = new MemberSet(undefined);
  for (const number of numbers) set.add(number);
  return parseMembers(set.encode());
}

/** From a few to more than half of a block, so that both forms occur. */
const sets = fc
  .record({ start: fc.nat(BLOCK_EVENTS - 1), step: fc.integer({ min: 1, max: 300 }), count: fc.nat(9000) })
  .map(({ start, step, count }) => {
    const numbers = Array.from({ length: count }, (_, at) => start + at * step);
    return new Set(numbers.filter((number) => number < BLOCK_EVENTS));
  });

describe("members of a block", () => {
  it("are a list while they are few and a bitmap of 8 KiB when they are many", () => {
    const numbers = Array.from({ length: 4096 }, (_, at) => at * 3);
    expect(membersOf(numbers.slice(0, 4095)).kind).toBe("list");
    expect(membersOf(numbers).kind).toBe("bits");
    expect([...intersect([membersOf(numbers)])]).toEqual(numbers);
    expect([...intersect([membersOf([BLOCK_EVENTS - 1, 0, 31, 32])])]).toEqual([0, 31, 32, BLOCK_EVENTS - 1]);
  });

  it("intersect and unite as sets do, in either form", () => {
    fc.assert(
      fc.property(fc.array(sets, { minLength: 1, maxLength: 3 }), (groups) => {
        const [first = new Set<number>(), ...others] = groups;
        const inAll = others.reduce((common, set) => common.intersection(set), first);
        const inAny = others.reduce((common, set) => common.union(set), first);
        const ascending = (set: ReadonlySet<number>) => [...set].sort((left, right) => left - right);
        const members = groups.map(membersOf);
        expect([...intersect(members)]).toEqual(ascending(inAll));
        expect([...intersect([unite(members)])]).toEqual(ascending(inAny));
      }),
      { numRuns: 60 },
    );
  });

  it("come and go in any order, once each, and survive being written", () => {
    const many = Array.from({ length: 5000 }, (_, at) => (at * 7919) % BLOCK_EVENTS);
    for (const numbers of [many.slice(0, 100), many]) {
      const set = new MemberSet(new MemberSet(undefined).encode());
      for (const number of [...numbers, ...numbers]) set.add(number);
      const read = new MemberSet(set.encode());
      for (const number of numbers.slice(10)) read.remove(number);
      read.remove(numbers[20] ?? 0);
      const rest = numbers.slice(0, 10).sort((left, right) => left - right);
      expect([...intersect([parseMembers(read.encode())])]).toEqual(rest);
    }
  });

  it("are read wherever their bytes lie", () => {
    const set = new MemberSet(undefined);
    for (const number of [1, 500, 65_535]) set.add(number);
    const shifted = new Uint8Array([0, ...set.encode()]).subarray(1);
    expect([...intersect([parseMembers(shifted)])]).toEqual([1, 500, 65_535]);
  });
});
