/**
 * The process that `posix-log.test.ts` kills: appends without pause and reports each acknowledged index with its leaf
 * hash on standard output.
 */
import { writeSync } from "node:fs";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { PosixLogStorage } from "./posix-log.ts";
import { createPosixHighWater } from "./posix-log-high-water.ts";

const [directory = "", mark = "", run = ""] = process.argv.slice(2);
const sequencer = new Sequencer({
  origin: "ledger.acme.test/2026q4",
  signer: createTestLogSigner(),
  storage: new PosixLogStorage(directory),
  highWater: createPosixHighWater({ path: mark, dataDirectory: directory }),
  now: () => 1_795_000_000,
  onFatal: () => process.exit(3),
});
await sequencer.start();
writeSync(1, "started\n");
for (let call = 0; ; call += 1) {
  const entries = [0, 1].map((part) => encodeUtf8(`run ${run} call ${call} part ${part}`));
  const appended = await sequencer.append(entries);
  for (const { index, leafHash } of appended) writeSync(1, `${index} ${encodeHex(leafHash)}\n`);
}
