/** Identity providers that lie, and answers that are not for us: nobody comes in, and nothing is asked of anybody else. */
import { createHmac } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { z } from "zod";
import type { identityProvider } from "../server/console/oidc/config.ts";
import { HostileProvider } from "./support/hostile-provider.ts";
import { codeOf, jsonOf } from "./support/http.ts";
import { beginAt } from "./support/oidc-provider.ts";
import { cookieOf, createLink, originOf, sendConsole } from "./support/people.ts";
import { expectRefused } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const now = () => Math.floor(Date.now() / 1000);
const folder = mkdtempSync(join(tmpdir(), "tw-oidc-"));
const clientSecretFile = join(folder, "secret");
let provider: HostileProvider;
let other: HostileProvider;
/** Whose places are in the settings. */
let placed: HostileProvider;
let server: TestServer;
/** The library has the clock of the process; all others follow it here. */
const processNow = Date.now;
let offsetMs = 0;
/** A key that is unknown is asked for again when the last look at the keys is so old. */
const KEY_LOOK_MS = 61_000;

type Setting = z.input<typeof identityProvider>;
const configOf = ({ issuer }: HostileProvider, name: string, more: Partial<Setting> = {}): Setting => ({
  ...{ name, label: name, issuer, clientId: "trustwarden" },
  discovery: { url: `${issuer}/.well-known/openid-configuration`, allowPrivate: true },
  ...more,
});

beforeAll(async () => {
  writeFileSync(clientSecretFile, "s3cret of:us\n", { mode: 0o600 });
  provider = await HostileProvider.open();
  other = await HostileProvider.open();
  // As some say what they do not have.
  other.world.metadata = { end_session_endpoint: null };
  placed = await HostileProvider.open();
  const at = (path: string) => ({ url: `${placed.issuer}${path}`, allowPrivate: true });
  const endpoints = { authorization: at("/authorize").url, token: at("/token"), keys: at("/keys") };
  const identityProviders = [
    configOf(provider, "acme", { clientSecretFile }),
    configOf(other, "other"),
    configOf(placed, "placed", { discovery: undefined, endpoints }),
  ];
  vi.spyOn(Date, "now").mockImplementation(() => processNow() + offsetMs);
  const clock = { nowMs: () => Date.now(), monoMs: () => performance.now() };
  server = await startTestServer({ console: { port: 0, identityProviders } }, createHome(), clock);
  const link = await createLink(server, { roles: ["auditor"] });
  const came = await post("/v1/people/by-provider", { link, name: "Grace", ...(await returned()) });
  expect(came.status).toBe(200);
});
afterAll(async () => {
  vi.restoreAllMocks();
  await server.close();
  server.home.remove();
  provider.close();
  other.close();
  placed.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  Object.assign(provider.world, HostileProvider.honest());
  for (const { asked } of [provider, other]) asked.length = 0;
});

const post = (target: string, body: object) =>
  sendConsole(server, { method: "POST", target, body: JSON.stringify(body) });
const returned = async (from = "acme", at = provider) => {
  const { nonce, verifier } = await beginAt(server, from);
  at.nonce = nonce;
  return { provider: from, code: "a-code", code_verifier: verifier, nonce };
};
const logIn = async (more: object = {}) =>
  post("/v1/session/by-provider", { ...(await returned()), ...more });
const segment = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("an honest answer", () => {
  it("opens a session, once; the secret goes to the token endpoint and nowhere else", async () => {
    const body = await returned();
    const answer = await post("/v1/session/by-provider", body);
    expect([answer.status, jsonOf(answer).via]).toEqual([200, "oidc"]);
    const [{ form, authorization } = { form: new URLSearchParams(), authorization: "" }] = provider.asked;
    expect(Object.fromEntries(form)).toEqual({
      grant_type: "authorization_code",
      code: "a-code",
      code_verifier: body.code_verifier,
      redirect_uri: `${originOf(server)}/app/signed-in/acme`,
    });
    const [, pair = ""] = String(authorization).split(" ");
    expect(Buffer.from(pair, "base64").toString()).toBe("trustwarden:s3cret+of%3Aus");
    // The provider would let the code count again; the nonce does not.
    await expectRefused(server, () => post("/v1/session/by-provider", body), "challenge_used");
  });

  it("comes from the places of the settings too, whose provider is asked for no document of its own", async () => {
    const link = await createLink(server, { roles: ["auditor"] });
    const word = await returned("placed", placed);
    const came = await post("/v1/people/by-provider", { link, name: "Mary", ...word });
    expect([came.status, jsonOf(came).via]).toEqual([200, "oidc"]);
    expect(placed.paths).toEqual(["/token", "/keys"]);
    expect(Object.fromEntries(placed.asked[0]?.form ?? [])).toMatchObject({ client_id: "trustwarden" });
    placed.world.claims = { iss: other.issuer };
    const stolen = await returned("placed", placed);
    await expectRefused(server, () => post("/v1/session/by-provider", stolen), "identity_refused");
  });

  it("opens a session whose end leads nowhere else, when its provider has no place for that and says so by null", async () => {
    const link = await createLink(server, { roles: ["auditor"] });
    const word = await returned("other", other);
    other.world.claims = { sub: "lise" };
    const came = await post("/v1/people/by-provider", { link, name: "Lise", ...word });
    other.world.claims = {};
    expect(came.status).toBe(200);
    const ending = { method: "POST", target: "/v1/session/end", body: "{}" };
    const ended = await sendConsole(server, ending, cookieOf(came));
    expect(jsonOf(ended)).toEqual({ ended: true, elsewhere: null });
  });

  it("is taken by a key that the provider changed to, once its word is old enough to be asked again", async () => {
    await provider.changeKey("second", true);
    offsetMs += KEY_LOOK_MS;
    expect((await logIn()).status).toBe(200);
  });
});

describe("an ID token", () => {
  it.each([
    ["of another issuer", () => ({ iss: "https://login.evil.test" })],
    ["for another client", () => ({ aud: "somebody-else" })],
    ["for another client too", () => ({ aud: ["trustwarden", "somebody-else"] })],
    ["for another client beside us", () => ({ aud: ["trustwarden", "somebody-else"], azp: "trustwarden" })],
    ["that another client asked for", () => ({ azp: "somebody-else" })],
    ["with another nonce", () => ({ nonce: "another" })],
    ["without a nonce", () => ({ nonce: undefined })],
    ["that has expired", () => ({ iat: now() - 600, exp: now() - 1 })],
    ["of the future", () => ({ iat: now() + 3600, exp: now() + 4000 })],
    ["that lives for a year", () => ({ exp: now() + 31_536_000 })],
    ["without a subject", () => ({ sub: undefined })],
    ["whose subject is no text", () => ({ sub: 7 })],
    ["whose subject is empty", () => ({ sub: "" })],
  ])("%s is refused", async (_name, claims) => {
    provider.world.claims = claims();
    await expectRefused(server, () => logIn(), "identity_refused");
  });

  it("of a clock that is a little ahead is taken", async () => {
    provider.world.claims = { iat: now() + 5, exp: now() + 300 };
    expect((await logIn()).status).toBe(200);
  });

  it("without a signature, or by the public key as a secret, is refused", async () => {
    const { nonce, ...rest } = await returned();
    const claims = segment({
      iss: provider.issuer,
      aud: "trustwarden",
      sub: "grace",
      nonce,
      iat: now(),
      exp: now() + 60,
    });
    const unsigned = `${segment({ alg: "none" })}.${claims}.`;
    const signed = `${segment({ alg: "HS256", kid: "second" })}.${claims}`;
    const mac = createHmac("sha256", provider.publicText).update(signed).digest("base64url");
    for (const token of [
      unsigned,
      `${signed}.${mac}`,
      `${segment({ alg: "RS256", kid: "second" })}.${claims}.!`,
      "x",
      "",
    ]) {
      provider.world.token = token;
      await expectRefused(
        server,
        () => post("/v1/session/by-provider", { ...rest, nonce }),
        "identity_refused",
      );
    }
  });

  it("by a key that the provider does not publish, or that it brings along, is refused", async () => {
    provider.world.header = { kid: "unknown" };
    await expectRefused(server, () => logIn(), "identity_refused");
    provider.world.header = { jwk: { kty: "RSA" } };
    await expectRefused(server, () => logIn(), "identity_refused");
    await provider.changeKey("second", false);
    provider.world.header = {};
    await expectRefused(server, () => logIn(), "identity_refused");
    await provider.changeKey("third", true);
    offsetMs += KEY_LOOK_MS;
    expect((await logIn()).status).toBe(200);
  });

  it("of another provider is refused, and so is its code (mix-up)", async () => {
    const body = await returned("other", other);
    // The victim began at `other`, whose page sent it to `acme`: the code is for `acme`'s token endpoint, the nonce for `other`.
    const mixed = { ...body, provider: "acme" };
    await expectRefused(server, () => post("/v1/session/by-provider", mixed), "challenge_invalid");
    const named = { ...(await returned("other", other)), iss: provider.issuer };
    await expectRefused(server, () => post("/v1/session/by-provider", named), "identity_refused");
    expect(other.asked.length).toBe(0);
    // The same subject at another issuer is somebody else.
    await expectRefused(
      server,
      async () => post("/v1/session/by-provider", await returned("other", other)),
      "identity_unknown",
    );
  });
});

describe("a provider that does not answer as one", () => {
  it.each([
    ["refuses the code", 400, "identity_refused"],
    ["refuses us", 401, "identity_refused"],
  ] as const)("and %s lets nobody in", async (_name, status, code) => {
    provider.world.status = status;
    await expectRefused(server, () => logIn(), code);
  });

  it("and is out of order lets nobody in, and is told apart from a refusal", async () => {
    provider.world.status = 503;
    const answer = await logIn();
    expect([answer.status, codeOf(answer)]).toEqual([503, "identity_provider_unavailable"]);
  });

  it("and says no keys is out of order too, whatever it says instead", async () => {
    await provider.changeKey("unheard of", true);
    provider.world.keys = "none";
    offsetMs += KEY_LOOK_MS;
    const answer = await logIn();
    expect([answer.status, codeOf(answer)]).toEqual([503, "identity_provider_unavailable"]);
  });

  it("and sends on elsewhere is not followed", async () => {
    provider.world.location = `${other.issuer}/token`;
    other.paths.length = 0;
    await expectRefused(server, () => logIn(), "identity_refused");
    expect(other.paths).not.toContain("/token");
  });
});

describe("a discovery document", () => {
  const lies = [
    ["of another issuer", { issuer: "https://login.evil.test" }],
    ["that sends people elsewhere", { authorization_endpoint: "https://login.evil.test/authorize" }],
    ["that sends codes elsewhere", { token_endpoint: "https://login.evil.test/token" }],
    ["that has its keys elsewhere", { jwks_uri: "https://login.evil.test/keys" }],
    ["that names no place for codes", { token_endpoint: undefined }],
    ["that sends people to a program", { authorization_endpoint: "javascript:alert(1)" }],
    ["that ends sessions elsewhere", { end_session_endpoint: "https://login.evil.test/end" }],
  ] as const;
  const liars: HostileProvider[] = [];
  let asking: TestServer;
  beforeAll(async () => {
    for (const [, metadata] of lies) {
      const liar = await HostileProvider.open();
      liar.world.metadata = metadata;
      liars.push(liar);
    }
    const identityProviders = liars.map((liar, index) => configOf(liar, `liar-${index}`));
    asking = await startTestServer({ console: { port: 0, identityProviders } }, createHome());
  });
  afterAll(async () => {
    await asking.close();
    asking.home.remove();
    for (const liar of liars) liar.close();
  });

  it.each(lies.map(([name], index) => [name, index] as const))("%s is not followed", async (_name, index) => {
    const answer = await sendConsole(asking, { target: `/v1/identity-providers/liar-${index}/options` });
    expect([answer.status, codeOf(answer)]).toEqual([503, "identity_provider_unavailable"]);
  });

  it("is not fetched again for each stranger who asks", async () => {
    const before = other.paths.length;
    for (let time = 0; time < 20; time += 1) await beginAt(server, "other");
    expect(other.paths.length - before).toBeLessThan(3);
  });

  it("leads to no other address than asked for: what the page asks with has no place to go back to but ours", async () => {
    const { url } = await beginAt(server, "acme");
    expect(url.origin).toBe(provider.issuer);
    expect(url.searchParams.getAll("redirect_uri")).toEqual([`${originOf(server)}/app/signed-in/acme`]);
    const asked = { target: "/v1/identity-providers/acme/options?redirect_uri=https://evil.test" };
    expect((await sendConsole(server, asked)).status).toBe(400);
  });
});

describe("the settings", () => {
  const start = async (identityProviders: Setting[]) => {
    const home = createHome();
    try {
      const started = await startTestServer({ console: { port: 0, identityProviders } }, home);
      await started.close();
      return "started";
    } catch (error) {
      return Object(error).code;
    } finally {
      home.remove();
    }
  };

  it("name each provider and issuer once, over https, with a secret that only the server reads", async () => {
    const good = configOf(provider, "acme", { clientSecretFile });
    expect(await start([good])).toBe("started");
    expect(await start([good, { ...configOf(other, "acme") }])).toBe("config_invalid");
    expect(await start([good, { ...good, name: "again" }])).toBe("config_invalid");
    expect(await start([{ ...good, name: "../x" }])).toBe("config_invalid");
    const endpoints = {
      authorization: "http://login.evil.test/a",
      token: { url: "https://login.acme.test/t" },
      keys: { url: "https://login.acme.test/k" },
    };
    expect(await start([{ ...good, discovery: undefined, endpoints }])).toBe("config_invalid");
    expect(await start([{ ...good, endpoints }])).toBe("config_invalid");
    const discovery = { url: `${provider.issuer}/discovery`, allowPrivate: true };
    expect(await start([{ ...good, discovery }])).toBe("config_invalid");
    const place = `${provider.issuer}/.well-known/openid-configuration`;
    const uncertified = { url: place, allowPrivate: true, caFile: join(folder, "nowhere") };
    expect(await start([{ ...good, discovery: uncertified }])).toBe("config_invalid");
    chmodSync(clientSecretFile, 0o644);
    expect(await start([good])).toBe("file_mode_too_open");
    chmodSync(clientSecretFile, 0o600);
  });
});
