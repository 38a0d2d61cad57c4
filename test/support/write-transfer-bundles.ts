/**
 * Writes bundles about an agent that changed hands, or goes by another name, sound and forged, for verifiers in other languages.
 *
 *   node test/support/write-transfer-bundles.ts <directory>
 *
 * Says in one line of JSON which keys and roots they answer to, and what must come of each file.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { childAgain, entryOfOwner, lateForgeries, nameForgeries } from "./evidence-names.ts";
import { forgersVkey } from "./evidence-presented.ts";
import { createTransferStory, rewrittenTransfer, transferForgeries } from "./evidence-transfers.ts";

const [, , directory = ""] = process.argv;
const story = await createTransferStory();
const forgers = forgersVkey(story.vkey);
const cases = [
  { name: "a transfer", bytes: story.bytes, vkey: story.vkey, isSound: true },
  { name: "a log written again", bytes: rewrittenTransfer(story), vkey: forgers, isSound: true },
  { name: "a child let be again", bytes: childAgain(story), vkey: forgers, isSound: true },
  { name: "an entry of its owner's", bytes: entryOfOwner(story), vkey: forgers, isSound: true },
  ...[...transferForgeries(story), ...nameForgeries(story), ...lateForgeries(story)].map(
    ({ name, bytes }) => ({ name, bytes, vkey: forgers, isSound: false }),
  ),
].map(({ bytes, ...one }, index) => {
  writeFileSync(join(directory, `${index}.twb`), bytes);
  return { ...one, file: `${index}.twb` };
});
await story.close();
console.log(JSON.stringify({ bundle: story.bundleText, cases }));
