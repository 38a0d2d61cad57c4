/** I5: an action that the operator invents. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { instanceOf, visitIntent } from "../../test/support/actors.ts";
import { openKeys } from "../../test/support/authority-keys.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { appendAsOperator, type History, writeHistory } from "../support/history.ts";
import type { World } from "../support/world.ts";

/** An action of the agent's that never was: the decision is rightly signed, the intent cannot be. */
async function forgeAction(world: World, { agent, verifier }: History): Promise<readonly Uint8Array[]> {
  const puppet = instanceOf(agent.answer, createTestSigner());
  const { intent, envelope } = visitIntent(puppet, verifier);
  const database = new DatabaseSync(join(world.home.dataDir, "state.db"), { readOnly: true });
  const row = database.prepare("SELECT svid_sha256 FROM server_svids ORDER BY not_after DESC LIMIT 1").get();
  database.close();
  const decision = {
    v: 1,
    event_id: intent.event_id,
    intent_sha256: encodeBase64url(sha256(encodeUtf8(envelope))),
    allow: true,
    reasons: [],
    class: "C",
    chain: [...agent.answer.chain],
    policy: { name: "trustwarden-builtin/v1", bundle_sha256: encodeBase64url(randomBytes(32)) },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 0,
    time: formatTime(Date.now()),
  };
  const { serverSigner } = await openKeys(world.home);
  const signed = issueEnvelope("decision", decision, serverSigner, String(row?.svid_sha256));
  return [encodeUtf8(envelope), encodeUtf8(signed)];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I5",
  title: "the operator, with every key of the server, writes an action into the log that an agent never took",
  expected: "the audit names the entry: the agent's signature does not hold",
  weakening: "record-signature-unchecked",
  world: {},
  prepare: async (world) => {
    const other = await world.another();
    const history = await writeHistory(other, 2);
    const { log_vkey: vkey } = jsonOf(await send(other.server.url, { target: "/.well-known/trustwarden" }));
    return { other, history, vkey: String(vkey) };
  },
  control: async (_world, { other, vkey }) => {
    const { exitCode } = await other.warden("ledger", "verify", "--vkey", vkey);
    expectSame(exitCode, 0, "the honest log verifies");
  },
  attack: async (_world, { other, history, vkey }) => {
    await other.child.stop();
    await appendAsOperator(other, await forgeAction(other, history));
    await other.start();
    const { exitCode, output } = await other.warden("ledger", "verify", "--json", "--vkey", vkey);
    expect(exitCode !== 0, "the log with the invented action does not verify");
    const { verified, findings } = JSON.parse(output.slice(output.indexOf("{")));
    const damage = [...findings].filter(({ severity }) => severity === "damage");
    expectSame([verified, damage.length > 0], [false, true], "the verdict of the audit");
    const isNamed = damage.some(
      ({ code, place }) => code === "signature_bad" && String(place).startsWith("entry "),
    );
    expect(
      isNamed,
      `the audit names the entry with the bad signature: ${JSON.stringify(damage).slice(0, 300)}`,
    );
  },
  evidence: async (ledger) => {
    // The forged entry is evidence of the forgery, in the log it was written to; this one holds nothing.
    await ledger.expectNothing();
  },
});
