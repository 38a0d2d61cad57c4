/** A8: which owners exist, by the text of a refusal, its code, its headers or its time. */
import { randomBytes } from "node:crypto";
import { formatUlid } from "@trustwarden/core/id.ts";
import { createOwner, ownerRequest, serverIdOf, type TestOwner } from "../../test/support/actors.ts";
import { type RawAnswer, type RawRequest, sendOver } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, openAgent } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { callAsOwner, enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Tries of each kind, one after the other by turns, so that whatever else the machine does falls on both. */
const TRIES = 250;
/** Of medians, as the catalogue has it: a network between hides far more. */
const MAX_DIFFERENCE_MS = 1;
/** Headers that say when, and not what. */
const PASSING = new Set(["date", "trustwarden-nonce", "x-request-id", "request-id"]);

const ULID = () => formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length)));

/** Somebody who signs with a key of its own in the name of an owner. */
const impostorOf = (ownerId: string): TestOwner => ({ ownerId, signer: createTestSigner() });

function signedBy(world: World, impostor: TestOwner): Promise<RawRequest> {
  return serverIdOf(world.server).then((aud) => ownerRequest(impostor, { target: "/v1/agents", aud }));
}

/** What a prober sees. */
function seen({ status, text, headers }: RawAnswer) {
  const shown = Object.entries(headers).filter(([name]) => !PASSING.has(name));
  return { status, text, headers: shown.toSorted(([left], [right]) => (left < right ? -1 : 1)) };
}

/** Over one connection: a handshake takes longer than everything that is compared. */
async function timesOf(world: World, asked: readonly RawRequest[]): Promise<readonly (readonly number[])[]> {
  const agent = openAgent({ from: world.source() }, { maxSockets: 1 });
  const times: number[][] = asked.map(() => []);
  try {
    for (let tried = 0; tried < TRIES; tried += 1)
      for (const [kind, request] of asked.entries()) {
        const startedMs = performance.now();
        await sendOver(world.server.url, request, agent);
        times[kind]?.push(performance.now() - startedMs);
      }
  } finally {
    agent.destroy();
  }
  return times;
}

const medianOf = (times: readonly number[]): number =>
  times.toSorted((left, right) => left - right)[Math.floor(times.length / 2)] ?? Number.NaN;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A8",
  title:
    "asks in the names of owners who exist and of owners who do not, and compares the answers and their times",
  expected: "the same answer to both, and medians less than a millisecond apart",
  weakening: "owners-told-apart",
  prepare: async (world) => ({
    alice: await createOwner(world.server, world.name("known")),
    nobody: `own_${ULID()}`,
  }),
  control: async (world, { alice }) => {
    expectSame((await callAsOwner(world, { target: "/v1/agents" }, alice)).status, 200, "the owner itself");
  },
  attack: async (world, { alice, nobody }) => {
    const [known, unknown] = [impostorOf(alice.ownerId), impostorOf(nobody)];
    const asked = [await signedBy(world, known), await signedBy(world, unknown)] as const;
    const [one, other] = [await call(world.server.url, asked[0]), await call(world.server.url, asked[1])];
    expectSame(one.status, 401, "a request in the name of an owner");
    expectSame(seen(other), seen(one), "the answer about an owner who does not exist");
    const tickets = [known, unknown].map((impostor) => signTicket(impostor, { name: world.name("probe") }));
    const [first, second] = [
      await enrolWith(world, tickets[0] ?? "", { signer: createTestSigner() }),
      await enrolWith(world, tickets[1] ?? "", { signer: createTestSigner() }),
    ];
    expectSame(seen(second), seen(first), "the answer to a ticket of an owner who does not exist");
    const [ofKnown = Number.NaN, ofUnknown = Number.NaN] = (await timesOf(world, asked)).map(medianOf);
    const difference = Math.abs(ofKnown - ofUnknown);
    expect(difference < MAX_DIFFERENCE_MS, `medians differ by ${difference.toFixed(3)} ms`);
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "unauthenticated" }, { atLeast: 2 });
  },
});
