/** E1: no policy. */
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askDecision, parseDecision, visitIntent } from "../../test/support/actors.ts";
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { ROOT, sayOfStart } from "../support/child.ts";
import { openEvidence } from "../support/evidence.ts";
import type { World } from "../support/world.ts";
import type { FaultName } from "../weakenings.ts";

const FAULTS: readonly FaultName[] = ["policy-traps", "policy-undefined"];

/** Policies that are not whole, with what the start must say of them. */
const BROKEN: Readonly<Record<string, { readonly code: string; readonly damage: (folder: string) => void }>> =
  {
    "no policy at all": {
      code: "policy_unavailable",
      damage: (folder) => rmSync(join(folder, "decision.wasm")),
    },
    "a changed module": {
      code: "policy_tampered",
      damage: (folder) => appendFileSync(join(folder, "decision.wasm"), "\0"),
    },
    "no manifest": { code: "policy_unavailable", damage: (folder) => rmSync(join(folder, "decision.json")) },
    "no data": {
      code: "policy_unavailable",
      damage: (folder) => rmSync(join(folder, "trustwarden", "data.json")),
    },
    "data without classes": {
      code: "policy_data_malformed",
      damage: (folder) => writeFileSync(join(folder, "trustwarden", "data.json"), '{"policy":{}}'),
    },
  };

async function decideOnce(world: World) {
  const agent = await world.enrol(["read:transactions"]);
  const verifier = await world.enrolVerifier();
  const intent = visitIntent(agent, verifier);
  return parseDecision(await askDecision(world.server, { caller: verifier, agent, intent }));
}

async function expectNoStart(world: World, what: string, folder: string, code: string): Promise<void> {
  const broken = world.unopened({ env: { TRUSTWARDEN_POLICY_DIR: folder } });
  const output = await sayOfStart(broken.start());
  expect(
    output.includes(`"code":"${code}"`),
    `with ${what} the start is refused as ${code}: ${output.slice(-300)}`,
  );
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E1",
  title: "takes the policy away: no bundle, a changed one, a rule without a value, an engine that traps",
  expected:
    "the start is refused, or every decision is a deny with policy_unavailable; the owner can still stop",
  weakening: "no-policy-allows",
  world: {},
  mayChange: [],
  prepare: async () => undefined,
  control: async (world) => {
    expectSame((await decideOnce(world)).allow, true, "with its policy the server allows");
  },
  attack: async (world) => {
    const den = mkdtempSync(join(tmpdir(), "tw-policy-"));
    try {
      for (const [what, { code, damage }] of Object.entries(BROKEN)) {
        const folder = join(den, what.replaceAll(" ", "-"));
        mkdirSync(folder);
        for (const part of ["decision.wasm", "decision.json", "trustwarden"]) {
          cpSync(join(ROOT, "policies", part), join(folder, part), { recursive: true });
        }
        damage(folder);
        await expectNoStart(world, what, folder, code);
      }
    } finally {
      rmSync(den, { recursive: true, force: true });
    }
    for (const fault of FAULTS) await expectDenied(world, fault);
  },
  evidence: async (ledger) => {
    // The servers without a policy had ledgers of their own, read in the attack; this one saw nothing.
    await ledger.expectNothing();
  },
});

/** A server whose engine fails issues nothing; its agents come from before the failure. */
async function expectDenied(world: World, fault: FaultName): Promise<void> {
  const healthy = await world.another();
  const agent = await healthy.enrol(["read:transactions"]);
  const verifier = await healthy.enrolVerifier();
  await healthy.child.stop();
  const failing = world.unopened({}, [fault], healthy.home);
  await failing.start();
  const intent = visitIntent(agent, verifier);
  const decision = parseDecision(await askDecision(failing.server, { caller: verifier, agent, intent }));
  expectSame(
    [decision.allow, decision.reasons],
    [false, ["policy_unavailable"]],
    `a decision under ${fault}`,
  );
  const stop = await revokeAsOperator(failing, agent.answer.instance_id);
  expectSame(stop, 200, `stopping under ${fault}`);
  await failing.child.stop();
  // Without a policy nobody reads either; the ledger is read when the policy is back.
  const repaired = world.unopened({}, [], healthy.home);
  await repaired.start();
  const denied = {
    kind: "action",
    principal: agent.answer.spiffe_id,
    outcome: "denied",
    reason: "policy_unavailable",
  } as const;
  await openEvidence(repaired.server.adminSocket, 0).expect(denied, 1);
  await repaired.child.stop();
}

async function revokeAsOperator(world: World, instanceId: string): Promise<number> {
  const body = JSON.stringify({ target: { kind: "instance", id: instanceId } });
  return (await sendAdmin(world.server.adminSocket, { method: "POST", target: "/v1/revocations", body }))
    .status;
}
