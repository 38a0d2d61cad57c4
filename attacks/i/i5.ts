/** I5: an action that the operator invents. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { instanceOf, visitIntent } from "../../test/support/actors.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { appendAsOperator, type History, issueOperatorDecision, writeHistory } from "../support/history.ts";
import type { World } from "../support/world.ts";

/** An action of the agent's that never was: the decision is rightly signed, the intent cannot be. */
async function forgeAction(world: World, { agent, verifier }: History): Promise<readonly Uint8Array[]> {
  const puppet = instanceOf(agent.answer, createTestSigner());
  const forged = visitIntent(puppet, verifier);
  return [forged.envelope, await issueOperatorDecision(world, puppet, forged)].map(encodeUtf8);
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
