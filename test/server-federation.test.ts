/**
 * Federation between real servers, both profiles, both ways; and endpoints that lie.
 */
import { copyFileSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import { createTestDomain } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatTrustBundle, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { type FederationAnswer, federationAnswer } from "@trustwarden/core/api/federation.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serverIdOf } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";
import { createWebCertificate } from "./support/web-certificate.ts";

const PARTNER = "partner.test";
const web = createWebCertificate();
let own: TestServer;
let partner: TestServer;

beforeAll(async () => {
  own = await startTestServer();
  partner = await startTestServer({
    trustDomain: PARTNER,
    federation: { web: { port: 0, certFile: web.certFile, keyFile: web.keyFile } },
  });
});
afterAll(async () => {
  await Promise.all([own.close(), partner.close()]);
  own.home.remove();
  partner.home.remove();
  web.remove();
});

const post = (server: TestServer, target: string, body: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
const answerOf = (answer: RawAnswer): FederationAnswer => federationAnswer.parse(jsonOf(answer));
const bundleOf = async (server: TestServer) => (await send(server.url, { target: "/v1/bundle" })).text;
const mapOf = async (server: TestServer) =>
  parseBundleMap((await send(server.url, { target: "/v1/bundles" })).text);
const forget = (trustDomain: string) => post(own, `/v1/federations/${trustDomain}/removal`, {});
const webEndpoint = (url: string, ca: string | null = web.ca) => ({
  profile: "https_web",
  url,
  web_ca: ca,
});

describe("federation by https_spiffe", () => {
  const relate = async (server: TestServer, other: TestServer, trustDomain: string, bundle: string) =>
    post(server, "/v1/federations", {
      trust_domain: trustDomain,
      endpoint: {
        profile: "https_spiffe",
        url: `${other.url}/v1/bundle`,
        endpoint_spiffe_id: await serverIdOf(other),
      },
      bundle,
    });

  it("F-4 is proven by the bundle at hand, both ways, and then publishes the other's bundle in the map", async () => {
    expect(answerOf(await relate(own, partner, PARTNER, await bundleOf(partner)))).toMatchObject({
      trust_domain: PARTNER,
      profile: "https_spiffe",
      x509_authorities: 1,
      jwt_authorities: 1,
      failure: null,
      fetched_at: expect.any(Number),
    });
    expect(answerOf(await relate(partner, own, TRUST_DOMAIN, await bundleOf(own))).failure).toBe(null);
    for (const server of [own, partner]) {
      const map = await mapOf(server);
      expect([...map.keys()].sort()).toEqual([TRUST_DOMAIN, PARTNER]);
      for (const [name, other] of [
        [TRUST_DOMAIN, own],
        [PARTNER, partner],
      ] as const) {
        const bundle = map.get(parseTrustDomain(name));
        expect(bundle && formatTrustBundle(bundle)).toBe(await bundleOf(other));
      }
    }
    expect(codeOf(await relate(own, partner, PARTNER, await bundleOf(partner)))).toBe("federation_exists");
  });

  it("is over with its removal: the bundle is gone from the map at once", async () => {
    const { epoch } = jsonOf(await forget(PARTNER));
    expect(epoch).toBeGreaterThan(0);
    expect([...(await mapOf(own)).keys()]).toEqual([TRUST_DOMAIN]);
    expect(codeOf(await forget(PARTNER))).toBe("not_found");
  });

  it("needs a bundle to begin with, and refuses an endpoint that the bundle does not prove", async () => {
    const endpoint = {
      profile: "https_spiffe",
      url: `${partner.url}/v1/bundle`,
      endpoint_spiffe_id: await serverIdOf(partner),
    };
    const without = await post(own, "/v1/federations", { trust_domain: PARTNER, endpoint });
    expect(codeOf(without)).toBe("federation_malformed");
    const forged = formatTrustBundle(createTestDomain(PARTNER).bundle);
    const made = await post(own, "/v1/federations", { trust_domain: PARTNER, endpoint, bundle: forged });
    expect(answerOf(made)).toMatchObject({ failure: "federation_untrusted", fetched_at: null });
    expect(codeOf(await post(own, `/v1/federations/${PARTNER}/refresh`, {}))).toBe("federation_untrusted");
    await forget(PARTNER);
  });

  it("refuses an endpoint with another SPIFFE ID than the configured one", async () => {
    const made = await post(own, "/v1/federations", {
      trust_domain: PARTNER,
      endpoint: {
        profile: "https_spiffe",
        url: `${partner.url}/v1/bundle`,
        endpoint_spiffe_id: `spiffe://${PARTNER}/spire/server`,
      },
      bundle: await bundleOf(partner),
    });
    expect(answerOf(made).failure).toBe("federation_untrusted");
    await forget(PARTNER);
  });
});

describe("federation by https_web", () => {
  it("F-3 serves the bundle as JSON to anybody, by GET alone, and nothing that is not public", async () => {
    const url = String(partner.webUrl);
    const answer = await send(url, { target: "/v1/bundle" });
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json; charset=utf-8"]);
    expect(parseTrustBundle(answer.text, parseTrustDomain(PARTNER)).x509Authorities).toHaveLength(1);
    expect((await send(url, { method: "POST", target: "/v1/bundle", body: "{}" })).status).toBe(404);
    for (const target of ["/v1/agents", "/v1/nonce", "/.well-known/trustwarden", "/ledger/checkpoint"]) {
      expect((await send(url, { target })).status, target).toBe(404);
    }
  });

  it("takes the bundle from an endpoint that the named authority certifies", async () => {
    const endpoint = webEndpoint(`${partner.webUrl}/v1/bundle`);
    const made = answerOf(await post(own, "/v1/federations", { trust_domain: PARTNER, endpoint }));
    expect(made).toMatchObject({ profile: "https_web", failure: null, x509_authorities: 1 });
    await forget(PARTNER);
  });

  it("F-2 takes nothing from an endpoint that the web's authorities do not know", async () => {
    const endpoint = webEndpoint(`${partner.webUrl}/v1/bundle`, null);
    const made = answerOf(await post(own, "/v1/federations", { trust_domain: PARTNER, endpoint }));
    expect(made).toMatchObject({ failure: "federation_untrusted", sequence: null });
    expect([...(await mapOf(own)).keys()]).toEqual([TRUST_DOMAIN]);
    await forget(PARTNER);
  });

  it("follows its certificate files, and keeps the old pair when the new one does not fit", async () => {
    const next = createWebCertificate();
    const other = createWebCertificate();
    const files = createWebCertificate();
    const server = await startTestServer({
      trustDomain: "third.test",
      federation: { web: { port: 0, certFile: files.certFile, keyFile: files.keyFile } },
    });
    const refresh = async (ca: string) => {
      const endpoint = webEndpoint(`${server.webUrl}/v1/bundle`, ca);
      const made = answerOf(await post(own, "/v1/federations", { trust_domain: "third.test", endpoint }));
      await forget("third.test");
      return made.failure;
    };
    expect(await refresh(files.ca)).toBe(null);
    copyFileSync(next.certFile, files.certFile);
    copyFileSync(next.keyFile, files.keyFile);
    await expect.poll(() => refresh(next.ca), { timeout: 12_000, interval: 500 }).toBe(null);
    copyFileSync(other.certFile, files.certFile);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    expect(await refresh(next.ca)).toBe(null);
    await server.close();
    server.home.remove();
    for (const { remove } of [next, other, files]) remove();
  }, 30_000);
});

describe("an endpoint that lies", () => {
  type Reply = { readonly status?: number; readonly location?: string; readonly body?: string };
  let endpoint: Server;
  let url: string;
  let reply: (path: string) => Reply = () => ({});

  beforeAll(async () => {
    const pair = { cert: readFileSync(web.certFile), key: readFileSync(web.keyFile) };
    endpoint = createServer(pair, (request, response) => {
      const { status = 200, location, body = "" } = reply(String(request.url));
      response.writeHead(status, location === undefined ? {} : { location });
      response.end(body);
    });
    await new Promise<void>((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
    const { port } = Object(endpoint.address()) as AddressInfo; // the one cast: a TCP server's address
    url = `https://127.0.0.1:${port}`;
    reply = () => ({ body: formatTrustBundle({ ...liar.bundle, sequence: 5 }) });
    await post(own, "/v1/federations", { trust_domain: "liar.test", endpoint: webEndpoint(`${url}/bundle`) });
  });
  afterAll(() => {
    endpoint.closeAllConnections();
    endpoint.close();
  });

  const liar = createTestDomain("liar.test");
  const refresh = async (next: typeof reply) => {
    reply = next;
    const answer = await post(own, "/v1/federations/liar.test/refresh", {});
    return answer.status === 200 ? answerOf(answer).sequence : codeOf(answer);
  };
  const bundle = (sequence: number, from = liar) => formatTrustBundle({ ...from.bundle, sequence });

  it("does not bring an older bundle back, nor other keys under the same number", async () => {
    expect(await refresh(() => ({ body: bundle(6) }))).toBe(6);
    expect(await refresh(() => ({ body: bundle(5) }))).toBe("federation_rollback");
    expect(await refresh(() => ({ body: bundle(6, createTestDomain("liar.test")) }))).toBe(
      "federation_rollback",
    );
    expect((await mapOf(own)).get(liar.trustDomain)?.sequence).toBe(6);
  });

  it("cannot claim our trust domain, by name or by key", async () => {
    const ours = parseTrustBundle(await bundleOf(own), parseTrustDomain("liar.test"));
    expect(await refresh(() => ({ body: formatTrustBundle({ ...ours, sequence: 7 }) }))).toBe(
      "federation_bundle_refused",
    );
    const stranger = createTestDomain(TRUST_DOMAIN);
    expect(await refresh(() => ({ body: bundle(7, stranger) }))).toBe("federation_bundle_refused");
    const direct = await post(own, "/v1/federations", {
      trust_domain: TRUST_DOMAIN,
      endpoint: null,
      bundle: bundle(1),
    });
    expect(codeOf(direct)).toBe("federation_malformed");
  });

  it.each([
    [301, "/moved"],
    [308, "/moved"],
    [302, "https://127.0.0.1:1/bundle"],
    [307, "http://127.0.0.1/bundle"],
    [302, "https://user@127.0.0.1/bundle"],
    [302, "/bundle"],
  ])("F-6 cannot send us away: %i to %s", async (status, location) => {
    expect(await refresh(() => ({ status, location }))).toBe("federation_untrusted");
  });

  it("F-6 may send us to another path of its own for now, and is asked at the first one again", async () => {
    const asked: string[] = [];
    const elsewhere = (path: string): Reply => {
      asked.push(path);
      return path === "/bundle" ? { status: 307, location: "/elsewhere" } : { body: bundle(8) };
    };
    expect(await refresh(elsewhere)).toBe(8);
    expect(await refresh(elsewhere)).toBe(8);
    expect(asked).toEqual(["/bundle", "/elsewhere", "/bundle", "/elsewhere"]);
  });

  it("F-8 changes nothing when it fails, says nothing, or says too much", async () => {
    for (const next of [
      { status: 500 },
      { status: 404 },
      { body: "" },
      { body: "{}" },
      { body: " ".repeat(1_048_577) },
      { body: '{"keys":[],"keys":[]}' },
    ]) {
      expect(await refresh(() => next)).toBe("federation_unreachable");
    }
    expect((await mapOf(own)).get(liar.trustDomain)?.sequence).toBe(8);
    expect(jsonOf(await sendAdmin(own.adminSocket, { target: "/v1/federations" }))).toMatchObject({
      federations: [{ trust_domain: "liar.test", failure: "federation_unreachable", sequence: 8 }],
    });
  });

  it("B-1 takes everything back with an empty bundle", async () => {
    expect(await refresh(() => ({ body: '{"keys":[],"spiffe_sequence":9}' }))).toBe(9);
    expect((await mapOf(own)).get(liar.trustDomain)?.x509Authorities).toEqual([]);
  });
});
