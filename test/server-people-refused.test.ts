/** Who is not let in by a browser: each by its code in the ledger, and all alike to the caller. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SoftwareAuthenticator } from "./support/authenticator.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import {
  CONSOLE,
  challengeFor,
  createLink,
  createPerson,
  logIn,
  originOf,
  sendConsole,
  sendPlain,
  type TestPerson,
  useLink,
} from "./support/people.ts";
import { expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let admin: TestPerson;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  admin = await createPerson(server, {}, { address: "ada@acme.test" });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const device = (options = {}) => new SoftwareAuthenticator({ origin: originOf(server), ...options });
const post = (target: string, body: object, cookie?: string) =>
  sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, cookie);

describe("a session", () => {
  it("is asked for", async () => {
    await expectRefused(server, () => post("/v1/session/end", {}), "no_session");
  });

  it("is one of ours", async () => {
    const cookie = `__Host-trustwarden=${randomBytes(32).toString("base64url")}`;
    await expectRefused(server, () => post("/v1/session/end", {}, cookie), "session_invalid");
    await expectRefused(server, () => post("/v1/session/end", {}, "__Host-trustwarden=x"), "session_invalid");
    const twice = `${admin.cookie}; ${cookie}`;
    await expectRefused(server, () => post("/v1/session/end", {}, twice), "session_invalid");
  });

  it("is nothing outside the console, and nothing else is one inside", async () => {
    const headers = { cookie: admin.cookie };
    const agents = { target: "/v1/agents", headers };
    expect((await send(server.url, agents)).status).toBe(401);
    expect((await sendConsole(server, { target: "/v1/agents" })).status).toBe(401);
    expect(
      (await sendConsole(server, { target: "/v1/agents", headers: { "trustwarden-owner": "x" } })).status,
    ).toBe(401);
  });
});

describe("a passkey", () => {
  it("is known, of this place, and used by whom it verified", async () => {
    await expectRefused(server, () => logIn(server, device()), "passkey_invalid");
    const elsewhere = device({ origin: "https://evil.test" });
    const link = await createLink(server, { roles: ["auditor"] });
    await expectRefused(server, () => useLink(server, { link, authenticator: elsewhere }), "passkey_invalid");
    const touched = device({ isUserVerified: false });
    await expectRefused(server, () => useLink(server, { link, authenticator: touched }), "passkey_invalid");
    expect((await useLink(server, { link, authenticator: device() })).status).toBe(200);
  });

  it("is not asked for from a frame in a page of another origin", async () => {
    const link = await createLink(server, { roles: ["auditor"] });
    const framed = device({ isCrossOrigin: true });
    await expectRefused(server, () => useLink(server, { link, authenticator: framed }), "passkey_invalid");
    const { authenticator } = await createPerson(server, { roles: ["auditor"] }, { isCrossOrigin: false });
    const loggingIn = new SoftwareAuthenticator({ origin: originOf(server), isCrossOrigin: true });
    Object.assign(loggingIn, { credentialId: authenticator.credentialId });
    await expectRefused(server, () => logIn(server, loggingIn), "passkey_invalid");
  });

  it("counts upwards: a copy of it is refused", async () => {
    expect((await logIn(server, admin.authenticator)).status).toBe(200);
    admin.authenticator.counter -= 1;
    await expectRefused(server, () => logIn(server, admin.authenticator), "passkey_invalid");
    expect((await logIn(server, admin.authenticator)).status).toBe(200);
  });

  it("belongs to one person, for ever", async () => {
    const link = await createLink(server, { roles: ["auditor"] });
    const again = await useLink(server, { link, authenticator: admin.authenticator });
    expect([again.status, codeOf(again)]).toEqual([409, "key_reused"]);
    const asOwner = await createLink(server, { roles: ["owner"] });
    const secondOwner = await useLink(server, { link: asOwner, authenticator: admin.authenticator });
    expect([secondOwner.status, codeOf(secondOwner)]).toEqual([409, "key_reused"]);
    const other = device();
    Object.assign(other, { credentialId: admin.authenticator.credentialId });
    const taken = await useLink(server, { link, authenticator: other });
    expect([taken.status, codeOf(taken)]).toEqual([409, "passkey_reused"]);
    expect((await useLink(server, { link, authenticator: device() })).status).toBe(200);
  });
});

describe("a challenge", () => {
  it("is ours, for this, and counts once", async () => {
    const strange = admin.authenticator.get(randomBytes(52).toString("base64url"));
    await expectRefused(server, () => post("/v1/session", { credential: strange }), "challenge_invalid");
    const other = admin.authenticator.get(await challengeFor(server, "register"));
    await expectRefused(server, () => post("/v1/session", { credential: other }), "challenge_invalid");
    // Of a device that does not count, so that nothing but the challenge is used up.
    const { authenticator } = await createPerson(server, { roles: ["auditor"] }, { isCounting: false });
    const credential = authenticator.get(await challengeFor(server, "log-in"));
    expect((await post("/v1/session", { credential })).status).toBe(200);
    await expectRefused(server, () => post("/v1/session", { credential }), "challenge_used");
  });
});

describe("a link", () => {
  it("is one of ours, unaltered, used once", async () => {
    const link = await createLink(server, { roles: ["auditor"] });
    const altered = (link.startsWith("A") ? "B" : "A") + link.slice(1);
    await expectRefused(
      server,
      () => useLink(server, { link: altered, authenticator: device() }),
      "link_invalid",
    );
    expect((await useLink(server, { link, authenticator: device() })).status).toBe(200);
    await expectRefused(server, () => useLink(server, { link, authenticator: device() }), "link_invalid");
  });

  it("for who lost its passkeys ends these and their sessions, and takes none of them again", async () => {
    const lost = await createPerson(server, { roles: ["auditor"] });
    const link = await createLink(server, { person: lost.personId });
    const found = device();
    const answer = await useLink(server, { link, authenticator: found });
    expect([answer.status, jsonOf(answer).person_id]).toEqual([200, lost.personId]);
    expect((await sendConsole(server, { target: "/v1/session" }, lost.cookie)).status).toBe(401);
    await expectRefused(server, () => logIn(server, lost.authenticator), "passkey_invalid");
    expect((await logIn(server, found)).status).toBe(200);
    const again = await createLink(server, { person: lost.personId });
    const taken = await useLink(server, { link: again, authenticator: lost.authenticator });
    expect([taken.status, codeOf(taken)]).toEqual([409, "key_reused"]);
    expect((await logIn(server, found)).status).toBe(200);
  });

  it("makes one person of two addresses that look alike: the second is refused", async () => {
    const link = await createLink(server, { roles: ["owner"] });
    const answer = await useLink(server, { link, authenticator: device(), address: "A.d.a+x@acme.test" });
    expect([answer.status, codeOf(answer)]).toEqual([409, "person_exists"]);
    const bad = await useLink(server, { link, authenticator: device(), address: "аda@acme.test" });
    expect([bad.status, codeOf(bad)]).toEqual([400, "address_refused"]);
    const other = await useLink(server, { link, authenticator: device(), address: "grace@acme.test" });
    expect(other.status).toBe(200);
  });

  it("keeps the address that it was made for, whatever the browser says", async () => {
    const link = await createLink(server, { roles: ["owner"], address: "ada@acme.test" });
    const answer = await useLink(server, { link, authenticator: device(), address: "eve@acme.test" });
    expect(codeOf(answer)).toBe("person_exists");
  });

  it("for a first admin is there only without one", async () => {
    const answer = await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/people/links",
      body: "{}",
    });
    expect(answer.status).toBe(400);
  });
});

describe("a page of another site", () => {
  it.each([
    ["another origin", { origin: "https://evil.test" }],
    ["no origin", { origin: "null" }],
    ["another port", { origin: "http://localhost:1" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["the same site on another port", { "sec-fetch-site": "same-site" }],
    ["no header of ours", { "trustwarden-console": "" }],
  ])("changes nothing: %s", async (_name, headers) => {
    const target = "/v1/session/end";
    const answer = await sendConsole(server, { method: "POST", target, headers, body: "{}" }, admin.cookie);
    expect([answer.status, codeOf(answer)]).toEqual([400, "request_cross_site"]);
    expect((await sendConsole(server, { target: "/v1/session" }, admin.cookie)).status).toBe(200);
  });

  it("reads nothing either, and a name that is not ours reaches nobody", async () => {
    const headers = { cookie: admin.cookie, "sec-fetch-site": "cross-site" };
    expect(codeOf(await sendPlain(server, { target: "/v1/session", headers }))).toBe("request_cross_site");
    expect(
      (await sendPlain(server, { target: "/v1/session", headers: { cookie: admin.cookie } })).status,
    ).toBe(400);
    const rebound = { ...headers, host: "evil.test" };
    expect(codeOf(await sendPlain(server, { target: "/v1/session", headers: rebound }))).toBe(
      "request_malformed",
    );
  });

  it("finds no frame, no type and no program of its own", async () => {
    for (const target of ["/v1/session", "/nowhere", "/v1/passkeys/options/log-in"]) {
      const { headers } = await sendConsole(server, { target });
      expect(headers).toMatchObject({
        "content-security-policy": expect.stringContaining("default-src 'none'"),
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
      });
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
  });
});
