/**
 * A writer in a process of its own, for tests that kill it: `<place as JSON> <run> <endless|fixed|lock>`.
 *
 * Reports each acknowledged index with its leaf hash on standard output. It begins once a line comes on standard input,
 * so that whoever watches its system calls sees none of its own start. Exits with 0 when a fixed piece of work is done,
 * with 3 when the log has failed, and with 4 when it did not start.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { type LogPlace, sequencerOf } from "./log-place.test.support.ts";

/** Calls of `append` in a fixed piece of work, in pairs; the second fills a tile. */
const FIXED_PAIRS = [1, 127, 1];

const [placeText = "", run = "", work = ""] = process.argv.slice(2);
const place: LogPlace = JSON.parse(JSON.stringify(parseJsonObject(placeText)));

function end(exitCode: number, what: string, error: unknown): never {
  const code = error instanceof TrustWardenError ? error.code : String(error);
  writeSync(2, `${what} ${code}\n`);
  process.exit(exitCode);
}

const sequencer = sequencerOf(place, { onFatal: (error) => end(3, "failed", error) });
const input = createInterface(process.stdin);
writeSync(1, "ready\n");
await new Promise((resolve) => input.once("line", resolve));
try {
  await sequencer.start();
} catch (error) {
  end(4, "refused", error);
}
writeSync(1, "started\n");

async function append(call: number, pairs: number): Promise<void> {
  const parts = Array.from({ length: pairs * 2 }, (_, at) => `pair ${at >> 1} part ${at & 1}`);
  const appended = await sequencer.append(parts.map((part) => encodeUtf8(`run ${run} call ${call} ${part}`)));
  for (const { index, leafHash } of appended) writeSync(1, `${index} ${encodeHex(leafHash)}\n`);
}

try {
  if (work === "endless") for (let call = 0; ; call += 1) await append(call, 1);
  if (work === "fixed") {
    for (const [call, pairs] of FIXED_PAIRS.entries()) {
      await append(call, pairs);
      await sequencer.waitForCheckpoint(sequencer.size);
    }
    await sequencer.stop();
    writeSync(1, "done\n");
    process.exit(0);
  }
  // Holds the log and appends when it is told to.
  for await (const line of input) await append(Number(line), 1);
} catch (error) {
  end(3, "failed", error);
}
