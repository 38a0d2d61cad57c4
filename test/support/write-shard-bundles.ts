/**
 * Writes bundles over two shards, sound and forged, for verifiers in other languages.
 *
 *   node test/support/write-shard-bundles.ts <directory>
 *
 * Says in one line of JSON which keys and roots they answer to, and what must come of each file.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openKeys } from "./authority-keys.ts";
import { manifestKeyOf } from "./evidence-forgeries.ts";
import { forgersVkey } from "./evidence-presented.ts";
import {
  createShardedStory,
  hiddenShardForgeries,
  keyForgeries,
  rekeyed,
  relogged,
  shardForgeries,
} from "./evidence-shards.ts";

const [, , directory = ""] = process.argv;
const story = await createShardedStory();
const range = await story.make("since=2020-01-01T00:00:00Z");
const event = await story.make(`event=${story.bridged}`);
const key = manifestKeyOf(range, (await openKeys(story.server.home)).serverSigner);
const forgers = forgersVkey(story.vkey);
const cases = [
  { name: "an event", bytes: event, vkey: story.vkey, isSound: true },
  { name: "a range", bytes: range, vkey: story.vkey, isSound: true },
  { name: "another log's", bytes: relogged(range, key), vkey: forgers, isSound: true },
  { name: "another key", bytes: rekeyed(range, key), vkey: forgers, isSound: true },
  { name: "an event under another key", bytes: rekeyed(event, key), vkey: forgers, isSound: true },
  ...shardForgeries(range, key).map((one) => ({ ...one, vkey: story.vkey, isSound: false })),
  ...hiddenShardForgeries(range, key).map((one) => ({ ...one, vkey: forgers, isSound: false })),
  ...hiddenShardForgeries(event, key).map((one) => ({ ...one, vkey: forgers, isSound: false })),
  ...[range, event].flatMap((one) =>
    keyForgeries(one, key).map((forgery) => ({ ...forgery, vkey: forgers, isSound: false })),
  ),
].map(({ bytes, ...one }, index) => {
  writeFileSync(join(directory, `${index}.twb`), bytes);
  return { ...one, file: `${index}.twb` };
});
await story.server.close();
story.server.home.remove();
console.log(JSON.stringify({ bundle: story.bundleText, cases }));
