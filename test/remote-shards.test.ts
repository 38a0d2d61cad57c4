/**
 * A ledger of several shards in a real database and a real object store: turns, kills in one, and moves of a ledger that
 * has turned. `./dev interop` starts both and runs this; without them there is nothing to test, and that is said.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { moveLedger } from "@trustwarden/server/move-ledger.ts";
import { afterAll, describe, expect, it } from "vitest";
import { parseConfig } from "../server/config.ts";
import type { RemoteLab } from "../server/store/log-place.test.support.ts";
import { createOwner, enrolAgent } from "./support/actors.ts";
import { expectRejection } from "./support/expect-code.ts";
import { createRemoteLedger } from "./support/remote-ledger.ts";
import { createHome, startTestServer, TRUST_DOMAIN } from "./support/server.ts";
import { askTurn, describeTurnCrashes, expectSoundChain, readShards } from "./support/turn-crashes.ts";

const LAB = process.env.TRUSTWARDEN_STORAGE_LAB;
const TIMEOUT_MS = 180_000;
if (LAB === undefined)
  process.stderr.write(
    "SKIPPED: shards in PostgreSQL and an object store; `./dev interop --only ledger-storage` runs them\n",
  );

describe.skipIf(LAB === undefined)("a ledger of shards on PostgreSQL and an object store", () => {
  const lab: RemoteLab = JSON.parse(LAB ?? "{}");
  const used: { remove(): void }[] = [];
  const createLedger = async () => {
    const ledger = await createRemoteLedger(lab);
    used.push(ledger);
    return ledger;
  };
  afterAll(() => {
    for (const ledger of used) ledger.remove();
  });

  describeTurnCrashes("its turns", async () => ({ ledger: (await createLedger()).settings }));

  it("is moved there from a disk after a turn, turns there, and is moved back", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const home = createHome();
    const remote = { ...Object(await createLedger().then(({ settings }) => settings)) };
    const back = { storage: "posix", directory: join(home.dataDir, "..", "moved-back") };
    mkdirSync(back.directory, { mode: 0o700 });
    const start = (ledger: object) => startTestServer({ ledger: Object(ledger) }, home);
    let server = await start({ storage: "posix" });
    const owner = await createOwner(server);
    await askTurn(server);
    await enrolAgent(server, owner, { name: "on-disk" });
    let before = await readShards(server);
    await server.close();
    for (const [from, to, count] of [
      [{ storage: "posix" }, remote, 3],
      [remote, back, 4],
    ] as const) {
      const settingsFile = join(home.dataDir, "..", `ledger-${count}.json`);
      writeFileSync(settingsFile, JSON.stringify(to));
      const { dataDir, configDir } = home;
      const moved = await moveLedger({
        config: parseConfig({ trustDomain: TRUST_DOMAIN, dataDir, configDir, ledger: Object(from) }),
        settingsFile,
        waitMs: 1000,
        random: (length) => new Uint8Array(randomBytes(length)),
        nowMs: () => Date.now(),
        onCopied: () => undefined,
      });
      expect(moved.shards).toBe(before.length);
      await expectRejection(start(from), "ledger_moved");
      server = await start(to);
      const after = await readShards(server);
      expect(after.map(({ origin, first }) => ({ origin, first }))).toEqual(
        before.map(({ origin, first }) => ({ origin, first })),
      );
      expect((await askTurn(server)).status).toBe(200);
      await enrolAgent(server, owner, { name: `after-${count}` });
      await expectSoundChain(server, count);
      before = await readShards(server);
      await server.close();
    }
    home.remove();
  });
});
