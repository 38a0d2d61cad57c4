/** B13: evidence that costs more than it is worth. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED } from "../support/client.ts";
import { rsaSpki } from "../support/der.ts";
import { cpuMsOf } from "../support/usage.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Enough to average the system's ticks of 10 ms. */
const TIMES = 8;
const MAX_CPU_MS = 50;
const TEN_MEGABYTES = 10_000_000;

/** Processor time of the server for one call, on average. */
async function costOf(world: World, ask: () => Promise<void>): Promise<number> {
  const { pid } = world.child;
  const before = cpuMsOf(pid);
  for (let time = 0; time < TIMES; time += 1) await ask();
  return (cpuMsOf(pid) - before) / TIMES;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B13",
  title: "brings an RSA key of 16,384 bits, a chain of 100 certificates and 10 MB of evidence",
  expected: `refused, for less than ${MAX_CPU_MS} ms of processor time each`,
  weakening: "any-body-size",
  prepare: async (world) => ({
    owner: await world.owner(),
    verifier: await world.enrolVerifier(),
    agent: await world.enrol(["read:transactions"]),
    from: world.source(),
  }),
  control: async (world, { owner }) => {
    const ticket = ticketOf(owner, { name: world.name("honest") });
    expectSame(
      (await enrolWith(world, ticket, { signer: createTestSigner() })).status,
      200,
      "honest evidence",
    );
  },
  attack: async (world, { owner, verifier, agent, from }) => {
    const spki = encodeBase64url(rsaSpki(16_384, 3));
    const [leaf = ""] = agent.answer.svid_chain;
    const chain = JSON.stringify({ intent: "x", svid_chain: Array.from({ length: 100 }, () => leaf) });
    const huge = JSON.stringify({ enrolment: "A".repeat(TEN_MEGABYTES), possession: "x", spki: "AAAA" });
    const attacks = {
      "a huge RSA key": async () => {
        const ticket = ticketOf(owner, { name: world.name("huge") });
        const answer = await enrolWith(world, ticket, { signer: createTestSigner(), from, body: { spki } });
        expectRefusal(answer, { status: 400, code: "public_key_refused" }, "a huge RSA key");
      },
      "a chain of 100 certificates": async () => {
        const request = { method: "POST", target: "/v1/decisions", body: chain };
        expectRefusal(
          await call(world.server.url, request, { from, tls: verifier.tls }),
          MALFORMED,
          "a long chain",
        );
      },
      "ten megabytes": async () => {
        const request = { method: "POST", target: "/v1/instances", body: huge };
        // The server answers and closes without reading on; the rest of what is sent may break on its side.
        const answer = await call(world.server.url, request, { from }).catch(() => undefined);
        const isRefused = answer === undefined || answer.status === 413;
        expect(isRefused, `ten megabytes are refused as too large, and not ${answer?.status}`);
      },
    };
    for (const [what, ask] of Object.entries(attacks)) {
      const costMs = await costOf(world, ask);
      expect(costMs < MAX_CPU_MS, `${what} costs less than ${MAX_CPU_MS} ms, and not ${costMs.toFixed(1)}`);
    }
  },
  evidence: async (ledger) => {
    // None of it parses: nothing may be written, or writing would be the attack.
    await ledger.expectNothing();
  },
});
