/** F7: untrusted content, then private data, then out with it. */
import { defineScenario, expectSame } from "../scenario.ts";
import { ASKING_SCOPE, ask, openAsking } from "../support/asking.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";

const WEB = { method: "GET", path: "/web" } as const;
const MAIL = { method: "GET", path: "/mail" } as const;
const SEND = { method: "POST", path: "/mail" } as const;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F7",
  title: "reads what strangers wrote, then what is private, then writes outside",
  expected: "the third leg is denied by the taint rule; each leg alone is allowed, and so is writing inside",
  weakening: "labels-forgotten",
  world: WITH_GATEWAY,
  prepare: (world) => openAsking(world),
  control: async (world, scene) => {
    for (const legs of [
      [WEB, SEND],
      [MAIL, SEND],
    ]) {
      const agent = await world.enrol(ASKING_SCOPE);
      for (const leg of legs)
        expectSame((await ask({ ...scene, agent }, leg)).status, 200, `${leg.method} ${leg.path}`);
    }
  },
  attack: async (_world, scene) => {
    const before = scene.upstream.seen.length;
    expectSame((await ask(scene, WEB)).status, 200, "untrusted content");
    expectSame((await ask(scene, MAIL)).status, 200, "private data");
    expectSame((await ask(scene, SEND)).status, 403, "the third leg");
    expectSame((await ask(scene, { method: "POST", path: "/notes" })).status, 200, "a note inside");
    expectSame(scene.upstream.seen.length, before + 3, "what reached the upstream");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "denied", reason: "tainted" }, 1);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, 3);
  },
});
