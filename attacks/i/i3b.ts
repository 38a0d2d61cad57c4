/** I3, of a ledger in shards: the operator begins the next shard a second time, behind fewer entries than there were. */
import { cpSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { issueCheckpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeShardStart, shardFolder, shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { PosixLogReader, PosixLogStorage } from "../../server/store/posix-log.ts";
import { createPosixHighWater } from "../../server/store/posix-log-high-water.ts";
import { openLogSigner } from "../../test/support/authority-keys.ts";
import { jsonOf, send, sendAdmin } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { sayOfStart } from "../support/child.ts";
import { writeHistory } from "../support/history.ts";
import type { World } from "../support/world.ts";

const LEDGER = `ledger.${TRUST_DOMAIN}`;
/** Entries at the end of the first shard that the forged one does not stand behind. */
const HIDDEN = 3;
const MAX_ENTRY_BYTES = 16_384;

/** Ends the first shard; the name and the first position of the next. */
async function turn({ server }: World) {
  const asked = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
  return turnAnswer.parse(jsonOf(await sendAdmin(server.adminSocket, asked)));
}

/** Writes the shard anew with the log's own key: another beginning, and every entry that it had behind that. */
async function forgeShard(
  { home }: World,
  { shard, first }: { readonly shard: string; readonly first: number },
) {
  const ledger = join(home.dataDir, "ledger");
  const signer = await openLogSigner(home);
  const older = new PosixLogReader(ledger);
  const size = first - HIDDEN;
  const root = await new TreeReader(older, first).readRoot(size);
  const start = encodeShardStart({ first, note: issueCheckpoint({ origin: LEDGER, size, root }, signer) });
  const [place, honest] = [join(ledger, shardFolder(shard)), join(home.dataDir, "..", "honest-shard")];
  renameSync(place, honest);
  const reader = new PosixLogReader(honest);
  const mark = join(home.configDir, `${TRUST_DOMAIN}.high-water`);
  rmSync(mark);
  const log = new Sequencer({
    origin: shardOrigin(LEDGER, shard),
    signer,
    storage: new PosixLogStorage(place),
    highWater: createPosixHighWater({ path: mark, dataDirectory: home.dataDir }),
    now: () => Math.floor(Date.now() / 1000),
    onFatal: (error) => {
      throw error;
    },
    shard: { ledger: LEDGER, first },
    maxEntryBytes: MAX_ENTRY_BYTES,
  });
  await log.start();
  const count = Number((await reader.readCheckpoint())?.split("\n")[1]);
  const tree = new TreeReader(reader, count);
  const entries = [start];
  for (let index = 1; index < count; index += 1) entries.push(await tree.readEntry(index));
  await log.append(entries);
  await log.waitForCheckpoint(count);
  await log.stop();
  return { checkpoint: log.checkpoint(), vkey: log.vkey };
}

const verifyExport = async (
  world: World,
  { folder, vkey }: { readonly folder: string; readonly vkey: string },
) =>
  world.run({
    args: ["cli/main.ts", "ledger", "verify", folder, "--vkey", vkey, "--json"],
    env: { HOME: world.home.configDir },
  });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I3b",
  title: `begins the next shard anew under the log's key, behind ${HIDDEN} entries fewer than the last one ended with`,
  expected: "the audit names the place where it begins, and no server goes on with it",
  weakening: "shard-behind-anything",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const victim = await world.another();
    await writeHistory(victim, 3);
    const turned = await turn(victim);
    await writeHistory(victim, 2);
    const discovered = await send(victim.server.url, { target: "/.well-known/trustwarden" });
    const { log_vkey: vkey } = jsonOf(discovered);
    const folder = join(victim.home.dataDir, "..", "export");
    expectSame((await victim.warden("ledger", "export", folder)).exitCode, 0, "the export");
    await victim.child.stop();
    return { victim, folder, vkey: String(vkey), turned };
  },
  control: async (world, { victim, folder, vkey }) => {
    const { exitCode, output } = await verifyExport(world, { folder, vkey });
    expectSame(exitCode, 0, `the shards as they were written: ${output.slice(-300)}`);
    await victim.start();
    expect(victim.child.isRunning(), "the server goes on with the shards as they were written");
    await victim.child.stop();
  },
  attack: async (world, { victim, folder, vkey, turned }) => {
    const { first } = turned;
    const shard = String(turned.shard);
    const forged = await forgeShard(victim, { shard, first });
    expect(verifyCheckpoint(forged.checkpoint, forged.vkey).size > 1, "it is a log that verifies by itself");
    const started = await sayOfStart(victim.start());
    expect(started.includes('"code":"ledger_corrupt"'), `no server goes on with it: ${started.slice(-300)}`);
    const shown = join(folder, shardFolder(shard));
    expect(existsSync(shown), "the export has the shard");
    for (const part of ["checkpoint", "tile"]) {
      rmSync(join(shown, part), { recursive: true });
      const from = join(victim.home.dataDir, "ledger", shardFolder(shard), part);
      cpSync(from, join(shown, part), { recursive: true });
    }
    const { exitCode, output } = await verifyExport(world, { folder, vkey });
    // What stands there is the beginning of no shard that can follow, and so no entry that a ledger has.
    const isNamed = output.includes(`"place": "entry ${first}"`);
    expectSame([exitCode, isNamed], [1, true], `the audit: ${output.slice(0, 600)}`);
  },
  evidence: async (ledger) => {
    // The ledger with the forged shard was another; this one saw nothing of it.
    await ledger.expectNothing();
  },
});
