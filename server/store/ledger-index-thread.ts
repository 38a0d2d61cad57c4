/**
 * The thread that writes and searches the ledger index: whatever it takes, leases and decisions go on meanwhile.
 *
 * A question that is wrong is refused; anything else that fails ends the thread, since the file is then in doubt, and
 * the next start brings it up to the log or makes it anew.
 */
import { parentPort, workerData } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createLedgerIndex, type LedgerIndex, openIndexForReading } from "./ledger-index.ts";
import type { FromIndex, IndexRequest, IndexTask, IndexThreadData } from "./ledger-index-protocol.ts";
import { unpackEntries } from "./packed-entries.ts";

start(workerData);

function start({ path, isReader }: IndexThreadData): void {
  const port = requirePort();
  const settings = { monoMs: () => performance.now() };
  const index = isReader ? openIndexForReading(path, settings) : createLedgerIndex(path, settings);
  const send = (message: FromIndex) => port.postMessage(message);
  port.on("message", (request: IndexRequest) => {
    send(answer(index, request));
    if (request.kind === "close") port.close();
  });
  send({ kind: "ready", progress: index.progress });
}

function answer(index: LedgerIndex, request: IndexRequest): FromIndex {
  const { id } = request;
  try {
    return { kind: "done", id, value: run(index, request) };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return { kind: "refused", id, code: error.code, details: error.details };
  }
}

function run(index: LedgerIndex, task: IndexTask): unknown {
  switch (task.kind) {
    case "add":
      return index.add(unpackEntries(task.entries));
    case "beginAnew":
      return index.beginAnew();
    case "query":
      return index.query(task.filter, task.page);
    case "findOutcome":
      return index.findOutcome(task.intent);
    case "close":
      return index.close();
  }
}

function requirePort(): NonNullable<typeof parentPort> {
  if (parentPort === null) throw new Error("the index runs in a worker thread");
  return parentPort;
}
