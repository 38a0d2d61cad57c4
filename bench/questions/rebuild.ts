/** How fast an index is made from a real log: signed records, real tiles, every entry checked against its leaf. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { ThreadedLedgerIndex } from "../../server/store/threaded-ledger-index.ts";
import { createDomain } from "../domain.ts";
import { startDurableLog } from "../log.ts";
import { RecordWriter } from "../records.ts";

/** Entries appended together. */
const GROUP = 256;

/** Writes a log of some actions, and makes its index. @param options.events - of the large log, for the estimate. */
export async function measureRebuild(options: {
  readonly directory: string;
  readonly actions: number;
  readonly events: number;
}) {
  mkdirSync(options.directory, { recursive: true });
  const log = await startDurableLog(options.directory);
  const writer = new RecordWriter(createDomain());
  for (let written = 0; written < options.actions; written += GROUP / 2) {
    const group: Uint8Array[] = [];
    for (let at = written; at < Math.min(options.actions, written + GROUP / 2); at += 1) {
      const intent = writer.nextIntent();
      group.push(encodeUtf8(intent.envelope), writer.decide(intent));
    }
    await log.append(group);
  }
  await log.waitForCheckpoint(log.size);
  const index = new ThreadedLedgerIndex({
    path: join(options.directory, "index.db"),
    onLost: () => undefined,
  });
  const startedMs = performance.now();
  await index.catchUp(log);
  const seconds = (performance.now() - startedMs) / 1000;
  const entries = log.size;
  const { events } = await index.query({}, { limit: 1 });
  if (events.length !== 1 || index.size !== entries) throw new Error("the index is not of the log");
  await index.close();
  await log.stop();
  const rate = options.actions / seconds;
  return {
    events: options.actions,
    entries,
    seconds,
    events_per_second: Math.round(rate),
    minutes_for_all: options.events / rate / 60,
  };
}
