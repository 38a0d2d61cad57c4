/** Rotation of the authority in a real server: planned, forced, after a compromise, and after a long absence. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { slotIdOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { parseCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { requireSuccession } from "@trustwarden/core/agentid/succession.ts";
import {
  digestOfAuthorities,
  parseTrustBundle,
  type TrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import {
  type AuthorityStepAnswer,
  authorityAnswer,
  authorityStepAnswer,
  successionList,
} from "@trustwarden/core/api/authority.ts";
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  parseAnswer,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

const DAY_MS = 86_400_000;
const TOKEN_AUDIENCE = "spiffe://acme.test/x";
const trustDomain = parseTrustDomain(TRUST_DOMAIN);
let skewMs = 0;
const clock = { nowMs: () => Date.now() + skewMs, monoMs: () => performance.now() };
let server: TestServer;
let owner: TestOwner;

beforeEach(async () => {
  skewMs = 0;
  server = await startTestServer({}, undefined, clock);
  owner = await createOwner(server);
});
afterEach(async () => {
  await server.close();
  server.home.remove();
});

const ask = (body: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/authority/steps",
    body: JSON.stringify(body),
  });

async function step(body: object): Promise<AuthorityStepAnswer> {
  const answer = await ask(body);
  expect(answer.status, answer.text).toBe(200);
  return authorityStepAnswer.parse(jsonOf(answer));
}

async function refused(body: object): Promise<string> {
  return Object(jsonOf(await ask(body))).error.code;
}

async function keyOf(kind: string, state: string): Promise<string> {
  const answer = await sendAdmin(server.adminSocket, { target: "/v1/authority" });
  const { keys } = authorityAnswer.parse(jsonOf(answer));
  return keys.find((key) => key.kind === kind && key.state === state)?.id ?? "";
}

const bundleOf = async () =>
  parseTrustBundle((await send(server.url, { target: "/v1/bundle" })).text, trustDomain);
const discover = async () =>
  discovery.parse(jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })));
const issuerOf = ({ answer }: TestInstance) =>
  slotIdOf(parseCertificate(parseBase64url(answer.svid_chain[1] ?? "")).spki);
async function jwt(agent: TestInstance): Promise<RawAnswer> {
  const nowMs = clock.nowMs();
  const request = signedRequest(agent, {
    intent: { time: formatTime(nowMs), exp: Math.floor(nowMs / 1000) + 60 },
    method: "POST",
    target: "/v1/jwt-svids",
    body: JSON.stringify({ audience: TOKEN_AUDIENCE }),
    headers: { "content-type": "application/json" },
    action: "issue:jwt-svid",
    aud: await serverIdOf(server),
  });
  return send(server.url, request, agent.tls);
}

describe("a rotation of the intermediate", () => {
  it("issues under the new one at once, and the SVIDs of the old one go on", async () => {
    const before = await enrolAgent(server, owner, { name: "early" });
    const old = await keyOf("intermediate", "active");
    const { sequence, renew } = await step({ step: "rotate", kind: "intermediate" });
    const after = await enrolAgent(server, owner, { name: "late" });
    expect(issuerOf(before)).toBe(old);
    expect(issuerOf(after)).toBe(await keyOf("intermediate", "active"));
    expect(issuerOf(after)).not.toBe(old);
    expect([sequence, renew]).toEqual([3, []]);
    expect((await jwt(before)).status).toBe(200);
    expect((await jwt(after)).status).toBe(200);
  });

  it("leaves the roots, and so every pin, as they were", async () => {
    const { authorities_sha256 } = await discover();
    await step({ step: "rotate", kind: "intermediate", force: true });
    const found = await discover();
    expect(found.authorities_sha256).toBe(authorities_sha256);
    expect((await bundleOf()).sequence).toBe(found.authority.sequence);
  });

  it("by force names the old one as to be renewed; revoked, its SVIDs are refused at once and everywhere", async () => {
    const agent = await enrolAgent(server, owner);
    const old = issuerOf(agent);
    const forced = await step({ step: "rotate", kind: "intermediate", force: true, reason: "leaked" });
    expect(forced.renew).toEqual([old]);
    expect((await discover()).authority.renew).toEqual([old]);
    expect((await jwt(agent)).status).toBe(200);
    const revoked = await step({ step: "revoke", id: old });
    expect(revoked.elapsed_ms).toBeLessThan(1000);
    await expectRefused(server, () => jwt(agent), "authority_revoked");
    const bundle = await bundleOf();
    expect([...bundle.revokedAuthorities]).toEqual([old]);
    const chain = agent.answer.svid_chain.map(parseBase64url);
    const now = Math.floor(Date.now() / 1000);
    expect(() => verifyX509Svid(chain, new Map([[trustDomain, bundle]]), now)).toThrow(
      expect.objectContaining({ code: "authority_revoked" }),
    );
  });

  it("puts a revoked intermediate on the root's list, and destroys its key", async () => {
    const agent = await enrolAgent(server, owner);
    const old = issuerOf(agent);
    await step({ step: "rotate", kind: "intermediate", force: true });
    await step({ step: "revoke", id: old });
    const list = parseCertificateRevocationList((await send(server.url, { target: "/v1/crl/root" })).bytes);
    const intermediate = parseCertificate(parseBase64url(agent.answer.svid_chain[1] ?? ""));
    expect(list.revoked.map(({ serialHex }) => serialHex)).toEqual([intermediate.serialHex]);
    const files = readdirSync(join(server.home.dataDir, "keys"));
    expect(files.filter((name) => name.includes(old))).toEqual([]);
  });

  it("leaves one event a step, with who and why", async () => {
    await step({ step: "rotate", kind: "intermediate", force: true, reason: "drill" });
    const events = await eventsOf(server, "authority");
    expect(events.map(({ authorized_by }) => authorized_by)).toEqual(Array(3).fill("operator"));
  });

  it("is kept over a restart", async () => {
    await step({ step: "rotate", kind: "intermediate", force: true });
    const before = await discover();
    await server.close();
    server = await startTestServer({}, server.home, clock);
    expect((await discover()).authority).toEqual(before.authority);
    const agent = await enrolAgent(server, owner);
    expect((await jwt(agent)).status).toBe(200);
  });
});

describe("a rotation of the JWT key", () => {
  const tokenOf = async (agent: TestInstance) => parseAnswer(jwtSvidAnswer, await jwt(agent)).svid;
  /** The key id of a token that somebody proves who read the bundle then and not since. */
  const proveBy = (bundle: TrustBundle, token: string) => {
    const now = Math.floor(clock.nowMs() / 1000);
    return verifyJwtSvid(token, {
      bundles: new Map([[trustDomain, bundle]]),
      audience: TOKEN_AUDIENCE,
      now,
    }).kid;
  };

  it("publishes before use: 15 minutes in the bundle, then it signs, and the old one verifies on", async () => {
    const agent = await enrolAgent(server, owner);
    await step({ step: "prepare", kind: "jwt" });
    const published = await bundleOf();
    expect(published.jwtAuthorities.size).toBe(2);
    expect(await refused({ step: "activate", kind: "jwt" })).toBe("authority_not_published");
    skewMs = 840_000;
    expect(await refused({ step: "activate", kind: "jwt" })).toBe("authority_not_published");
    skewMs = 901_000;
    const early = await tokenOf(agent);
    await step({ step: "activate", kind: "jwt" });
    const late = await tokenOf(agent);
    const activated = await bundleOf();
    expect(activated.jwtAuthorities.size).toBe(2);
    // Whoever read the bundle at any time since the key was published proves both, and nobody else's time matters.
    const [earlyKid, lateKid] = [early, late].map((token) => proveBy(published, token));
    expect(earlyKid).not.toBe(lateKid);
    expect([early, late].map((token) => proveBy(activated, token))).toEqual([earlyKid, lateKid]);
    const old = await keyOf("jwt", "superseded");
    expect(await refused({ step: "retire", id: old })).toBe("authority_in_use");
    await step({ step: "retire", id: old, force: true });
    expect((await bundleOf()).jwtAuthorities.size).toBe(1);
  });
});

describe("a rotation of the root", () => {
  it("is followed by successions from the pinned roots to those of today", async () => {
    const pin = (await discover()).authorities_sha256;
    const old = await keyOf("root", "active");
    await step({ step: "prepare", kind: "root" });
    expect((await bundleOf()).x509Authorities).toHaveLength(2);
    expect(await refused({ step: "activate", kind: "root" })).toBe("authority_not_published");
    await step({ step: "activate", kind: "root", force: true });
    expect(await refused({ step: "retire", id: old, force: true })).toBe("authority_in_use");
    const before = await keyOf("intermediate", "active");
    await step({ step: "rotate", kind: "intermediate" });
    await step({ step: "retire", id: before, force: true });
    await step({ step: "retire", id: old, force: true });
    const bundle = await bundleOf();
    expect(bundle.x509Authorities).toHaveLength(1);
    const { successions } = successionList.parse(
      jsonOf(await send(server.url, { target: "/v1/successions" })),
    );
    const target = digestOfAuthorities(bundle);
    expect(() => requireSuccession(successions, { trustDomain, pin, target })).not.toThrow();
    const agent = await enrolAgent(server, owner);
    expect((await jwt(agent)).status).toBe(200);
  });
});

describe("an intermediate that ended while the server was down", () => {
  it("is replaced at the next start, and the ledger says so", async () => {
    const old = await keyOf("intermediate", "active");
    await server.close();
    skewMs = 91 * DAY_MS;
    server = await startTestServer({}, server.home, clock);
    expect(await keyOf("intermediate", "active")).not.toBe(old);
    expect(await eventsOf(server, "authority")).toHaveLength(2);
  });
});

describe("keys without a slot", () => {
  it("are removed at the start: a step that was killed before its commit leaves nothing", async () => {
    const before = readdirSync(join(server.home.dataDir, "keys")).sort();
    await server.close();
    const { openKeys } = await import("./support/authority-keys.ts");
    await (await openKeys(server.home)).ring.create("intermediate");
    expect(readdirSync(join(server.home.dataDir, "keys"))).toHaveLength(before.length + 1);
    server = await startTestServer({}, server.home, clock);
    expect(readdirSync(join(server.home.dataDir, "keys")).sort()).toEqual(before);
  });
});
