/** P11: a bundle endpoint that sends us elsewhere, and back in time. */
import { createTestDomain } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { codeOf, send } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { askFederation, openPartnerEndpoint } from "../support/partner.ts";

const PARTNER = "partner.test";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P11",
  title:
    "answers for a federated endpoint: redirects to a host of its own, replays the bundle with the withdrawn key, changes keys under the same number",
  expected: "refused: only the configured endpoint is believed, and no bundle is older than the last",
  weakening: "bundles-from-anywhere-and-anytime",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const endpoint = await openPartnerEndpoint();
    const elsewhere = await openPartnerEndpoint();
    const partner = createTestDomain(PARTNER);
    endpoint.publish({ body: formatTrustBundle({ ...partner.bundle, sequence: 5 }) });
    const place = { profile: "https_web", url: endpoint.url, web_ca: `${endpoint.ca}${elsewhere.ca}` };
    await askFederation(world, "", { trust_domain: PARTNER, endpoint: place });
    return { endpoint, elsewhere, partner };
  },
  control: async (world, { endpoint, partner }) => {
    // The partner withdraws its X.509 key.
    endpoint.publish({ body: formatTrustBundle({ ...partner.bundle, sequence: 6, x509Authorities: [] }) });
    const answer = await askFederation(world, `/${PARTNER}/refresh`, {});
    expectSame(answer.status, 200, "a withdrawal is taken");
  },
  attack: async (world, { endpoint, elsewhere, partner }) => {
    const before = await mapOf(world.server.url);
    const forged = createTestDomain(PARTNER).bundle;
    elsewhere.publish({ body: formatTrustBundle({ ...forged, sequence: 99 }) });
    const refresh = async () => codeOf(await askFederation(world, `/${PARTNER}/refresh`, {}));
    endpoint.publish({ status: 302, location: `${elsewhere.url}/bundle` });
    expectSame(await refresh(), "federation_untrusted", "a redirect to another origin");
    endpoint.publish({ status: 301, location: "/moved" });
    expectSame(await refresh(), "federation_untrusted", "a redirect to be remembered");
    endpoint.publish({ body: formatTrustBundle({ ...partner.bundle, sequence: 5 }) });
    expectSame(await refresh(), "federation_rollback", "the bundle with the withdrawn key");
    endpoint.publish({ body: formatTrustBundle({ ...forged, sequence: 6 }) });
    expectSame(await refresh(), "federation_rollback", "other keys under the same number");
    expectSame(await mapOf(world.server.url), before, "the published bundles are as they were");
    endpoint.close();
    elsewhere.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "operator", reason: "federation_untrusted" }, 2);
    await ledger.expect({ kind: "refuse", principal: "operator", reason: "federation_rollback" }, 2);
    await ledger.expect({ kind: "federation" }, 0);
  },
});

async function mapOf(url: string): Promise<string> {
  return (await send(url, { target: "/v1/bundles" })).text;
}
