/** One thread of the raw rate: P-256 verifications and nothing else. */
import { parentPort, workerData } from "node:worker_threads";
import { createRawVerification } from "../raw-key.ts";

const AT_ONCE = 64;

const run = createRawVerification(AT_ONCE, Number(workerData));
run();
parentPort?.on("message", (forMs: number) => {
  const startedAt = performance.now();
  let done = 0;
  while (performance.now() - startedAt < forMs) {
    run();
    done += AT_ONCE;
  }
  parentPort?.postMessage((done * 1000) / (performance.now() - startedAt));
});
