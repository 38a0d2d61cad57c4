/** P10: a federated trust domain claims ours. */
import { createTestDomain } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatTrustBundle, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { codeOf, send } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { askFederation, openPartnerEndpoint } from "../support/partner.ts";

const PARTNER = "partner.test";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P10",
  title:
    "as the operator of a federated trust domain, publishes authorities in our name, our own keys, and asks for a relationship under our name",
  expected: "refused: a bundle speaks for its own trust domain alone; the last good one stays",
  weakening: "bundles-claim-anything",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const partner = createTestDomain(PARTNER);
    const endpoint = await openPartnerEndpoint();
    endpoint.publish({ body: formatTrustBundle(partner.bundle) });
    const { url, ca } = endpoint;
    const place = { profile: "https_web", url, web_ca: ca };
    await askFederation(world, "", { trust_domain: PARTNER, endpoint: place });
    const text = (await send(world.server.url, { target: "/v1/bundle" })).text;
    return { endpoint, partner, ours: parseTrustBundle(text, parseTrustDomain(TRUST_DOMAIN)) };
  },
  control: async (world, { endpoint, partner }) => {
    endpoint.publish({ body: formatTrustBundle({ ...partner.bundle, sequence: 2 }) });
    const answer = await askFederation(world, `/${PARTNER}/refresh`, {});
    expectSame(answer.status, 200, "the partner's next bundle is taken");
  },
  attack: async (world, { endpoint, ours }) => {
    const before = await mapOf(world.server.url);
    const claims = {
      "authorities of its own in our name": createTestDomain(TRUST_DOMAIN).bundle,
      "our own authorities": ours,
    };
    for (const [claim, bundle] of Object.entries(claims)) {
      endpoint.publish({ body: formatTrustBundle({ ...bundle, sequence: 9 }) });
      const answer = await askFederation(world, `/${PARTNER}/refresh`, {});
      expectSame(codeOf(answer), "federation_bundle_refused", claim);
    }
    const bundle = formatTrustBundle(createTestDomain(TRUST_DOMAIN).bundle);
    const direct = await askFederation(world, "", { trust_domain: TRUST_DOMAIN, endpoint: null, bundle });
    expectSame(codeOf(direct), "federation_malformed", "a relationship under our own name");
    expectSame(await mapOf(world.server.url), before, "the published bundles are as they were");
    endpoint.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "operator", reason: "federation_bundle_refused" }, 2);
    await ledger.expect({ kind: "federation" }, 0);
  },
});

async function mapOf(url: string): Promise<string> {
  return (await send(url, { target: "/v1/bundles" })).text;
}
