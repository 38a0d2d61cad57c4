/** The guide to OAuth, whose programs run here: an agent that gets a token, and a service that verifies it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { generateKeyPair, generateProof } from "dpop";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createOwner, enrolAgent, type TestInstance, type TestOwner, ticketOf } from "./support/actors.ts";
import { jsonOf, send } from "./support/http.ts";
import { fetchOver, type OAuthServer, postForm, startOAuthServer } from "./support/oauth.ts";

const ROOT = join(import.meta.dirname, "..");
const GUIDE = readFileSync(join(ROOT, "docs/guides/oauth.md"), "utf8");
const RESOURCE = "https://reports.acme.example";
const [client = "", service = "", ...others] = [...GUIDE.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, text = ""]) => text,
);
let place: OAuthServer;
let owner: TestOwner;
let agent: TestInstance;
let programs: string;

beforeAll(async () => {
  place = await startOAuthServer();
  owner = await createOwner(place.server);
  agent = await enrolAgent(place.server, owner, { scope: ["read:reports"] });
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  programs = mkdtempSync(join(ROOT, ".cache", "oauth-guide-"));
});
afterAll(async () => {
  vi.unstubAllGlobals();
  rmSync(programs, { recursive: true, force: true });
  await place.close();
});

/** A program of the guide as a module, for this server. */
async function load(name: string, text: string): Promise<Record<string, unknown>> {
  const file = join(programs, `${name}.ts`);
  writeFileSync(file, text.replaceAll("https://id.acme.example", place.web));
  return import(file);
}

/** The service of the guide, and the web as it is on this machine. */
async function startService() {
  const { verifyRequest } = await load("service", service);
  if (typeof verifyRequest !== "function") throw new Error("the guide's service verifies requests");
  const shown: unknown[] = [];
  const web = fetchOver();
  vi.stubGlobal("fetch", async (url: string | URL, options: RequestInit = {}) => {
    if (!String(url).startsWith(RESOURCE)) return web(String(url), options);
    shown.push(await verifyRequest(new Request(url, options)));
    return new Response("reports");
  });
  return { shown, verify: (request: Request) => verifyRequest(request) };
}

async function tokenFor(pair: Awaited<ReturnType<typeof generateKeyPair>>): Promise<string> {
  const url = `${place.server.url}/oauth/token`;
  const nonce = String((await postForm(place.server, "/oauth/token", { form: {} })).headers["dpop-nonce"]);
  const dpop = await generateProof(pair, url, "POST", nonce);
  const form = { grant_type: "client_credentials", client_id: agent.answer.spiffe_id, resource: RESOURCE };
  const answer = await postForm(place.server, "/oauth/token", { form, tls: agent.tls, headers: { dpop } });
  return String(jsonOf(answer).access_token);
}

describe("the guide to OAuth", () => {
  it("has two programs", () => {
    expect([client.length > 0, service.length > 0, others.length]).toEqual([true, true, 0]);
  });

  it("has an agent that gets a token and reads with it, and a service that takes it", async () => {
    const { shown } = await startService();
    const { authorities_sha256: authoritiesSha256 } = discovery.parse(
      jsonOf(await send(place.server.url, { target: "/.well-known/trustwarden" })),
    );
    const ticket = ticketOf(owner, { name: "reporter", scope: ["read:reports"] });
    const value = formatTicketValue({ authoritiesSha256, server: place.server.url, ticket });
    const named = client.replace(
      '{ name: "reporter" }',
      `{ name: "reporter", ticket: ${JSON.stringify(value)} }`,
    );
    expect(named).not.toBe(client);
    await load("client", named);
    expect(shown).toMatchObject([{ aud: RESOURCE, scope: "read:reports" }]);
  });

  it("has a service that refuses another's key, another request, and the same proof again", async () => {
    const { verify } = await startService();
    const pair = await generateKeyPair("ES256");
    const token = await tokenFor(pair);
    const ask = async (by = pair, url = `${RESOURCE}/a`, method = "GET") => {
      const dpop = await generateProof(by, url, method, undefined, token);
      return new Request(`${RESOURCE}/a`, { headers: { authorization: `DPoP ${token}`, dpop } });
    };
    const honest = await ask();
    expect(await verify(honest)).toMatchObject({ sub: agent.answer.spiffe_id });
    await expect(verify(honest)).rejects.toThrow("does not hold");
    await expect(verify(await ask(await generateKeyPair("ES256")))).rejects.toThrow("does not hold");
    await expect(verify(await ask(pair, `${RESOURCE}/b`))).rejects.toThrow("does not hold");
    await expect(verify(await ask(pair, `${RESOURCE}/a`, "POST"))).rejects.toThrow("does not hold");
    const bearer = new Request(RESOURCE, { headers: { authorization: `Bearer ${token}` } });
    await expect(verify(bearer)).rejects.toThrow("bound");
  });
});
