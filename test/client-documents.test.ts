/** Clients that are named by a URL, at the token endpoint. */
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseClientDocument, requireClientOf } from "@trustwarden/core/client-document.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, type TestInstance } from "./support/actors.ts";
import { type ClientHost, startClientHost } from "./support/client-host.ts";
import { jsonOf, sendAdmin } from "./support/http.ts";
import { JWT_BEARER, startIdentityProvider } from "./support/identity-provider.ts";
import { claimsOf, oauthErrorOf, postForm, RESOURCE } from "./support/oauth.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ISSUER = "https://acme.test/oauth";
let host: ClientHost;
let idp: Awaited<ReturnType<typeof startIdentityProvider>>;
let server: TestServer;
let agent: TestInstance;

beforeAll(async () => {
  [host, idp] = [await startClientHost(), await startIdentityProvider("ES256")];
  const keys = { jwks: { url: idp.keysUrl, allowPrivate: true } };
  server = await startTestServer({
    oauth: {
      clientDocuments: { origins: [{ url: host.origin, allowPrivate: true }] },
      grantIssuers: [{ issuer: idp.issuer, keys, owners: { alice: "alice" } }],
    },
  });
  agent = await enrolAgent(server, await createOwner(server));
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  host.close();
  idp.close();
});

const ask = (client_id: string, tls: TestInstance["tls"] | null = agent.tls, more: object = {}) =>
  postForm(server, "/oauth/token", {
    form: { grant_type: "client_credentials", client_id, resource: RESOURCE, ...more },
    ...(tls === null ? {} : { tls }),
  });
const lastRefusal = async () => (await eventsOf(server, "refuse"))[0]?.reasons[0];

describe("a client that is named by a URL", () => {
  it("is the one whose SPIFFE ID its document names; its token has the SPIFFE ID", async () => {
    const path = "/reporter";
    const url = host.put(path, { client_id: `${host.origin}${path}`, spiffe_id: "spiffe://acme.test/*" });
    const answer = await ask(url);
    expect(claimsOf(String(jsonOf(answer).access_token)).client_id).toBe(agent.answer.spiffe_id);
    const metadata = await sendAdmin(server.adminSocket, {
      target: "/.well-known/oauth-authorization-server/oauth",
    });
    expect(jsonOf(metadata).client_id_metadata_document_supported).toBe(true);
  });

  it("are our own agents elsewhere, by a document that is what we ask of others", async () => {
    const answer = await sendAdmin(server.adminSocket, { target: "/oauth/client" });
    const document = parseClientDocument(parseJsonObject(answer.text), "https://acme.test/oauth/client");
    const spiffeId = parseSpiffeId(agent.answer.spiffe_id);
    requireClientOf(document, { spiffeId, method: "spiffe_jwt", grantType: JWT_BEARER });
    expect(answer.text).not.toContain("orchestrator");
  });

  it("is nobody without an SVID, and then nothing is fetched", async () => {
    const url = host.put("/unproven", {
      client_id: `${host.origin}/unproven`,
      spiffe_id: "spiffe://acme.test/*",
    });
    expect(oauthErrorOf(await ask(url, null))).toBe("401 invalid_client");
    expect(host.asked).not.toContain("/unproven");
  });

  it("is refused when its document is another's, says another URL, or lies elsewhere", async () => {
    const other = host.put("/other", {
      client_id: `${host.origin}/other`,
      spiffe_id: "spiffe://acme.test/other/*",
    });
    const mismatch = host.put("/mismatch", { client_id: other, spiffe_id: "spiffe://acme.test/*" });
    for (const url of [
      other,
      mismatch,
      `${host.origin}/missing`,
      "https://169.254.169.254/c",
      "https://x.example/c",
    ]) {
      expect([url, oauthErrorOf(await ask(url))]).toEqual([url, "401 invalid_client"]);
      expect(await lastRefusal()).toBe("client_document_refused");
    }
  });

  it("may be named so by a grant of an identity provider, when it came by that name", async () => {
    const url = host.put("/named", { client_id: `${host.origin}/named`, spiffe_id: "spiffe://acme.test/*" });
    const claims = {
      sub: "alice",
      aud: ISSUER,
      client_id: url,
      resource: RESOURCE,
      scope: "read:transactions",
    };
    const grant = async () => ({ grant_type: JWT_BEARER, assertion: await idp.grant(claims) });
    expect((await ask(url, agent.tls, await grant())).status).toBe(200);
    expect(oauthErrorOf(await ask(agent.answer.spiffe_id, agent.tls, await grant()))).toBe(
      "400 invalid_grant",
    );
  });
});
