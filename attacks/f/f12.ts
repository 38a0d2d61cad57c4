/** F12: the broker's database, stolen and written. */
import { createDecipheriv } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openEchoUpstream } from "../../test/support/echo-upstream.ts";
import { createHome } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import {
  askEcho,
  type Brokered,
  expectNoKey,
  openBrokered,
  openEndless,
  operate,
  register,
  UPSTREAM_KEY,
  WITH_GATEWAY,
} from "../support/brokered.ts";
import { startChild } from "../support/child.ts";
import { expectRefusal } from "../support/client.ts";
import type { World } from "../support/world.ts";

const KILL_MS = 1000;
const KEY_BYTES = 32;

const filesIn = (directory: string): readonly string[] =>
  readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Everything in the loot that could be a key: each 32 bytes at any place, and what texts decode to. */
function* candidateKeys(loot: Buffer): Generator<Buffer> {
  for (let at = 0; at + KEY_BYTES <= loot.length; at += 1) yield loot.subarray(at, at + KEY_BYTES);
  for (const [text] of loot.toString("latin1").matchAll(/[A-Za-z0-9+/_-]{43}/g))
    yield Buffer.from(text, "base64url").subarray(0, KEY_BYTES);
}

/** Whether any bytes of the loot open the ciphertext, without the context as whoever holds the code could know it. */
function opens(ciphertext: Buffer, key: Buffer): boolean {
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, ciphertext.subarray(0, 12), { authTagLength: 16 });
    decipher.setAuthTag(ciphertext.subarray(-16));
    decipher.update(ciphertext.subarray(12, -16));
    decipher.final();
    return true;
  } catch {
    // Safe: what does not open is the expectation.
    return false;
  }
}

/** The stolen data directory under a configuration directory of the thief's own. */
async function startStolen(world: World): Promise<string> {
  const home = createHome();
  try {
    cpSync(world.home.dataDir, home.dataDir, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    const env = {
      TRUSTWARDEN_DATA_DIR: home.dataDir,
      TRUSTWARDEN_CONFIG_DIR: home.configDir,
      TRUSTWARDEN_PORT: "0",
      TRUSTWARDEN_STOP_PORT: "0",
    };
    const child = await startChild({ args: ["server/main.ts"], env });
    await child.stop();
    return "started";
  } catch (error) {
    return String(error);
  } finally {
    rmSync(home.dataDir, { recursive: true, force: true });
    home.remove();
  }
}

/** Whoever can write the database, and nothing else, sends the secret to a place of its own. */
async function redirect(world: World, { name, agent }: Brokered): Promise<readonly string[]> {
  const den = await openEchoUpstream();
  await register(world, { name: "den", url: den.origin, secret: null });
  await world.child.stop();
  const database = new DatabaseSync(join(world.home.dataDir, "state.db"));
  database.prepare("UPDATE upstreams SET secret = ? WHERE name = 'den'").run(name);
  const row = database.prepare("SELECT settings FROM secrets WHERE name = ?").get(name);
  const settings = JSON.parse(String(row?.settings));
  settings.upstreams = [{ name: "den", origin: den.origin }];
  database.prepare("UPDATE secrets SET settings = ? WHERE name = ?").run(JSON.stringify(settings), name);
  database.close();
  await world.start();
  const answer = await askEcho({ world, upstream: den, name: "den", agent }, "body");
  expectRefusal(
    answer,
    { status: 503, code: "secret_unavailable" },
    "a secret whose scope was widened in the database",
  );
  const got = den.seen.map(({ headers }) => String(headers.authorization));
  den.close();
  return got;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F12",
  title:
    "steals the broker's database with a ciphertext; writes it so that the secret goes elsewhere; is cut off",
  expected: "nothing opens it without the key-encryption key; a kill ends a running call within a second",
  weakening: "ciphertext-bound-to-nothing",
  world: WITH_GATEWAY,
  prepare: (world) => openBrokered(world),
  control: async (_world, scene) => {
    expectSame((await askEcho(scene, "header")).status, 200, "a call that needs the key");
    expectSame(
      scene.upstream.seen.at(-1)?.headers.authorization,
      `Bearer ${UPSTREAM_KEY}`,
      "what the upstream got",
    );
  },
  attack: async (world, scene) => {
    const loot = filesIn(world.home.dataDir).map((path) => readFileSync(path));
    for (const bytes of loot) expectNoKey(bytes.toString("latin1"), "the data directory");
    const database = new DatabaseSync(join(world.home.dataDir, "state.db"), { readOnly: true });
    const row = database.prepare("SELECT ciphertext, wrapped_key FROM secret_versions").get();
    database.close();
    const sealed = [row?.ciphertext, row?.wrapped_key].map((value) => {
      if (!(value instanceof Uint8Array)) throw new Error("there is a ciphertext to steal");
      return Buffer.from(value);
    });
    const state = Buffer.concat(loot.filter((bytes) => bytes.length < 65_536));
    let tried = 0;
    for (const key of candidateKeys(state)) {
      tried += 1;
      if (tried > 40_000) break;
      expect(!sealed.some((one) => opens(one, key)), "nothing of the data directory opens the ciphertext");
    }
    expect(tried > 1000, "the thief had keys to try");
    expect(
      (await startStolen(world)).includes("seal_broken"),
      "a stolen data directory does not start elsewhere",
    );
    const running = await openEndless(scene);
    const startedMs = performance.now();
    await operate(world, `/v1/secrets/${scene.name}/disabling`, { reason: "stolen" });
    await running.ended;
    expect(
      performance.now() - startedMs <= KILL_MS,
      `cut within a second: ${performance.now() - startedMs} ms`,
    );
    expectRefusal(
      await askEcho(scene, "header"),
      { status: 403, code: "secret_disabled" },
      "a call after the kill",
    );
    await operate(world, `/v1/secrets/${scene.name}/enabling`, {});
    expectSame(await redirect(world, scene), [], "what reached the place of whoever wrote the database");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "secret", reason: "secret_disabled" }, 1);
    await ledger.expect({ kind: "secret", reason: "secret_unavailable" }, 1);
    await ledger.expect({ kind: "secret" }, { atLeast: 4 });
  },
});
