/** The thread that hashes one program: reads a descriptor of this process from its start to its end. */
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const CHUNK_BYTES = 1_048_576;

const chunk = Buffer.alloc(CHUNK_BYTES);
const digest = createHash("sha256");
let position = 0;
let length = readSync(Number(workerData), chunk, 0, CHUNK_BYTES, position);
while (length > 0) {
  digest.update(chunk.subarray(0, length));
  position += length;
  length = readSync(Number(workerData), chunk, 0, CHUNK_BYTES, position);
}
parentPort?.postMessage(digest.digest("hex"));
