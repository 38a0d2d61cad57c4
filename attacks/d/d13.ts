/** D13: a clock that is set back. */
import { writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { formatTime } from "@trustwarden/core/event.ts";
import { askDecision, type TestInstance, visitIntent } from "../../test/support/actors.ts";
import { type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import type { World } from "../support/world.ts";

/** Longer than the agent lives and than the server forgives, shorter than its own certificate lives. */
const FORWARD_MS = 20 * 60_000;
const HOUR_MS = 3_600_000;
const LIFE_SECONDS = 600;
const SETTLE_MS = 200;

async function setClock(world: World, offsetMs: number): Promise<void> {
  writeFileSync(world.clockFile, String(offsetMs));
  await setTimeout(SETTLE_MS);
}

/** Asks for a decision with an intent of the server's own time. */
function ask(
  world: World,
  agent: TestInstance,
  verifier: TestInstance,
  offsetMs: number,
): Promise<RawAnswer> {
  const nowMs = Date.now() + offsetMs;
  const times = { time: formatTime(nowMs), exp: Math.floor(nowMs / 1000) + 50 };
  return askDecision(world.server, { caller: verifier, agent, intent: visitIntent(agent, verifier, times) });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D13",
  title: "sets the server's clock forward and then back, so that what has expired would live again",
  expected:
    "the expired stay refused; behind the latest signed instant nothing is decided, and stopping works",
  weakening: "clock-without-floor",
  world: { imports: ["attacks/support/machine-clock.ts"] },
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    await setClock(world, 0);
    return {
      mortal: await world.enrol(["read:transactions"], { ttlSeconds: LIFE_SECONDS }),
      lasting: await world.enrol(["read:transactions"], { ttlSeconds: 7200 }),
      verifier: await world.enrolVerifier(),
    };
  },
  control: async (world, { mortal, lasting, verifier }) => {
    for (const agent of [mortal, lasting]) {
      const answer = await ask(world, agent, verifier, 0);
      expectSame(
        [answer.status, JSON.parse(answer.text).allow],
        [200, true],
        "a live agent at the right time",
      );
    }
  },
  attack: async (world, { mortal, lasting, verifier }) => {
    await setClock(world, FORWARD_MS);
    expectRefusal(
      await ask(world, mortal, verifier, FORWARD_MS),
      UNPROVEN,
      "the expired, with the clock forward",
    );
    const answer = await ask(world, lasting, verifier, FORWARD_MS);
    expectSame(JSON.parse(answer.text).allow, true, "the living, with the clock forward");
    for (const offsetMs of [0, -HOUR_MS]) {
      await setClock(world, offsetMs);
      for (const agent of [mortal, lasting]) {
        const back = await ask(world, agent, verifier, offsetMs);
        expectRefusal(
          back,
          { status: 503, code: "clock_rolled_back" },
          `a decision with the clock set back by ${(FORWARD_MS - offsetMs) / 60_000} minutes`,
        );
      }
    }
    await setClock(world, 0);
    const body = JSON.stringify({ target: { kind: "instance", id: lasting.answer.instance_id } });
    const stop = await sendAdmin(world.server.adminSocket, {
      method: "POST",
      target: "/v1/revocations",
      body,
    });
    expectSame(stop.status, 200, "stopping, with the clock set back");
    await setClock(world, FORWARD_MS + 1000);
    expectRefusal(
      await ask(world, lasting, verifier, FORWARD_MS),
      UNPROVEN,
      "the revoked, with the clock right again",
    );
  },
  evidence: async (ledger, { mortal, lasting }) => {
    await ledger.expect({ kind: "action", principal: mortal.answer.spiffe_id }, 0);
    await ledger.expect({ kind: "action", principal: lasting.answer.spiffe_id }, 1);
    await ledger.expect({ kind: "revoke", outcome: "success" }, { atLeast: 1 });
  },
});
