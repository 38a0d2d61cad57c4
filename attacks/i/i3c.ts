/** I3, of a ledger whose key changes: whoever has a key of the log makes another one the ledger's that no shard's end names. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askDecision, outcomeOf, parseDecision, visitIntent } from "../../test/support/actors.ts";
import { openKeys } from "../../test/support/authority-keys.ts";
import { manifestKeyOf } from "../../test/support/evidence-forgeries.ts";
import { forgersVkey } from "../../test/support/evidence-presented.ts";
import { keyForgeries, rekeyed, turnLedger } from "../../test/support/evidence-shards.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import type { World } from "../support/world.ts";

/** Of all forged changes of key, which every verifier's tests have: those that break the chain and no signature. */
const CHANGES = /later shard|earlier shard|left out/;

/** A bundle of one action in the second shard of another deployment. */
async function makeBundle(other: World, file: string): Promise<Buffer> {
  const agent = await other.enrol(["read:transactions"]);
  const verifier = await other.enrolVerifier();
  await turnLedger(other.server);
  const intent = visitIntent(agent, verifier);
  const { receipt } = parseDecision(await askDecision(other.server, { caller: verifier, agent, intent }));
  const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt) });
  await call(other.server.url, { method: "POST", target: "/v1/outcomes", body }, { tls: verifier.tls });
  const made = await other.warden("evidence", "make", "--event", intent.intent.event_id, "--out", file);
  expectSame(made.exitCode, 0, "the bundle is made");
  return readFileSync(file);
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I3c",
  title: "signs the next shard with a key of its own, under an end that names another shard, or under none",
  expected: "evidence of it is refused; the same under an end that names that shard and key is taken",
  weakening: "any-shard-behind-an-end",
  world: {},
  prepare: async (world) => {
    const other = await world.another();
    const folder = join(other.home.dataDir, "..");
    const bytes = await makeBundle(other, join(folder, "sound.twb"));
    const { log_vkey: vkey } = jsonOf(await send(other.server.url, { target: "/.well-known/trustwarden" }));
    const bundle = join(folder, "kept-bundle.json");
    writeFileSync(bundle, (await send(other.server.url, { target: "/v1/bundle" })).text);
    const key = manifestKeyOf(bytes, (await openKeys(other.home)).serverSigner);
    await other.child.stop();
    const anchors = ["--vkey", forgersVkey(String(vkey)), "--bundle", bundle];
    const verify = async (forged: Uint8Array) => {
      const file = join(folder, "forged.twb");
      writeFileSync(file, forged);
      const args = ["cli/main.ts", "evidence", "verify", file, ...anchors];
      return other.run({ args, env: { HOME: folder } });
    };
    return { bytes, key, verify };
  },
  control: async (_world, { bytes, key, verify }) => {
    const { exitCode, output } = await verify(rekeyed(bytes, key));
    expectSame(exitCode, 0, `a change of key that the end names: ${output.slice(-300)}`);
  },
  attack: async (_world, { bytes, key, verify }) => {
    const forgeries = keyForgeries(bytes, key).filter(({ name }) => CHANGES.test(name));
    expectSame(forgeries.length, 3, "forged changes of key");
    for (const { name, bytes: forged } of forgeries) {
      const { exitCode, output } = await verify(forged);
      expect(exitCode === 1, `${name}: ${output.slice(-300)}`);
    }
  },
  evidence: async (ledger) => {
    // It all happened in another deployment; this one holds nothing.
    await ledger.expectNothing();
  },
});
