/** D18: guessing. */
import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { ticketOf } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith, visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const ADDRESSES = 50;
const GUESSES = 1200;
const AT_ONCE = 24;
/** What the ledger may take of it: the total allowance of refusals, and a second of it for each second of the flood. */
const BURST = 300;
const PER_SECOND = 25;

/** Guesses with decoys: other accounts, other addresses, other members, other names for the same thing. */
async function guess(world: World, attempt: number, from: string | undefined): Promise<RawAnswer> {
  const owner = await world.owner();
  const noise = randomBytes(8).toString("hex");
  const headers = {
    "x-forwarded-for": `198.51.100.${attempt % 250}`,
    "x-request-id": noise,
    cookie: `s=${noise}`,
    "user-agent": noise,
  };
  if (attempt % 2 === 0) {
    return call(
      world.server.url,
      {
        target: "/v1/svids/renew",
        method: "POST",
        headers: { ...headers, authorization: `Bearer ${noise}` },
        body: JSON.stringify({ possession: noise, spki: "AAAA" }),
      },
      { from },
    );
  }
  const stranger = { ownerId: owner.ownerId, signer: createTestSigner() };
  const body = JSON.stringify({
    enrolment: signTicket(stranger, { name: `guess-${attempt}` }),
    possession: "x",
    spki: "AAAA",
  });
  return call(world.server.url, { target: "/v1/instances", method: "POST", headers, body }, { from });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D18",
  title: `guesses ${GUESSES.toLocaleString("en")} credentials with decoy fields, from ${ADDRESSES} addresses, in many names`,
  expected:
    "none fits; what is recorded stays within the allowance and the rest is counted; the honest go on",
  weakening: "refusals-without-allowance",
  world: {},
  prepare: async (world) => {
    await world.finance();
    await world.owner();
    return {
      agent: await world.enrol(["read:transactions"]),
      startedMs: Date.now(),
      owner: await world.owner(),
    };
  },
  control: async (world, { agent, owner }) => {
    expectSame((await visit(world, { agent })).status, 200, "an honest visit before");
    const ticket = ticketOf(owner, { name: world.name("honest") });
    expectSame(
      (await enrolWith(world, ticket, { signer: createTestSigner() })).status,
      200,
      "an honest enrolment before",
    );
  },
  mayChange: ["carriedOut"],
  attack: async (world, { agent }) => {
    const sources = Array.from({ length: ADDRESSES }, () => world.source());
    const attempts = Array.from({ length: GUESSES }, (_, attempt) => attempt)[Symbol.iterator]();
    const statuses = new Set<number>();
    let worstMs = 0;
    const guesser = async (): Promise<void> => {
      for (const attempt of attempts)
        statuses.add((await guess(world, attempt, sources[attempt % ADDRESSES])).status);
    };
    const honest = async (): Promise<void> => {
      for (let time = 0; time < 5; time += 1) {
        const startedMs = Date.now();
        expectSame((await visit(world, { agent })).status, 200, "an honest visit in the flood");
        worstMs = Math.max(worstMs, Date.now() - startedMs);
      }
    };
    await Promise.all([honest(), ...Array.from({ length: AT_ONCE }, guesser)]);
    expectSame([...statuses], [401], "answers to guesses");
    expect(worstMs < 3000, `the honest are not starved: ${worstMs} ms`);
    // The count of what was dropped follows within a second.
    await setTimeout(1500);
  },
  evidence: async (ledger, { startedMs }) => {
    const refusals = await ledger.matching({ kind: "refuse" });
    const seconds = (Date.now() - startedMs) / 1000;
    expect(
      refusals.length <= BURST + PER_SECOND * (seconds + 2),
      `${refusals.length} refusals in ${seconds.toFixed(1)} s are within the allowance`,
    );
    const counted = await ledger.expect({ kind: "refuse", reason: "rate_limited" }, { atLeast: 1 });
    const dropped = await Promise.all(
      counted.map(async ({ event_id }) => (await ledger.payloads(event_id))[0]?.details),
    );
    const total = dropped.reduce<number>(
      (sum, details) => sum + Number(new Map(Object.entries(details ?? {})).get("dropped")),
      0,
    );
    expectSame(total + refusals.length - counted.length, GUESSES, "guesses recorded or counted");
    await ledger.expect({ kind: "issue" }, 0);
  },
});
