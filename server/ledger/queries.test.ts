/** One event, however many others borrow its id. */
import { formatTestEventId, issueTestIntent } from "@trustwarden/core/agentledger/record.test.support.ts";
import { expect, it } from "vitest";
import { createLedgerIndex } from "../store/ledger-index.ts";
import { LedgerQueries } from "./queries.ts";

it("shows the oldest of any number of events that have one id, for its id was unguessable only until then", async () => {
  const event_id = formatTestEventId(1);
  const entries = Array.from({ length: 502 }, (_, seq) => issueTestIntent({ event_id, seq }));
  const index = createLedgerIndex(":memory:", { monoMs: () => 0 });
  index.add(entries);
  const shard = {
    first: 0,
    origin: "",
    vkey: "",
    log: {
      readEntry: async (at: number) => entries[at] ?? new Uint8Array(0),
      proveInclusion: async () => [],
    },
  };
  const log = {
    size: entries.length,
    shards: [shard],
    shardAt: () => shard,
    waitForCheckpoint: async () => undefined,
  };
  const ledger = { log, readWitnessed: async () => ({ note: "", size: entries.length }) };
  type Asked = ConstructorParameters<typeof LedgerQueries>[0]["ledger"];
  const queries = new LedgerQueries({
    ledger: ledger as unknown as Asked, // cast: what `show` asks of a ledger is there
    index: { query: async (filter, page) => index.query(filter, page) },
  });
  expect((await queries.show({ eventId: event_id })).event.indexes).toEqual([0]);
  index.close();
});
