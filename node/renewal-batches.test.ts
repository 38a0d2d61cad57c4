/** Renewals of one host in one request: what is taken along, in which order, and what a refusal says to whom. */
import { expect, it } from "vitest";
import { RenewalBatches } from "./renewal-batches.ts";

interface Due {
  readonly account: string;
  readonly name: string;
}

function createBatches(
  max: number,
  ask?: (due: readonly Due[]) => Promise<readonly PromiseSettledResult<string>[]>,
) {
  const asked: string[][] = [];
  const batches = new RenewalBatches<Due, string>({
    accountOf: ({ account }) => account,
    max: () => max,
    ask: async (due) => {
      asked.push(due.map(({ name }) => name));
      return ask?.(due) ?? due.map(({ name }) => ({ status: "fulfilled", value: `${name} renewed` }));
    },
  });
  const renew = (name: string, account = "1000") => batches.renew({ name, account });
  return { asked, renew };
}

it("what falls due together goes in one request, and what comes later in the next", async () => {
  const { asked, renew } = createBatches(16);
  expect(await Promise.all(["a", "b", "c"].map((name) => renew(name)))).toEqual([
    "a renewed",
    "b renewed",
    "c renewed",
  ]);
  expect(await renew("d")).toBe("d renewed");
  expect(asked).toEqual([["a", "b", "c"], ["d"]]);
});

it("no more than the server takes, and accounts in turns", async () => {
  const { asked, renew } = createBatches(3);
  await Promise.all([renew("a1"), renew("a2"), renew("a3"), renew("a4"), renew("b1", "1001")]);
  expect(asked).toEqual([
    ["a1", "b1", "a2"],
    ["a3", "a4"],
  ]);
});

it("a refused one is refused alone, and a request that failed fails for all in it and nobody else", async () => {
  let isAway = true;
  const { renew } = createBatches(2, async (due) => {
    if (isAway) {
      isAway = false;
      throw new Error("away");
    }
    return due.map(({ name }) =>
      name === "bad"
        ? { status: "rejected", reason: new Error("refused") }
        : { status: "fulfilled", value: name },
    );
  });
  const ends = await Promise.allSettled([renew("a"), renew("b"), renew("bad"), renew("d")]);
  expect(ends.map((end) => (end.status === "fulfilled" ? end.value : end.reason.message))).toEqual([
    "away",
    "away",
    "refused",
    "d",
  ]);
});
