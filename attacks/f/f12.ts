/** F12: the broker's database, stolen and written. */
import { createDecipheriv } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { encodeCanonicalJson } from "@trustwarden/core/json.ts";
import { copyLiveDirectory } from "../../examples/quickstart/copy-live-directory.ts";
import { openEchoUpstream } from "../../test/support/echo-upstream.ts";
import { createHome, TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { filesIn } from "../support/backups.ts";
import {
  askEcho,
  type Brokered,
  expectKeyInUse,
  expectNoKey,
  openBrokered,
  openEndless,
  operate,
  register,
  WITH_GATEWAY,
} from "../support/brokered.ts";
import { startChild } from "../support/child.ts";
import { expectRefusal } from "../support/client.ts";
import type { World } from "../support/world.ts";

const KILL_MS = 1000;
const KEY_BYTES = 32;

/** What lies in the loot and could be a key: each 32 bytes of the key files, and what texts decode to. */
function candidateKeys(world: World): readonly Buffer[] {
  const keyFiles = filesIn(join(world.home.dataDir, "keys")).map((path) => readFileSync(path));
  const windows = keyFiles.flatMap((bytes) =>
    Array.from({ length: Math.max(0, bytes.length - KEY_BYTES) }, (_, at) =>
      bytes.subarray(at, at + KEY_BYTES),
    ),
  );
  const state = readFileSync(join(world.home.dataDir, "state.db"), "latin1");
  const texts = [...state.matchAll(/[A-Za-z0-9+/_-]{43}/g)].map(([text]) => Buffer.from(text, "base64url"));
  return [...windows, ...texts.map((bytes) => bytes.subarray(0, KEY_BYTES))];
}

/** The stolen row, with the context that the data key was wrapped under, which the thief knows as we do. */
async function stealRow(
  world: World,
  name: string,
): Promise<{ readonly wrapped: Buffer; readonly context: Uint8Array }> {
  const deployment = await world.serverId();
  const database = new DatabaseSync(join(world.home.dataDir, "state.db"), { readOnly: true });
  const row = database
    .prepare(
      "SELECT * FROM secrets JOIN secret_versions ON secrets.name = secret_versions.name WHERE secrets.name = ?",
    )
    .get(name);
  database.close();
  if (!(row?.wrapped_key instanceof Uint8Array)) throw new Error("there is a ciphertext to steal");
  const { secret_id, kind, settings } = row;
  const named = { secretId: String(secret_id), name, kind: String(kind), settings: String(settings) };
  const binding = { trustDomain: TRUST_DOMAIN, deployment, ...named, version: 1, part: "data-key" };
  const prefix = Buffer.from("trustwarden-secret-v1\n");
  return {
    wrapped: Buffer.from(row.wrapped_key),
    context: Buffer.concat([prefix, encodeCanonicalJson(binding)]),
  };
}

function unwraps({ wrapped, context }: Awaited<ReturnType<typeof stealRow>>, key: Buffer): boolean {
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, wrapped.subarray(0, 12), { authTagLength: 16 });
    decipher.setAAD(context).setAuthTag(wrapped.subarray(-16));
    decipher.update(wrapped.subarray(12, -16));
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
    copyLiveDirectory(world.home.dataDir, home.dataDir);
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
  // After an end in order the changed file would not even be opened.
  await world.child.kill();
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
  control: (_world, scene) => expectKeyInUse(scene),
  attack: async (world, scene) => {
    const loot = mkdtempSync(join(tmpdir(), "tw-loot-"));
    copyLiveDirectory(world.home.dataDir, loot);
    for (const path of filesIn(loot)) expectNoKey(readFileSync(path, "latin1"), path);
    rmSync(loot, { recursive: true, force: true });
    const stolen = await stealRow(world, scene.name);
    const keys = candidateKeys(world);
    expect(keys.length > 500, "the thief has keys to try");
    expect(!keys.some((key) => unwraps(stolen, key)), "nothing of the data directory opens the ciphertext");
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
    await ledger.expect({ kind: "action", outcome: "denied", reason: "secret_disabled" }, 1);
    await ledger.expect({ kind: "secret", reason: "secret_unavailable" }, 1);
    await ledger.expect({ kind: "secret" }, { atLeast: 3 });
  },
});
