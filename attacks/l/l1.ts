/** L1: the disk of the server, and the backups of it. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { copyLiveDirectory } from "../../examples/quickstart/copy-live-directory.ts";
import { findKeys } from "../../examples/quickstart/thief-keys.ts";
import { searchDirectory } from "../../examples/quickstart/thief-loot.ts";
import { jsonOf } from "../../test/support/http.ts";
import { joinToken } from "../../test/support/nodes.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { backUp, filesIn, openVault, takeApart } from "../support/backups.ts";
import { expectKeyInUse, expectNoKey, openBrokered, operate, WITH_GATEWAY } from "../support/brokered.ts";
import { expectWorthless } from "../support/raid.ts";
import type { World } from "../support/world.ts";

/** What says something about the server and opens nothing. */
const OPENS_NOTHING = /\/server\.json$|\.high-water$/;

/** What nobody may find: keys that lie outside the data directory, and tokens that nobody has used yet. */
async function secretsOf(world: World): Promise<readonly string[]> {
  const keys = filesIn(world.home.configDir).filter((path) => !OPENS_NOTHING.test(path));
  const token = await joinToken(world.server, world.name("host"));
  const made = await operate(world, "/v1/people/links", { roles: ["auditor"] });
  const [link] = String(jsonOf(made).link).match(/[A-Za-z0-9_-]{40,}/) ?? [];
  if (keys.length === 0 || link === undefined) throw new Error("there are keys and a link to look for");
  return [...keys.map((path) => readFileSync(path, "latin1").trim()), token, link];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "L1",
  title: "takes the disk image and the backups, one of them sealed to nobody, and tries all that is in them",
  expected: "no key of an authority, no upstream's key and no usable token; a sealed backup opens for nobody",
  weakening: "backups-hold-the-unseal-key",
  world: WITH_GATEWAY,
  prepare: async (world) => {
    await world.finance();
    const scene = await openBrokered(world);
    await world.spawn(scene.agent, ["read:echo"]);
    const secrets = await secretsOf(world);
    const vault = openVault(world);
    return { scene, secrets, vault };
  },
  control: (_world, { scene }) => expectKeyInUse(scene),
  attack: async (world, { secrets, vault }) => {
    const [image, plain] = [join(vault.directory, "image"), join(vault.directory, "plain")];
    mkdirSync(image);
    copyLiveDirectory(world.home.dataDir, image);
    await takeApart(await backUp(world, vault, { isPlain: true }), plain);
    const sealed = await backUp(world, vault);
    for (const path of [...filesIn(image), ...filesIn(plain), sealed]) {
      const bytes = readFileSync(path, "latin1");
      expectNoKey(bytes, path);
      for (const secret of secrets)
        expect(!bytes.includes(secret), `nothing that opens anything is in ${path}`);
    }
    expectSame(findKeys(searchDirectory(image)).privateKeys.length, 0, "private keys in the image");
    const { configDir } = world.home;
    const places = ["--data", join(vault.directory, "opened"), "--config-dir", configDir];
    const opened = await world.run({ args: ["cli/main.ts", "restore", sealed, ...places] });
    expect(
      opened.exitCode !== 0 && opened.output.includes("backup_malformed"),
      `a sealed backup does not open without its key: ${opened.output.slice(-300)}`,
    );
    await expectWorthless(world, plain, { pairs: "some" });
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse" }, { atLeast: 50 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});
