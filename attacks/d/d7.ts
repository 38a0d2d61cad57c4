/** D7: names in certificates. */
import { createSecureContext } from "node:tls";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { visitIntent } from "../../test/support/actors.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { type ForgedCertificate, type Forgery, forgeCertificate } from "../support/forged.ts";

const OUTCOME = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome: "x" }) };

/** Names that some parser somewhere reads as another's. */
const forgeriesOf = (id: string): Readonly<Record<string, Forgery>> => ({
  "two URIs": { uris: [id, "spiffe://acme.test/admin"] },
  "two URIs, ours second": { uris: ["https://evil.test", id] },
  "the same URI twice": { uris: [id, id] },
  "the id in the common name": { uris: [], subject: `CN=${id}` },
  "no name at all": { uris: [], subject: "CN=nobody" },
  "a NUL": { uris: [`${id}\u0000.evil.test`] },
  "an upper-case scheme": { uris: [id.replace("spiffe", "SPIFFE")] },
  "an upper-case trust domain": { uris: [id.replace("acme", "ACME")] },
  "a percent": { uris: [id.replace("verifier", "ver%69fier")] },
  "a trailing slash": { uris: [`${id}/`] },
  "an empty segment": { uris: [id.replace("/verifier", "//verifier")] },
  "a dotted segment": { uris: [id.replace("/verifier", "/x/../verifier")] },
  "a query": { uris: [`${id}?x=1`] },
  "a fragment": { uris: [`${id}#x`] },
  "a port": { uris: [id.replace("acme.test", "acme.test:443")] },
  "a user": { uris: [id.replace("acme.test", "me@acme.test")] },
  "2,049 bytes": { uris: [id.padEnd(2049, "a")] },
  "the trust domain alone": { uris: ["spiffe://acme.test"] },
  "an authority": { isCa: true, uris: [id] },
  "another trust domain": { uris: [id.replace("acme.test", "other.test")] },
});

/** Whether OpenSSL, at the attacker's end, is willing to show the certificate at all. */
function isShowable({ tls }: ForgedCertificate): boolean {
  try {
    createSecureContext(tls);
    return true;
  } catch {
    // The attacker needs another library then; the certificate still comes in a body.
    return false;
  }
}

/** What each is refused as; anything else is malformed. */
const CODES: Readonly<Record<string, string>> = { "another trust domain": "trust_domain_unknown" };

function reasonsOf({ what }: { readonly what: string }): readonly string[] {
  return [CODES[what] ?? "svid_malformed"];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D7",
  title:
    "certificates of our own authority with two names, no name, NUL, capitals, percent, slashes and 2,049 bytes",
  expected: "refused by their form, before anybody asks who it is",
  weakening: "several-names-in-a-certificate",
  prepare: async (world) => {
    const victim = await world.enrolVerifier();
    const forged = Object.entries(forgeriesOf(victim.answer.spiffe_id)).map(async ([what, forgery]) => {
      const certificate = await forgeCertificate(world.home, forgery);
      return { what, certificate, isShowable: isShowable(certificate) };
    });
    return {
      forged: await Promise.all(forged),
      agent: await world.enrol(["read:transactions"]),
      verifier: await world.enrolVerifier(),
      from: world.source(),
    };
  },
  control: async (world, { verifier }) => {
    const answer = await call(world.server.url, OUTCOME, { tls: verifier.tls });
    expectSame(answer.status !== UNPROVEN.status, true, "a verifier with an honest certificate is known");
  },
  attack: async (world, { forged, agent, verifier, from }) => {
    const { envelope: intent } = visitIntent(agent, verifier);
    for (const { what, certificate, isShowable } of forged) {
      const { tls, chain } = certificate;
      if (isShowable) {
        expectRefusal(
          await call(world.server.url, OUTCOME, { from, tls }),
          UNPROVEN,
          `a certificate with ${what}`,
        );
      }
      const body = JSON.stringify({ intent, svid_chain: chain.map(encodeBase64url) });
      const request = { method: "POST", target: "/v1/decisions", body };
      expectRefusal(
        await call(world.server.url, request, { from, tls: verifier.tls }),
        UNPROVEN,
        `${what}, in a body`,
      );
    }
    expect(
      forged.filter(({ isShowable }) => isShowable).length > 10,
      "most certificates can be shown in a handshake",
    );
  },
  evidence: async (ledger, { forged, verifier }) => {
    const shown = forged.filter(({ isShowable }) => isShowable);
    const inHandshake = await ledger.expect({ kind: "refuse", principal: "unauthenticated" }, shown.length);
    expectSame(
      inHandshake.map(({ reasons }) => reasons),
      shown.map(reasonsOf),
      "reasons in handshakes",
    );
    const inBody = await ledger.expect(
      { kind: "refuse", principal: verifier.answer.spiffe_id },
      forged.length,
    );
    expectSame(
      inBody.map(({ reasons }) => reasons),
      forged.map(reasonsOf),
      "reasons in bodies",
    );
  },
});
