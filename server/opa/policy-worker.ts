/**
 * The thread behind `worker-engine.ts`: waits for a question in shared memory, answers it, waits again.
 *
 * It has no environment, no network use and no other message than the one that says it is ready.
 */
import { parentPort, workerData } from "node:worker_threads";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { ANSWERED, ASKED, controlOf, FAILED, readText, STATE, writeText } from "./policy-channel.ts";
import { createWasmEngine, type WasmEngine } from "./wasm.ts";

const channel: SharedArrayBuffer = workerData.channel;
const control = controlOf(channel);
const engine = createWasmEngine(workerData.options);

parentPort?.postMessage("ready");
for (;;) {
  const state = Atomics.load(control, STATE);
  if (state === ASKED) answer(engine);
  else Atomics.wait(control, STATE, state);
}

function answer({ evaluateAt }: WasmEngine): void {
  try {
    const { entrypoint, input = null } = parseJsonObject(parseUtf8(readText(channel)));
    const value = evaluateAt(String(entrypoint), input);
    writeText(channel, encodeUtf8(JSON.stringify(value) ?? "null"), ANSWERED);
  } catch {
    // Safe to go on: the asking side turns FAILED into `policy_unavailable`, a deny.
    writeText(channel, new Uint8Array(), FAILED);
  }
}
