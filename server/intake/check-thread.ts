/** A thread that checks signatures, batch after batch, each answered in the order in which they came. */
import { parentPort } from "node:worker_threads";
import { type CheckBatch, checkBatch, KeyCache } from "./signature-check.ts";

start();

function start(): void {
  const port = parentPort;
  if (port === null) throw new Error("signatures are checked here in a worker thread");
  const keys = new KeyCache();
  port.on("message", (batch: CheckBatch) => {
    const verdicts = checkBatch(batch, keys);
    port.postMessage(verdicts, [verdicts.buffer]);
  });
}
