/** B14: evidence that breaks parsers. */
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { askDecision, visitIntent } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { callLiving, expectRefusal, UNPROVEN } from "../support/client.ts";
import { nestedDer } from "../support/der.ts";
import { signTicket } from "../support/documents.ts";
import { forgeCertificate } from "../support/forged.ts";
import { enrolWith } from "../support/visits.ts";

const DEPTH = 10_000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B14",
  title: "brings certificates with an empty list of purposes, truncated, bent and nested 10,000 deep",
  expected: "refused as malformed, 401 for a certificate and 400 for a key, and the process lives",
  weakening: "malformed-takes-the-process",
  world: {},
  prepare: async (world) => ({
    owner: await world.owner(),
    verifier: await world.enrolVerifier(),
    agent: await world.enrol(["read:transactions"]),
    noPurpose: await forgeCertificate(world.home, { purposes: [] }),
    from: world.source(),
  }),
  control: async (world, { verifier, agent }) => {
    const intent = visitIntent(agent, verifier);
    const answer = await askDecision(world.server, { caller: verifier, agent, intent });
    expectSame([answer.status, JSON.parse(answer.text).allow], [200, true], "an honest chain is decided on");
  },
  attack: async (world, { owner, verifier, agent, noPurpose, from }) => {
    const [leaf = "", issuer = ""] = agent.answer.svid_chain;
    const bytes = parseBase64url(leaf);
    const bent = Uint8Array.from(bytes);
    bent[1] = 0x84;
    const chains: Readonly<Record<string, readonly string[]>> = {
      "empty purposes": noPurpose.chain.map(encodeBase64url),
      truncated: [encodeBase64url(bytes.subarray(0, 200)), issuer],
      "a long form of length": [encodeBase64url(bent), issuer],
      "a byte too many": [encodeBase64url(Buffer.concat([bytes, Uint8Array.of(0)])), issuer],
      "nested deep": [encodeBase64url(nestedDer(1500)), issuer],
      "nothing at all": [""],
    };
    for (const [what, chain] of Object.entries(chains)) {
      const { envelope } = visitIntent(agent, verifier);
      const body = JSON.stringify({ intent: envelope, svid_chain: chain });
      const request = { method: "POST", target: "/v1/decisions", body };
      expectRefusal(await callLiving(world.server.url, request, { from, tls: verifier.tls }), UNPROVEN, what);
    }
    const spki = encodeBase64url(nestedDer(DEPTH).subarray(0, 6000));
    const ticket = signTicket(owner, { name: world.name("deep") });
    const answer = await enrolWith(world, ticket, { signer: createTestSigner(), from, body: { spki } });
    expectRefusal(answer, { status: 400, code: "public_key_refused" }, "a key nested deep");
    const deep = `${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`;
    const request = { method: "POST", target: "/v1/instances", body: deep };
    expectRefusal(
      await callLiving(world.server.url, request, { from }),
      { status: 400, code: "json_too_deep" },
      "deep JSON",
    );
  },
  evidence: async (ledger, { verifier }) => {
    const principal = verifier.answer.spiffe_id;
    await ledger.expect({ kind: "refuse", principal, reason: "svid_malformed" }, { atLeast: 5 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});
