/** I13: the ledger moves to another storage while agents work. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonOf, send, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { type Finished, sayOfStart } from "../support/child.ts";
import { enrolUntilDead, expectIssued } from "../support/enrolments.ts";
import type { World } from "../support/world.ts";

/** More than a tile is wide, so that something can be copied beside the writer. */
const READS = 300;
const AT_ONCE = 20;
const PATIENCE = "60";

/** Storage of before and of afterwards, beside one data directory. */
interface Place {
  readonly old: string;
  readonly moved: string;
  readonly settingsFile: string;
}

function placeOf({ home }: World): Place {
  const moved = join(home.dataDir, "..", "moved-ledger");
  return {
    old: join(home.dataDir, "ledger"),
    moved,
    settingsFile: join(home.dataDir, "..", "ledger.json"),
  };
}

/** Fills the log past its first tile. */
async function fill({ server }: World): Promise<void> {
  for (let done = 0; done < READS; done += AT_ONCE)
    await Promise.all(
      Array.from({ length: AT_ONCE }, () => sendAdmin(server.adminSocket, { target: "/v1/status" })),
    );
}

/** Ends the current shard. */
async function turn({ server }: World): Promise<void> {
  const asked = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
  expectSame((await sendAdmin(server.adminSocket, asked)).status, 200, "the ledger turns");
}

const checkpointIn = (directory: string) => readFileSync(join(directory, "checkpoint"), "utf8");

/** Runs the move with agents enrolling all the while, until the server is stopped for its end. */
async function moveAtWork(
  world: World,
  { settingsFile }: Place,
): Promise<{ readonly moved: Finished; readonly certificates: readonly string[] }> {
  let isOver = false;
  const moving = world
    .warden("ledger", "migrate", "--to", settingsFile, "--wait", PATIENCE, "--json")
    .finally(() => {
      isOver = true;
    });
  const certificates: string[] = [];
  // The command cannot end before the server does, so all of these are written while it is under way.
  for (let round = 0; round < 6 && !isOver; round += 1)
    certificates.push(...(await enrolUntilDead(world, 4)));
  const last = enrolUntilDead(world, 4);
  await world.child.stop();
  return { certificates: [...certificates, ...(await last)], moved: await moving };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I13",
  title: "moves the ledger to another storage while agents enrol, then goes on with the old one as well",
  expected: "the same root before and after, every answered enrolment in it, and one storage that goes on",
  weakening: "moved-without-a-fence",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const victim = await world.another();
    await fill(victim);
    // One shard has ended before the move, with full tiles of its own.
    await turn(victim);
    const place = placeOf(victim);
    writeFileSync(place.settingsFile, JSON.stringify({ storage: "posix", directory: place.moved }));
    const { log_vkey: vkey } = jsonOf(await send(victim.server.url, { target: "/.well-known/trustwarden" }));
    return { victim, place, vkey: String(vkey) };
  },
  control: async (_world, { victim }) => {
    const certificates = await enrolUntilDead(victim, 2);
    expectSame(certificates.length, 2, "where the ledger stays everybody is enrolled");
    await expectIssued(victim, certificates, "on the storage of before");
  },
  attack: async (world, { victim, place, vkey }) => {
    const { moved, certificates } = await moveAtWork(victim, place);
    expectSame(moved.exitCode, 0, `the move succeeds: ${moved.output.slice(-300)}`);
    expect(certificates.length > 4, "agents were enrolled meanwhile");
    expectSame(checkpointIn(place.moved), checkpointIn(place.old), "size and root before and after");
    const left = await sayOfStart(world.unopened({}, [], victim.home).start());
    expect(left.includes('"code":"ledger_moved"'), `the old storage does not go on: ${left.slice(-300)}`);
    const older = join(victim.home.dataDir, "..", "older-checkpoint");
    writeFileSync(older, checkpointIn(place.old));
    const configure = () => ({ ledger: { storage: "posix", directory: place.moved } });
    const going = world.unopened({ configure }, [], victim.home);
    await going.start();
    await expectIssued(going, certificates, "after the move");
    const args = ["ledger", "verify", "--vkey", vkey, "--older-checkpoint", older];
    const { exitCode, output } = await going.warden(...args);
    expectSame(exitCode, 0, `the log continues what it was: ${output.slice(-300)}`);
    await going.child.stop();
  },
  evidence: async (ledger) => {
    // The ledger that moved is read above; this one saw nothing.
    await ledger.expectNothing();
  },
});
