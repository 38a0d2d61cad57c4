/** Searches share their thread with the leases, and so take turns with them. */
import { describe, expect, it } from "vitest";
import { LedgerQueries } from "./queries.ts";

function refuse(): never {
  throw new Error("a search does not read the log");
}

describe("searches that arrive together", () => {
  it("leave a turn of the event loop between any two of them, for beats and stops", async () => {
    const order: string[] = [];
    const queries = new LedgerQueries({
      log: {
        vkey: "",
        size: 0,
        append: refuse,
        checkpoint: refuse,
        waitForCheckpoint: refuse,
        readEntry: refuse,
        proveInclusion: refuse,
        proveConsistency: refuse,
      },
      index: {
        query: () => {
          order.push("search");
          setImmediate(() => order.push("beat"));
          return { events: [], nextCursor: null };
        },
      },
    });
    await Promise.all([1, 2, 3].map(() => queries.search({}, { limit: 1 })));
    expect(order.slice(0, 5)).toEqual(["search", "beat", "search", "beat", "search"]);
  });
});
