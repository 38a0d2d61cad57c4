/**
 * Writes bundles about what a second admin confirmed, sound and forged, for verifiers in other languages.
 *
 *   node test/support/write-confirmation-bundles.ts <directory>
 *
 * Says in one line of JSON which keys and roots they answer to, and what must come of each file.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  confirmationForgeries,
  createConfirmationStory,
  rewrittenConfirmation,
} from "./evidence-confirmations.ts";
import { forgersVkey } from "./evidence-presented.ts";

const [, , directory = ""] = process.argv;
const story = await createConfirmationStory();
const forgers = forgersVkey(story.vkey);
const cases = [
  { name: "a confirmation", bytes: story.bytes, vkey: story.vkey, isSound: true },
  { name: "a log written again", bytes: rewrittenConfirmation(story), vkey: forgers, isSound: true },
  ...confirmationForgeries(story).map((one) => ({ ...one, vkey: forgers, isSound: false })),
].map(({ bytes, ...one }, index) => {
  const file = `${index}.twb`;
  writeFileSync(join(directory, file), bytes);
  return { ...one, file };
});
await story.close();
console.log(JSON.stringify({ bundle: story.bundleText, cases }));
