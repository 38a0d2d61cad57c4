/** I1: damage to the log. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonOf, send } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { sayOfStart } from "../support/child.ts";
import { writeHistory } from "../support/history.ts";
import type { World } from "../support/world.ts";

const FLIPS = 1000;
const ACTIONS = 4;

/** The files that a log is extended from, its state, its head, and the tiles at its edge; and the state of everything else. */
function edgeOf(dataDir: string): readonly string[] {
  const ledger = join(dataDir, "ledger");
  const widest = (folder: string): string => {
    const widths = readdirSync(folder).map(Number);
    return join(folder, String(Math.max(...widths)));
  };
  return [
    join(ledger, "state.json"),
    join(ledger, "checkpoint"),
    widest(join(ledger, "tile", "0", "000.p")),
    widest(join(ledger, "tile", "entries", "000.p")),
    join(dataDir, "state.db"),
  ];
}

function flipOneBit(file: string): void {
  const bytes = readFileSync(file);
  const at = Math.floor(Math.random() * bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(Math.random() * 7));
  writeFileSync(file, bytes);
}

/** A server on a copy of the directories, in which one bit of a file is flipped. */
async function expectRefusedStart(world: World, original: World, file: string): Promise<void> {
  const damaged = world.unopened();
  for (const name of ["dataDir", "configDir"] as const) {
    cpSync(original.home[name], damaged.home[name], {
      recursive: true,
      filter: (path) => !path.endsWith(".sock"),
    });
  }
  const target = join(damaged.home.dataDir, file.slice(original.home.dataDir.length));
  flipOneBit(target);
  const output = await sayOfStart(damaged.start());
  const name = file.slice(original.home.dataDir.length);
  expect(
    /"code":"(?:ledger_corrupt|data_rolled_back|state_changed)"/.test(output),
    `with a flipped bit in ${name} the log is not extended: ${output.slice(-300)}`,
  );
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I1",
  title: `flips one bit at ${FLIPS.toLocaleString("en")} random places of the log, and in each file that the server goes on from`,
  expected: "the audit names the place every time, and the server refuses to extend",
  weakening: "damage-overlooked",
  world: {},
  prepare: async (world) => {
    const original = await world.another();
    await writeHistory(original, ACTIONS);
    const { log_vkey: vkey } = jsonOf(
      await send(original.server.url, { target: "/.well-known/trustwarden" }),
    );
    const folder = join(original.home.dataDir, "..", "export");
    expectSame((await original.warden("ledger", "export", folder)).exitCode, 0, "the export");
    await original.child.stop();
    return { original, folder, vkey: String(vkey) };
  },
  control: async (world, { original, folder, vkey }) => {
    const { exitCode, output } = await world.run({
      args: ["cli/main.ts", "ledger", "verify", folder, "--vkey", vkey],
      env: { HOME: world.home.configDir },
    });
    expectSame([exitCode, output.includes("does NOT verify")], [0, false], "the log as it was written");
    await original.start();
    expect(original.child.isRunning(), "the server goes on with the log as it was written");
    await original.child.stop();
  },
  attack: async (world, { original, folder, vkey }) => {
    for (const file of edgeOf(original.home.dataDir)) await expectRefusedStart(world, original, file);
    const { exitCode, output } = await world.run({
      args: ["attacks/support/bit-flipper.ts", folder, vkey, String(FLIPS)],
    });
    expectSame(exitCode, 0, `the audit never breaks down: ${output.slice(-500)}`);
    const { flips, missed } = JSON.parse(output.slice(output.indexOf('{"flips"')));
    expectSame([flips, missed], [FLIPS, []], "flips, and those that nobody noticed");
    rmSync(folder, { recursive: true, force: true });
  },
  evidence: async (ledger) => {
    // The damaged logs were others; this one saw nothing of it.
    await ledger.expectNothing();
  },
});
