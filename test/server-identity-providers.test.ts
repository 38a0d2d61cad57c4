/** People who sign in through a real identity provider: who they become, what they may, and what still takes a passkey. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enrolWith } from "./support/actors.ts";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { provenEventsOf } from "./support/evidence.ts";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import {
  beginAt,
  publicClient,
  type Returned,
  settingOf,
  signInAt,
  startOidcProvider,
  type TestProvider,
} from "./support/oidc-provider.ts";
import { depositTicket, signTicket } from "./support/passkey-documents.ts";
import {
  challengeFor,
  cookieOf,
  createLink,
  createPerson,
  originOf,
  sendConsole,
  type TestPerson,
} from "./support/people.ts";
import { eventsOf, expectRefused, payloadsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

let provider: TestProvider;
let server: TestServer;
let admin: TestPerson;
let offsetMs = 0;
const clock = { nowMs: () => Date.now() + offsetMs, monoMs: () => performance.now() };
const home = createHome();

beforeAll(async () => {
  provider = await startOidcProvider();
  const settings = { console: { port: 0, identityProviders: [settingOf(provider)] } };
  server = await startTestServer(settings, home, clock);
  await provider.serve([publicClient(server)]);
  admin = await createPerson(server);
});
afterAll(async () => {
  await server.close();
  provider.close();
  home.remove();
});

const post = (target: string, body: object, cookie?: string) =>
  sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, cookie);
const come = async (login: string, link: object | string, more: object = {}) => {
  const made = typeof link === "string" ? link : await createLink(server, link);
  const returned = await signInAt(server, login);
  return post("/v1/people/by-provider", { link: made, name: "Grace", ...returned, ...more });
};
const logIn = async (login: string) => post("/v1/session/by-provider", await signInAt(server, login));
const sessionOf = (answer: RawAnswer) => sendConsole(server, { target: "/v1/session" }, cookieOf(answer));
const firstPasskey = async (
  answer: RawAnswer,
  authenticator = new SoftwareAuthenticator({ origin: originOf(server) }),
) => {
  const credential = authenticator.create(await challengeFor(server, "register"));
  const made = await post("/v1/session/passkeys/first", { credential }, cookieOf(answer));
  return { made, authenticator };
};

describe("an identity provider", () => {
  it("is shown to everybody by its name, and asked with PKCE, a nonce and our one address for it", async () => {
    const list = jsonOf(await sendConsole(server, { target: "/v1/identity-providers" }));
    expect(list).toEqual({ providers: [{ name: "acme", label: "Acme" }] });
    const { url } = await beginAt(server);
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      response_type: "code",
      client_id: "trustwarden",
      scope: "openid",
      redirect_uri: `${originOf(server)}/app/signed-in/acme`,
      code_challenge_method: "S256",
    });
    const other = await sendConsole(server, { target: "/v1/identity-providers/other/options" });
    expect([other.status, codeOf(other)]).toEqual([404, "not_found"]);
  });
});

describe("somebody with an invitation", () => {
  it("comes in by the provider's word and is the same person each time", async () => {
    const came = await come("grace", { roles: ["auditor"] });
    expect([came.status, jsonOf(came)]).toEqual([
      200,
      expect.objectContaining({ via: "oidc", roles: ["auditor"], passkeys: [] }),
    ]);
    const again = await logIn("grace");
    expect(jsonOf(again).person_id).toBe(jsonOf(came).person_id);
    const agents = await sendConsole(server, { target: "/v1/agents" }, cookieOf(again));
    expect(agents.status).toBe(200);
    const people = await sendConsole(server, { target: "/v1/people?limit=500" }, admin.cookie);
    expect(people.text).toContain(provider.issuer);
    const [event] = await eventsOf(server, "session");
    const [record] = event === undefined ? [] : await payloadsOf(server, event);
    expect(JSON.stringify(record)).toContain(provider.issuer);
    expect(JSON.stringify(record)).not.toContain("grace");
  });

  it("is one person: a subject that is somebody makes nobody else", async () => {
    const answer = await come("grace", { roles: ["operator"] });
    expect([answer.status, codeOf(answer)]).toEqual([409, "person_exists"]);
  });

  it("is nobody by an address alone, and makes no second person of one that looks like it", async () => {
    await expectRefused(server, () => logIn("nobody"), "identity_unknown");
    const answer = await come("carol", { roles: ["auditor"] }, { address: "barbara@acme.test" });
    expect(answer.status).toBe(200);
    const alike = await come("dave", { roles: ["auditor"] }, { address: "Bar.bara+2@acme.test" });
    expect([alike.status, codeOf(alike)]).toEqual([409, "person_exists"]);
  });

  it("may not be the first admin, nor recovered, that way", async () => {
    const recovery = await createLink(server, { person: admin.personId });
    await expectRefused(server, () => come("mallory", recovery), "link_invalid");
    const unknown = await createLink(server, { roles: ["auditor"] });
    const altered = (unknown.startsWith("A") ? "B" : "A") + unknown.slice(1);
    await expectRefused(server, () => come("mallory", altered), "link_invalid");
  });
});

describe("what comes back with a browser", () => {
  const login = (returned: Returned) => post("/v1/session/by-provider", returned);
  beforeAll(async () => void (await come("heidi", { roles: ["auditor"] })));

  it("counts once", async () => {
    const returned = await signInAt(server, "heidi");
    expect((await login(returned)).status).toBe(200);
    await expectRefused(server, () => login(returned), "identity_refused");
  });

  it("is worth nothing without what the browser began with", async () => {
    const returned = await signInAt(server, "heidi");
    const stranger = await beginAt(server);
    const stolen = { ...returned, code_verifier: stranger.verifier };
    await expectRefused(server, () => login(stolen), "identity_refused");
    const other = await signInAt(server, "heidi");
    await expectRefused(server, () => login({ ...other, nonce: stranger.nonce }), "identity_refused");
    const made = { ...(await signInAt(server, "heidi")), nonce: "A".repeat(70) };
    await expectRefused(server, () => login(made), "challenge_invalid");
    const passkeys = { ...(await signInAt(server, "heidi")), nonce: await challengeFor(server, "log-in") };
    await expectRefused(server, () => login(passkeys), "challenge_invalid");
  });

  it("names the issuer, and no other", async () => {
    const { iss, ...returned } = await signInAt(server, "heidi");
    expect(iss).toBe(provider.issuer);
    await expectRefused(server, () => login(returned), "identity_refused");
    const mixed = { ...(await signInAt(server, "heidi")), iss: "https://login.evil.test" };
    await expectRefused(server, () => login(mixed), "identity_refused");
  });

  it("comes from our own page", async () => {
    const body = JSON.stringify(await signInAt(server, "heidi"));
    const headers = { origin: provider.issuer, "sec-fetch-site": "cross-site" };
    const target = "/v1/session/by-provider";
    const answer = await sendConsole(server, { method: "POST", target, headers, body });
    expect([answer.status, codeOf(answer)]).toEqual([400, "request_cross_site"]);
  });
});

describe("a further provider", () => {
  type Purpose = Parameters<typeof challengeFor>[1];
  type Adding = Pick<TestPerson, "cookie" | "authenticator">;
  const add = async (person: Adding, login: string, purpose: Purpose = "add-identity:acme") => {
    const assertion = person.authenticator.get(await challengeFor(server, purpose));
    return post("/v1/session/identities", { ...(await signInAt(server, login)), assertion }, person.cookie);
  };
  const newcomer = () => createPerson(server, { roles: ["auditor"] });

  it("knows the same person, who is one and no second one by it", async () => {
    const person = await newcomer();
    expect((await add(person, "ivan")).status).toBe(200);
    expect(jsonOf(await logIn("ivan"))).toMatchObject({ person_id: person.personId, roles: ["auditor"] });
    const invited = await come("ivan", { roles: ["admin"] });
    expect([invited.status, codeOf(invited)]).toEqual([409, "person_exists"]);
  });

  it("is added by a passkey of that person's, and by nothing less", async () => {
    const person = await newcomer();
    const borrowed = { cookie: person.cookie, authenticator: (await newcomer()).authenticator };
    await expectRefused(server, () => add(borrowed, "judy"), "passkey_invalid");
    await expectRefused(server, () => add(person, "judy", "add-passkey"), "challenge_invalid");
    await expectRefused(server, () => add(person, "judy", "add-identity:other"), "challenge_invalid");
    const bare = await post("/v1/session/identities", await signInAt(server, "judy"), person.cookie);
    expect([bare.status, codeOf(bare)]).toEqual([400, "request_malformed"]);
    await expectRefused(server, () => logIn("judy"), "identity_unknown");
  });

  it("is nobody else's: whose it is already stays who it is", async () => {
    const taken = await add(await newcomer(), "grace");
    expect([taken.status, codeOf(taken)]).toEqual([409, "person_exists"]);
  });
});

describe("an owner who came through a provider", () => {
  it("is one with its first passkey, and lets an agent be by that alone", async () => {
    const came = await come("olga", { roles: ["owner"] });
    expect(jsonOf(came)).toMatchObject({ roles: [], owner_id: null });
    expect((await sendConsole(server, { target: "/v1/agents" }, cookieOf(came))).status).toBe(401);
    const { made, authenticator } = await firstPasskey(came);
    expect(jsonOf(made)).toMatchObject({ roles: ["owner"], owner_id: expect.stringMatching(/^own_/) });
    const { person_id: personId, owner_id: ownerId } = jsonOf(made);
    const person = {
      personId: String(personId),
      ownerId: String(ownerId),
      cookie: cookieOf(came),
      authenticator,
    };
    const ticket = await signTicket(server, { person }, { name: "of-olga" });
    expect((await depositTicket(server, person, ticket)).status).toBe(200);
    const { agent_id: agentId } = (await enrolWith(server, ticket)).answer;
    const [issued] = (await eventsOf(server, "issue")).filter(({ agent_id: id }) => id === agentId);
    expect(await provenEventsOf(server, String(issued?.event_id))).toEqual([issued?.event_id]);
    const second = await firstPasskey(came);
    expect(second.made.status).toBe(401);
  });

  it("makes it right after the sign-in, and by no session of another kind", async () => {
    const came = await come("peggy", { roles: ["auditor"] });
    offsetMs += 5 * 60_000;
    const late = await firstPasskey(came);
    expect([late.made.status, codeOf(late.made)]).toEqual([403, "sign_in_again"]);
    const fresh = await firstPasskey(await logIn("peggy"));
    expect(fresh.made.status).toBe(200);
    const credential = fresh.authenticator.get(await challengeFor(server, "log-in"));
    const byPasskey = await post("/v1/session", { credential });
    expect(jsonOf(byPasskey)).toMatchObject({ via: "passkey", person_id: jsonOf(came).person_id });
    const again = await firstPasskey(byPasskey);
    expect([again.made.status, codeOf(again.made)]).toEqual([403, "sign_in_again"]);
  });
});

describe("a session by a provider's word", () => {
  it("ends here and says where it ends there", async () => {
    const came = await come("rupert", { roles: ["auditor"] });
    const ended = await post("/v1/session/end", {}, cookieOf(came));
    const elsewhere = new URL(String(jsonOf(ended).elsewhere));
    expect(elsewhere.origin).toBe(provider.issuer);
    expect(elsewhere.searchParams.get("post_logout_redirect_uri")).toBe(`${originOf(server)}/app`);
    expect((await sessionOf(came)).status).toBe(401);
    const mine = await createPerson(server, { roles: ["auditor"] });
    expect(jsonOf(await post("/v1/session/end", {}, mine.cookie)).elsewhere).toBeNull();
  });

  it("ends with the person, whose subject stays taken", async () => {
    const came = await come("sybil", { roles: ["auditor"] });
    const target = `/v1/people/${String(jsonOf(came).person_id)}/end`;
    await sendAdmin(server.adminSocket, { method: "POST", target, body: "{}" });
    expect((await sessionOf(came)).status).toBe(401);
    await expectRefused(server, () => logIn("sybil"), "session_invalid");
    expect(codeOf(await come("sybil", { roles: ["auditor"] }))).toBe("person_exists");
  });

  it("ends when the provider is taken out of the configuration", async () => {
    const came = await come("trent", { roles: ["auditor"] });
    expect((await sessionOf(came)).status).toBe(200);
    const port = Number(new URL(originOf(server)).port);
    await server.close();
    server = await startTestServer({ console: { port } }, home, clock);
    expect((await sessionOf(came)).status).toBe(401);
    expect((await sendConsole(server, { target: "/v1/session" }, admin.cookie)).status).toBe(200);
  });
});
