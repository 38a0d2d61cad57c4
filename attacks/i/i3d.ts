/** I3d, of a ledger whose key changes: a witness is led to a key that the end of the log does not name. */
import { join } from "node:path";
import { formatSubmission } from "@trustwarden/core/agentledger/add-checkpoint.ts";
import { announceEnd, formatAnnouncement } from "@trustwarden/core/agentledger/add-shard.ts";
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import {
  createMemoryMedium,
  MemoryHighWater,
  MemoryLogStorage,
} from "@trustwarden/core/agentledger/memory-log-storage.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeShardEnd } from "@trustwarden/core/agentledger/shard.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { defineScenario, expectSame } from "../scenario.ts";

const LOG = "ledger.acme.test";
const NEXT = `${LOG}/2026q1`;
/** Of the log, of the shard that its end names, and of a thief. */
const [LOGS, NEXTS, THIEFS] = [1, 2, 3];

const vkeyOf = (name: string, key: number) =>
  formatVkey(name, rawEd25519Key(createTestLogSigner(key).publicKey));

/** A log that has ended: what its server tells a witness. */
async function endedLog() {
  const log = new Sequencer({
    origin: LOG,
    signer: createTestLogSigner(LOGS),
    storage: new MemoryLogStorage(createMemoryMedium()),
    highWater: new MemoryHighWater(),
    now: () => Math.floor(Date.now() / 1000),
    onFatal: () => undefined,
  });
  await log.start();
  const next = vkeyOf(NEXT, NEXTS);
  await log.append([encodeUtf8("an entry"), encodeShardEnd(next)]);
  await log.waitForCheckpoint(log.size);
  const announcement = await announceEnd(log, next);
  const submission = formatSubmission({ oldSize: 0, proof: [], checkpoint: log.checkpoint() });
  await log.stop();
  return { announcement, submission };
}

/** The first checkpoint of a shard. */
function begun(key: number): string {
  const head = { origin: NEXT, size: 1, root: leafHash(encodeUtf8("the end of the shard before")) };
  const checkpoint = issueCheckpoint(head, createTestLogSigner(key));
  return formatSubmission({ oldSize: 0, proof: [], checkpoint });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I3d",
  title: "leads a witness to a key of its own for the next shard, by the end of a log that names another",
  expected: "refused, and no checkpoint of that key is cosigned; the key that the end names is followed",
  weakening: "witness-follows-any-key",
  mayChange: [],
  prepare: async (world) => {
    const root = join(world.home.dataDir, "..");
    const start = async (name: string) => {
      const directory = join(root, name);
      const env = { HOME: root };
      const init = ["cli/main.ts", "witness", "init", directory, "--name", `${name}.test/1`];
      expectSame((await world.run({ args: init, env })).exitCode, 0, "the witness");
      const told = ["--log", vkeyOf(LOG, LOGS), "--listen", "127.0.0.1:0"];
      const { ready } = await world.launch({
        args: ["cli/main.ts", "witness", "serve", directory, ...told],
        env,
      });
      return async (path: string, body: string) =>
        (await fetch(`${ready.url}/${path}`, { method: "POST", body })).status;
    };
    const log = await endedLog();
    const witnesses = [await start("honest-witness"), await start("led-witness")];
    for (const ask of witnesses)
      expectSame(await ask("add-checkpoint", log.submission), 200, "the last tree");
    return { ...log, witnesses };
  },
  control: async (_world, { witnesses: [ask], announcement }) => {
    if (ask === undefined) throw new Error("two witnesses");
    expectSame(await ask("add-checkpoint", begun(NEXTS)), 403, "the next shard before its key is known");
    expectSame(await ask("add-shard", formatAnnouncement(announcement)), 200, "the end, and what it names");
    expectSame(await ask("add-checkpoint", begun(NEXTS)), 200, "the next shard");
    expectSame(await ask("add-checkpoint", begun(LOGS)), 403, "the key before, from now on");
  },
  attack: async (_world, { witnesses: [, ask], announcement: { proof } }) => {
    if (ask === undefined) throw new Error("two witnesses");
    const vkey = vkeyOf(NEXT, THIEFS);
    const first = { ...proof, index: 0 };
    for (const forged of [proof, first, { ...proof, proof: [] }])
      expectSame(
        await ask("add-shard", formatAnnouncement({ vkey, proof: forged })),
        422,
        "a key of the thief's",
      );
    const own = issueCheckpoint(
      { origin: LOG, size: 1, root: leafHash(encodeShardEnd(vkey)) },
      createTestLogSigner(THIEFS),
    );
    const ofThief = parseTlogProof(`c2sp.org/tlog-proof@v1\nindex 0\n\n${own}`);
    expectSame(
      await ask("add-shard", formatAnnouncement({ vkey, proof: ofThief })),
      403,
      "an end of the thief's",
    );
    expectSame(await ask("add-checkpoint", begun(THIEFS)), 403, "a shard of the thief's");
  },
  evidence: async (ledger) => {
    // It all happened at witnesses; this deployment holds nothing.
    await ledger.expectNothing();
  },
});
