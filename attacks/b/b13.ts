/** B13: evidence that costs more than it is worth. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { enrolByEvidence } from "../support/attested.ts";
import { awsDocument, certificates, configureAws } from "../support/aws-documents.ts";
import { bagOf, nestedBer, rawOf, unsignedCertificate, wideBer } from "../support/bags.ts";
import { call, expectRefusal, MALFORMED, UNPROVEN } from "../support/client.ts";
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

/** The server trusts documents of a region and of Azure's service. */
function configure(): object {
  const { genuine } = certificates();
  const document = { roots: [genuine.pem], subscriptionIds: ["00000000-0000-4000-8000-000000000000"] };
  return { attestation: { ...configureAws().attestation, azure: { document } } };
}

/** Evidence in signed bags, of every costly kind. */
function evidenceAttacks(world: World, from: string | undefined): Record<string, () => Promise<void>> {
  const refused = (type: string, pkcs7: string, expected: Parameters<typeof expectRefusal>[1]) => async () =>
    expectRefusal(await enrolByEvidence(world, { type, pkcs7 }, { from }), expected, type);
  const genuine = rawOf(certificates().genuine);
  const text = awsDocument();
  const bag = (count: number) =>
    bagOf(
      Array.from({ length: count }, () => genuine),
      text,
    );
  return {
    "a document signed by a huge RSA key": refused(
      "azure_document",
      bagOf([unsignedCertificate(16_384)], text),
      UNPROVEN,
    ),
    "a bag of 100 certificates": refused("aws_pkcs7", bag(100), MALFORMED),
    "a bag of as many certificates as fit": refused("aws_pkcs7", bag(14), UNPROVEN),
    "elements 4,000 deep": refused("aws_pkcs7", nestedBer(4000), UNPROVEN),
    "8,000 elements": refused("aws_pkcs7", wideBer(8000), UNPROVEN),
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B13",
  title: "brings RSA keys of 16,384 bits, chains and bags of 100 certificates, deep and wide ones, and 10 MB",
  expected: `refused, for less than ${MAX_CPU_MS} ms of processor time each`,
  weakening: "any-body-size",
  world: { configure },
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
    for (const [what, ask] of Object.entries({ ...attacks, ...evidenceAttacks(world, from) })) {
      const costMs = await costOf(world, ask);
      expect(costMs < MAX_CPU_MS, `${what} costs less than ${MAX_CPU_MS} ms, and not ${costMs.toFixed(1)}`);
    }
  },
  evidence: async (ledger) => {
    // What does not parse leaves nothing, or writing would be the attack; bad evidence is a bad credential, and counted.
    for (const { kind, reasons } of await ledger.events()) {
      expectSame(kind, "refuse", "what is written of it");
      expect(
        reasons[0]?.startsWith("attestation_") === true,
        `only evidence is written of, and not ${reasons}`,
      );
    }
  },
});
