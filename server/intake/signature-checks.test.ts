/** Many signatures, checked in threads, in turns: nothing passes unproven and nobody waits for another's flood. */
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import fc from "fast-check";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { type CheckLane, createThreadLane } from "./check-lane.ts";
import { checkBatch, checkSignatures, KeyCache, packChecks, type SignatureCheck } from "./signature-check.ts";
import { SignatureChecks } from "./signature-checks.ts";
import { Turns } from "./turns.ts";

const signers = ["first", "second"].map((certificate) => {
  const signer = createTestSigner();
  return { certificate, spki: encodeSpki(signer.publicKey), signer };
});

function checkOf(number: number, signedNumber = number): SignatureCheck {
  const { certificate, spki, signer } = signers[number % 2] ?? fail();
  return {
    certificate,
    spki,
    head: new Uint8Array(0),
    payload: Uint8Array.of(number),
    signature: signer.sign(Uint8Array.of(signedNumber)),
  };
}

function fail(): never {
  throw new Error("there are two signers");
}

/** Good checks; the one at `bad` is over something else. */
function checksOf(count: number, bad?: number): readonly SignatureCheck[] {
  return Array.from({ length: count }, (_, number) =>
    checkOf(number % 200, number === bad ? 201 : undefined),
  );
}

const open: SignatureChecks[] = [];

function createChecks(threads: number, createThread: typeof createThreadLane = createThreadLane) {
  const lost: unknown[] = [];
  const checks = new SignatureChecks({ threads, createThread, onLost: (error) => lost.push(error) });
  open.push(checks);
  return { checks, lost };
}

afterEach(async () => {
  for (const checks of open.splice(0)) await checks.close();
});

describe("packed checks", () => {
  it("get the verdicts that they get one by one, in their order", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 20 }), (areGood) => {
        const checks = areGood.map((isGood, number) => checkOf(number, isGood ? number : number + 1));
        const verdicts = [...checkBatch(packChecks(checks), new KeyCache())].map((verdict) => verdict === 1);
        expect(verdicts).toEqual(areGood);
        expect(checkSignatures(checks, new KeyCache())).toEqual(areGood);
      }),
      { numRuns: 30 },
    );
  });
});

describe.each([0, 2])("signature checks in %i threads", (threads) => {
  it("resolve when all are good, few or many", async () => {
    const { checks } = createChecks(threads);
    for (const count of [0, 1, 15, 16, 64, 300]) await checks.check("a", checksOf(count));
  });

  it.each([0, 14, 63, 64, 255])("refuse all when number %i is bad", async (bad) => {
    const { checks } = createChecks(threads);
    await Promise.all([
      expectRejection(checks.check("a", checksOf(256, bad)), "signature_invalid"),
      expectRejection(checks.check("a", checksOf(bad + 1, bad)), "signature_invalid"),
      checks.check("b", checksOf(256)),
    ]);
  });

  it("refuse a signature of another length, and a key that is none", async () => {
    const { checks } = createChecks(threads);
    const [first = fail(), ...others] = checksOf(40);
    const short = { ...first, signature: first.signature.subarray(1) };
    await expectRejection(checks.check("a", [...others, short]), "signature_invalid");
    const keyless = { ...first, certificate: "third", spki: new Uint8Array(91) };
    await expectRejection(checks.check("a", [...others, keyless]), "signature_invalid");
    await checks.check("a", checksOf(40));
  });
});

describe("a thread that ends", () => {
  it("takes no verdict with it: what it had is checked here, good or bad", async () => {
    const { checks, lost } = createChecks(1, (onLost) => {
      const lane: CheckLane = {
        run: async () => {
          onLost(new Error("gone"));
          throw new Error("gone");
        },
        close: async () => undefined,
      };
      return lane;
    });
    await checks.check("a", checksOf(100));
    await expectRejection(checks.check("a", checksOf(100, 99)), "signature_invalid");
    expect(lost).not.toEqual([]);
  });

  it("has a successor a moment later, which is asked", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    let made = 0;
    let asked = 0;
    const { checks, lost } = createChecks(1, (onLost) => {
      made += 1;
      const isFirst = made === 1;
      return {
        run: async (batch) => {
          if (isFirst) onLost(new Error("gone"));
          if (isFirst) throw new Error("gone");
          asked += batch.length;
          return checkSignatures(batch, new KeyCache());
        },
        close: async () => undefined,
      };
    });
    await checks.check("a", checksOf(100));
    expect([made, lost.length]).toEqual([1, 1]);
    await vi.advanceTimersByTimeAsync(1_000);
    await expectRejection(checks.check("a", checksOf(100, 99)), "signature_invalid");
    expect([made, asked]).toEqual([2, 100]);
  });

  it("that answers less than it was asked has proven nothing", async () => {
    const { checks } = createChecks(1, () => ({
      run: async (asked) => asked.slice(1).map(() => true),
      close: async () => undefined,
    }));
    await expectRejection(checks.check("a", checksOf(100)), "signature_invalid");
  });
});

describe("turns", () => {
  it("hand out everything once, each flow in its own order", () => {
    const flows = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat({ max: 40 })), { maxLength: 12 });
    fc.assert(
      fc.property(flows, fc.integer({ min: 1, max: 50 }), (pushes, count) => {
        const turns = new Turns<string>(5);
        const expected: Record<string, string[]> = { a: [], b: [], c: [] };
        pushes.forEach(([flow, length], push) => {
          const items = Array.from({ length }, (_, index) => `${flow} ${push} ${index}`);
          expected[flow]?.push(...items);
          turns.push(flow, items);
        });
        const got: Record<string, string[]> = { a: [], b: [], c: [] };
        for (let slices = turns.take(count); slices.length > 0; slices = turns.take(count)) {
          for (const item of slices.flatMap(({ items }) => items)) got[item.charAt(0)]?.push(item);
        }
        expect(got).toEqual(expected);
        expect(turns.isEmpty).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it("make nobody wait for a flood: one turn of each that waits, and never all that it brought", () => {
    const turns = new Turns<string>(16);
    turns.push(
      "flood",
      Array.from({ length: 100_000 }, () => "flood"),
    );
    turns.push(
      "other flood",
      Array.from({ length: 100_000 }, () => "other flood"),
    );
    turns.take(64);
    turns.push("quiet", ["quiet"]);
    const next = turns.take(64).flatMap(({ items }) => items);
    expect(next.indexOf("quiet")).toBeLessThanOrEqual(2 * 16);
  });
});

describe("a flood of checks", () => {
  it("does not hold up another flow: it is answered while the flood waits", async () => {
    const { checks } = createChecks(0);
    const answered: string[] = [];
    const note = (who: string) => () => void answered.push(who);
    const flood = Array.from({ length: 12 }, () => checks.check("flood", checksOf(256)).then(note("flood")));
    const quiet = checks.check("quiet", checksOf(20)).then(note("quiet"));
    await Promise.all([...flood, quiet]);
    expect(answered.indexOf("quiet")).toBeLessThan(3);
  });
});
