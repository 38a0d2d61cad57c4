import { describe, expect, it } from "vitest";
import { inTurn } from "./renewal-turns.ts";

describe("renewals of one process", () => {
  it("run eight at once, the others in their order, and a failure gives its place back", async () => {
    const ends: (() => void)[] = [];
    const begun: number[] = [];
    const renewals = Array.from({ length: 20 }, (_, number) =>
      inTurn("server", () => {
        begun.push(number);
        return new Promise<number>((resolve, reject) => {
          ends.push(() => (number % 2 === 0 ? resolve(number) : reject(new Error(`${number}`))));
        });
      }),
    );
    const settled = Promise.allSettled(renewals);
    const other = await inTurn("another", async () => "at once");
    expect([begun.length, other]).toEqual([8, "at once"]);
    for (let ended = 0; ended < 20; ended += 1) {
      expect(begun.length).toBe(Math.min(20, 8 + ended));
      ends[ended]?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(begun).toEqual(Array.from({ length: 20 }, (_, number) => number));
    expect((await settled).filter(({ status }) => status === "fulfilled")).toHaveLength(10);
    expect(await inTurn("server", async () => "again")).toBe("again");
  });

  it("have their turn by accounts: a thousand of one hold up another's by eight", async () => {
    const ends: (() => void)[] = [];
    const begun: string[] = [];
    const ask = (account: string) =>
      inTurn(
        "shared",
        () => {
          begun.push(account);
          return new Promise<void>((resolve) => ends.push(resolve));
        },
        account,
      );
    const asked = [...Array<string>(1000).fill("many"), "few", "few", "other"].map(ask);
    for (let ended = 0; ended < asked.length; ended += 1) {
      ends[ended]?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(asked);
    expect(begun.slice(8, 14)).toEqual(["many", "few", "other", "many", "few", "many"]);
    expect(begun).toHaveLength(1003);
  });
});
