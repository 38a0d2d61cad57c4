/** E7: a read through the gateway whose record the ledger would not take. */
import type { RawAnswer } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { type Asking, ask, openAsking } from "../support/asking.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";
import { expectRefusal } from "../support/client.ts";
import { callGateway } from "../support/through-gateway.ts";

const WEB = { method: "GET", path: "/web" } as const;
/** Six bytes each in an intent, and base64 on top: more than an entry may hold. */
const TOO_LONG = "\u0001".repeat(2048);

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E7c",
  title: "reads through the gateway with an intent that is too large for the ledger",
  expected: "refused before the upstream hears of it: what cannot be recorded is not done, a read neither",
  weakening: "reads-before-their-record",
  world: WITH_GATEWAY,
  prepare: (world) => openAsking(world),
  control: async (_world, scene) => {
    expectSame((await ask(scene, WEB)).status, 200, "a read with an intent that fits");
    expectSame((await readFor(scene, "a".repeat(2048))).status, 200, "the longest name of a job that fits");
  },
  attack: async (_world, scene) => {
    const before = scene.upstream.seen.length;
    const answer = await readFor(scene, TOO_LONG);
    expectRefusal(answer, { status: 413, code: "entry_too_large" }, "an intent that does not fit");
    expectSame(scene.upstream.seen.length, before, "what reached the upstream");
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id }, 0);
  },
});

async function readFor({ world, name, agent }: Asking, job: string): Promise<RawAnswer> {
  const [action, resource] = ["read:web", "db://web"];
  const request = { target: `/${name}${WEB.path}`, aud: await world.serverId(), action };
  return callGateway(world, agent, { ...request, intent: { action, resource, job } });
}
