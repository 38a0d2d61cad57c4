/** I9: a key that is dead by the time of the audit. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import {
  askDecision,
  outcomeOf,
  parseDecision,
  type TestInstance,
  visitIntent,
} from "../../test/support/actors.ts";
import { jsonOf, send } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { appendAsOperator, issueOperatorDecision } from "../support/history.ts";
import { revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const YEARS_MS = 5 * 365 * 86_400_000;
const TWO_DAYS_MS = 2 * 86_400_000;
const MOVED_CLOCK = "attacks/support/machine-clock.ts";

/** An action while its key lives, and the same agent's death. */
async function actAndDie(world: World, agent: TestInstance, verifier: TestInstance): Promise<string> {
  const intent = visitIntent(agent, verifier);
  const { receipt } = parseDecision(await askDecision(world.server, { caller: verifier, agent, intent }));
  const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt) });
  await call(world.server.url, { method: "POST", target: "/v1/outcomes", body }, { tls: verifier.tls });
  await revoke(world, "instance", agent.answer.instance_id);
  return intent.intent.event_id;
}

/** The thief has the agent's true key, two days after its last certificate ended; the operator decides what he likes. */
async function forgeLater(
  world: World,
  { agent, verifier }: { readonly agent: TestInstance; readonly verifier: TestInstance },
): Promise<{ readonly eventId: string; readonly entries: readonly Uint8Array[] }> {
  const later = Date.now() + TWO_DAYS_MS;
  const times = { time: formatTime(later), exp: Math.floor(later / 1000) + 30 };
  const forged = visitIntent(agent, verifier, times);
  const entries = [forged.envelope, await issueOperatorDecision(world, agent, forged)].map(encodeUtf8);
  return { eventId: forged.intent.event_id, entries };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I9",
  title: "acts under a key that is revoked and expired when the auditor comes, and goes on signing with it",
  expected:
    "years on, what was signed in the key's lifetime verifies as of its own time, and what is dated later does not",
  weakening: "svids-judged-by-the-auditors-clock",
  world: {},
  prepare: async (world) => {
    const other = await world.another();
    const agent = await other.enrol(["read:transactions"]);
    const verifier = await other.enrolVerifier();
    const eventId = await actAndDie(other, agent, verifier);
    const { log_vkey: vkey } = jsonOf(await send(other.server.url, { target: "/.well-known/trustwarden" }));
    const folder = join(other.home.dataDir, "..");
    const bundle = join(folder, "kept-bundle.json");
    writeFileSync(bundle, (await send(other.server.url, { target: "/v1/bundle" })).text);
    writeFileSync(other.clockFile, String(YEARS_MS));
    return { other, agent, verifier, eventId, folder, anchors: ["--vkey", String(vkey), "--bundle", bundle] };
  },
  control: async (_world, { other, eventId, folder, anchors }) => {
    const file = join(folder, "control.twb");
    const made = await other.warden("evidence", "make", "--event", eventId, "--out", file);
    expectSame(made.exitCode, 0, "the bundle is made after the agent's end");
    const stranger = await other.run({
      args: ["server/evidence/verifiers/verify.mjs", file, ...anchors],
      imports: [MOVED_CLOCK],
      env: { ATTACK_CLOCK_FILE: other.clockFile },
    });
    expectSame(stranger.exitCode, 0, "a stranger's program verifies it, five years on");
    expect(stranger.output.includes("was revoked at epoch"), "and says that the agent was stopped");
  },
  attack: async (_world, { other, agent, verifier, folder, anchors }) => {
    const verify = (file: string) =>
      other.run({
        args: ["cli/main.ts", "evidence", "verify", file, ...anchors],
        imports: [MOVED_CLOCK],
        env: { ATTACK_CLOCK_FILE: other.clockFile, HOME: folder },
      });
    const honest = await verify(join(folder, "control.twb"));
    expectSame(honest.exitCode, 0, "our own program verifies it, five years on");
    const forged = await forgeLater(other, { agent, verifier });
    await other.child.stop();
    await appendAsOperator(other, forged.entries);
    await other.start();
    const file = join(folder, "forged.twb");
    const made = await other.warden("evidence", "make", "--event", forged.eventId, "--out", file);
    expectSame(made.exitCode, 0, "the operator makes a bundle of the forged action");
    const { exitCode, output } = await verify(file);
    expect(
      exitCode === 1,
      `what is dated after the key's certificate is not verified: ${output.slice(-300)}`,
    );
  },
  evidence: async (ledger) => {
    // It all happened in another deployment; this one holds nothing.
    await ledger.expectNothing();
  },
});
