/** B17: nothing is issued off the books. */
import { setTimeout } from "node:timers/promises";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { openEvidence } from "../support/evidence.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";
import type { FaultName } from "../weakenings.ts";

/** After the signature and before the commit; after the commit and before the log; after the log and before the answer. */
const POINTS: readonly FaultName[] = ["killed-before-commit", "killed-before-append", "killed-before-answer"];
/** Kills at moments that nobody chose. */
const RANDOM_KILLS = 2;
const FLOOD = 24;

/** Digests of the certificates that are in somebody's hands. */
async function enrolUntilDead(world: World, count: number): Promise<readonly string[]> {
  const owner = await world.owner();
  const one = async (): Promise<readonly string[]> => {
    const ticket = ticketOf(owner, { name: world.name("unlucky") });
    // A connection that breaks left nothing in anybody's hands.
    const answer = await enrolWith(world, ticket, { signer: createTestSigner() }).catch(() => undefined);
    if (answer?.status !== 200) return [];
    const [leaf = ""] = identityAnswer.parse(JSON.parse(answer.text)).svid_chain;
    return [encodeBase64url(sha256(parseBase64url(leaf)))];
  };
  return (await Promise.all(Array.from({ length: count }, one))).flat();
}

/** What the ledger says was issued. */
async function issuedIn(world: World): Promise<ReadonlySet<unknown>> {
  const ledger = openEvidence(world.server.adminSocket, 0);
  const issued = await ledger.matching({ kind: "issue" });
  const payloads = await Promise.all(issued.map(({ event_id }) => ledger.payloads(event_id)));
  return new Set(
    payloads.flat().map(({ details }) => new Map(Object.entries(details ?? {})).get("svid_sha256")),
  );
}

async function expectAllRecorded(home: World, certificates: readonly string[], when: string): Promise<void> {
  const restarted = home;
  await restarted.start();
  const issued = await issuedIn(restarted);
  const missing = certificates.filter((digest) => !issued.has(digest));
  expectSame(missing, [], `certificates without an entry, ${when}`);
  await restarted.child.stop();
}

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
