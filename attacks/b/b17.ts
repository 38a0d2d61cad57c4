/** B17: nothing is issued off the books. */
import { setTimeout } from "node:timers/promises";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { enrolUntilDead, expectAllRecorded } from "../support/enrolments.ts";
import type { FaultName } from "../weakenings.ts";

/** After the signature and before the commit; after the commit and before the log; after the log and before the answer. */
const POINTS: readonly FaultName[] = ["killed-before-commit", "killed-before-append", "killed-before-answer"];
/** Kills at moments that nobody chose. */
const RANDOM_KILLS = 2;
const FLOOD = 24;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B17",
  title:
    "kills the server at each point between signing a certificate, recording it and answering, and at random",
  expected: "no certificate is in anybody's hands without a durable entry in the ledger",
  weakening: "answer-before-record",
  world: {},
  mayChange: [],
  prepare: async () => undefined,
  control: async (world) => {
    const certificates = await enrolUntilDead(world, 2);
    expectSame(certificates.length, 2, "without a kill everybody is enrolled");
  },
  attack: async (world) => {
    for (const point of POINTS) {
      const faulty = world.unopened({}, [point]);
      await faulty.start();
      const certificates = await enrolUntilDead(faulty, 3);
      await setTimeout(400);
      expect(!faulty.child.isRunning(), `the server was killed: ${point}`);
      await expectAllRecorded(world.unopened({}, [], faulty.home), certificates, point);
    }
    for (let kill = 0; kill < RANDOM_KILLS; kill += 1) {
      const victim = await world.another();
      await victim.owner();
      const flood = enrolUntilDead(victim, FLOOD);
      await setTimeout(20 + Math.random() * 120);
      await victim.child.kill();
      await expectAllRecorded(world.unopened({}, [], victim.home), await flood, "killed at random");
    }
  },
  evidence: async (ledger) => {
    // The killed servers had ledgers of their own, read above; this one saw nothing.
    await ledger.expectNothing();
  },
});
