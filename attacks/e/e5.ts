/** E5: a policy that nobody in charge signed, or an earlier one. */
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { codeOf } from "../../test/support/http.ts";
import {
  createPolicyKey,
  exampleFiles,
  loadBundle,
  packFiles,
  packSigned,
} from "../../test/support/policies.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { readAsOperator } from "../support/operator.ts";
import type { World } from "../support/world.ts";

const key = createPolicyKey("release");
const retired = createPolicyKey("retired");
const VERSION = 5;

const inForce = async (world: World) =>
  policyAnswer.parse(await readAsOperator(world.server.adminSocket, "/v1/policy"));

/** Bundles that must not come into force, with what they must meet. */
function forgeries(): readonly (readonly [string, Uint8Array, readonly [number, string]])[] {
  const next = exampleFiles(VERSION + 1);
  const signed = packSigned(next, key);
  const changed = new Map(next);
  changed.set("custom.rego", encodeUtf8("package custom\n\nresult := {}\n"));
  return [
    ["unsigned", packFiles(next), [403, "policy_bundle_unsigned"]],
    ["signed by a retired key", packSigned(next, retired), [403, "policy_bundle_untrusted"]],
    [
      "signed by a stranger under the id of a key in force",
      packSigned(next, { ...retired, id: key.id }),
      [403, "policy_bundle_untrusted"],
    ],
    [
      "signed for another use",
      packSigned(next, key, "trustwarden-builtin"),
      [403, "policy_bundle_untrusted"],
    ],
    ["cut short", signed.subarray(0, signed.length - 100), [400, "policy_bundle_malformed"]],
    ["an earlier one, rightly signed", packSigned(exampleFiles(VERSION - 1), key), [409, "policy_rollback"]],
    ["the one in force again", packSigned(exampleFiles(VERSION), key), [409, "policy_rollback"]],
  ];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E5",
  title: "loads a policy that is unsigned, changed, signed by a retired key, or an earlier one",
  expected: "refused, the policy of before stays in force, and its version only rises",
  weakening: "policies-unproven",
  world: { configure: () => ({ policy: { signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] } }) },
  mayChange: ["epoch"],
  prepare: async () => undefined,
  control: async (world) => {
    const answer = await loadBundle(world.server.adminSocket, packSigned(exampleFiles(VERSION), key));
    expectSame(answer.status, 200, "a newer policy, signed by a key in force");
  },
  attack: async (world) => {
    const before = await inForce(world);
    for (const [what, bundle, refusal] of forgeries()) {
      const answer = await loadBundle(world.server.adminSocket, bundle);
      const code = answer.status === 200 ? "loaded" : codeOf(answer);
      expectSame([answer.status, code], refusal, what);
      expectSame(await inForce(world), before, `the policies in force after one that is ${what}`);
    }
  },
  evidence: async (ledger) => {
    for (const reason of ["policy_bundle_unsigned", "policy_bundle_untrusted", "policy_rollback"]) {
      await ledger.expect({ kind: "refuse", reason }, { atLeast: 1 });
    }
    await ledger.expect({ kind: "policy" }, 0);
  },
});
