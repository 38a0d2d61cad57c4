/** The whole daemon against a real server in this process: join, entries, attestation, streams, revocation, restarts. */
import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { formatJoinTokenValue, parseJoinTokenValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { joinTokenAnswer } from "@trustwarden/core/api/registration.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { DeliveredIdentity, renewalAgeMs, systemRuntime } from "trustwarden/peer.ts";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createOwner, parseAnswer, type TestOwner } from "../test/support/actors.ts";
import { openFaultyLink } from "../test/support/faulty-link.ts";
import { send, sendAdmin } from "../test/support/http.ts";
import { createEntry, removeEntry } from "../test/support/nodes.ts";
import { createHome, startTestServer, type TestServer, TRUST_DOMAIN } from "../test/support/server.ts";
import { runSuite } from "../test/workload-api-conformance/suite.ts";
import { isRoot, NOBODY } from "./attest/attest.test.support.ts";
import { type Caller, startCaller } from "./caller.test.support.ts";
import { type RunningNode, startNode } from "./daemon.ts";
import { requestParentGrant } from "./launcher/parent-grant.ts";
import { createTestClient, temporaryDirectory } from "./workload-api/endpoint.test.support.ts";

const UID = isRoot ? NOBODY : (process.getuid?.() ?? 0);
const OWN_UID = process.getuid?.() ?? 0;
/** Eight are asked at once, each over a connection with the node's SVID and, for its nonce, one without. */
const MAX_SHARED = 16;
const NO_IDENTITY = { status: status.PERMISSION_DENIED, text: "no identity issued" };

let server: TestServer;
let owner: TestOwner;
let node: RunningNode | undefined;
let callers: Caller[];
let directory: ReturnType<typeof temporaryDirectory>;

const quiet = { ...systemRuntime, notify: () => {} };
const admin = async (target: string, body: object) =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
const joinToken = async () =>
  parseAnswer(joinTokenAnswer, await admin("/v1/join-tokens", { name: "host-1" })).token;
const start = async (token = joinToken) => {
  node = await startNode({
    dataDir: join(directory.path, "node"),
    identityDir: join(directory.path, "node"),
    socketPath: join(directory.path, "agent.sock"),
    joinToken: token,
    runtime: quiet,
  });
  return node;
};
const call = (uid = UID): Caller => {
  const caller = startCaller(join(directory.path, "agent.sock"), uid);
  callers.push(caller);
  return caller;
};
const register = (selectors: readonly string[], members: object = {}) =>
  createEntry(server, owner, { selectors: [...selectors].toSorted(), ...members });

beforeEach(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
  callers = [];
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});
afterEach(async () => {
  await Promise.all(callers.map((caller) => caller.end()));
  await node?.close();
  node = undefined;
  await server.close();
  server.home.remove();
  directory.remove();
});

describe("warden node", () => {
  it("joins with a token and serves SVIDs that lead to the trust bundle, to the right account only", async () => {
    const { name, spiffeId } = await start();
    expect(name).toBe("host-1");
    expect(spiffeId).toMatch(/^spiffe:\/\/acme\.test\/trustwarden\/node\/host-1\/inst-/);
    await register([`unix:uid:${UID}`]);
    const heard = await until(call, ({ ids }) => ids !== undefined);
    expect(heard.ids?.[0]).toMatch(/^spiffe:\/\/acme\.test\/team\/web\/crawler\/inst-/);
    expect(heard.ids?.[1]).toBe("spiffe://acme.test/team/web/crawler");
    expect(heard.hints).toEqual(["crawler", "crawler-class"]);
    const trustDomain = parseTrustDomain(TRUST_DOMAIN);
    const bundleText = (await send(server.url, { target: "/v1/bundle" })).text;
    const bundles = new Map([[trustDomain, parseTrustBundle(bundleText, trustDomain)]]);
    for (const { spiffe_id, x509_svid } of Object(heard.message).svids) {
      const chain = splitDer(x509_svid);
      expect(verifyX509Svid(chain, bundles, Date.now() / 1000).id).toBe(spiffe_id);
    }
    if (isRoot) expect(await call(65_533).next()).toEqual(NO_IDENTITY);
  });

  it("serves an entry that is registered, and withdraws one that is removed, on an open stream", async () => {
    await start();
    const first = await register([`unix:uid:${UID}`]);
    const caller = await callUntilServed();
    await register([`unix:uid:${UID}`], { name: "second" });
    expect((await caller.next()).ids).toHaveLength(4);
    await removeEntry(server, owner, first.entryId);
    // The feed may tell of the instance's end and of the entry's in two steps.
    let heard = await caller.next();
    while (heard.ids?.length !== 2) heard = await caller.next();
    expect(heard.ids[0]).toContain("/second/");
  });

  it("ends the stream of a revoked instance at once, and gives the process no other one", async () => {
    await start();
    await register([`unix:uid:${UID}`]);
    const caller = await callUntilServed();
    const id = caller.first.ids?.[0] ?? "";
    const revocation = await admin("/v1/revocations", { target: { kind: "instance", id } });
    expect(revocation.status).toBe(200);
    expect(await caller.next()).toEqual(NO_IDENTITY);
  });

  it("tells the server when a process has ended: its instance is revoked, and the ledger says why", async () => {
    await start();
    await register([`unix:uid:${UID}`]);
    const caller = await callUntilServed();
    const instance = caller.first.ids?.[0]?.split("/").at(-1) ?? "";
    await caller.end();
    const revocations = async () =>
      (await sendAdmin(server.adminSocket, { target: `/v1/events?kind=revoke&agent=${instance}` })).text;
    await expect.poll(revocations, { timeout: 5000 }).toContain(instance);
  });

  it("issues JWT-SVIDs of both identities for all audiences, and validates them", async () => {
    const { socketPath } = await start();
    await register([`unix:uid:${OWN_UID}`]);
    const client = createTestClient(socketPath);
    await expect
      .poll(
        () =>
          client.unary("Describe", {}).then(
            () => true,
            () => false,
          ),
        { timeout: 5000 },
      )
      .toBe(true);
    const { svids } = Object(
      await client.unary("FetchJWTSVID", { audience: ["https://a.test", "https://b.test"] }),
    );
    expect(svids).toHaveLength(2);
    for (const { svid, spiffe_id } of svids) {
      for (const audience of ["https://a.test", "https://b.test"]) {
        const valid = Object(await client.unary("ValidateJWTSVID", { audience, svid }));
        expect(valid.spiffe_id).toBe(spiffe_id);
      }
    }
    client.close();
  });

  it("renews at once when the key that signed is replaced by force, and serves a new root and a new JWT key", async () => {
    const { socketPath } = await start();
    await register([`unix:uid:${OWN_UID}`]);
    const client = createTestClient(socketPath);
    await expect.poll(() => isServed(client), { timeout: 5000 }).toBe(true);
    const [svids, jwts] = [client.stream("FetchX509SVID"), client.stream("FetchJWTBundles")];
    await Promise.all([svids.have(1), jwts.have(1)]);
    const issuerOf = (message: unknown) => String(splitDer(Object(message).svids[0].x509_svid)[1]);
    const first = issuerOf(svids.messages[0]);
    expect(
      (await admin("/v1/authority/steps", { step: "rotate", kind: "intermediate", force: true })).status,
    ).toBe(200);
    await expect.poll(() => issuerOf(svids.messages.at(-1)) !== first, { timeout: 10_000 }).toBe(true);
    expect((await admin("/v1/authority/steps", { step: "prepare", kind: "root" })).status).toBe(200);
    const roots = () => splitDer(Object(svids.messages.at(-1)).svids[0].bundle).length;
    await expect.poll(roots, { timeout: 10_000 }).toBe(2);
    expect((await admin("/v1/authority/steps", { step: "prepare", kind: "jwt" })).status).toBe(200);
    const keys = () =>
      JSON.parse(String(Object(jwts.messages.at(-1)).bundles["spiffe://acme.test"])).keys.length;
    await expect.poll(keys, { timeout: 10_000 }).toBe(2);
    client.close();
  });

  it("grants children of the caller's own instances and of no other, and they end with it", async () => {
    const { socketPath } = await start();
    const entries = ["one", "two"].map((name) => register([`unix:uid:${OWN_UID}`], { name }));
    if (isRoot) entries.push(register([`unix:uid:${UID}`], { name: "stranger" }));
    await Promise.all(entries);
    const client = createTestClient(socketPath);
    const describe = async (): Promise<readonly Readonly<Record<string, string>>[]> =>
      client.unary("Describe", {}).then(
        (answer) => Object(answer).instances,
        () => [],
      );
    await expect.poll(async () => (await describe()).length, { timeout: 5000 }).toBe(2);
    const [one, two] = (await describe()).toSorted((left, right) =>
      String(left.spiffe_id).localeCompare(String(right.spiffe_id)),
    );
    const grant = async (request: string, parent = "") =>
      String(Object(await client.unary("Grant", { request, parent })).grant);
    const child = { name: "helper", scope: ["fetch:web"] };
    const create = (parentId: string | undefined) =>
      DeliveredIdentity.fromParent({
        child,
        grant: (request) => requestParentGrant(`unix://${socketPath}`, { request, parentId }),
        events: { onChange: () => {}, onRevoked },
        runtime: quiet,
      });
    const onRevoked = vi.fn();
    // Which of two would be a guess.
    const missing = expect.objectContaining({ code: "parent_proof_missing" });
    await expect(create(undefined)).rejects.toEqual(missing);
    const stranger = isRoot ? await callUntilServed() : undefined;
    const foreign = stranger?.first.ids?.[0] ?? "spiffe://acme.test/team/web/other/inst-1";
    await expect(create(foreign)).rejects.toEqual(missing);
    const bare = grant("twr1.", foreign.split("/").at(-1));
    await expect(bare).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
    const made = await create(two?.agent_id);
    expect(made.answer.chain).toEqual([...Object(two).chain, made.answer.agent_id]);
    expect(made.answer.chain).not.toContain(one?.agent_id);
    await admin("/v1/revocations", { target: { kind: "instance", id: two?.spiffe_id } });
    await expect.poll(() => onRevoked.mock.calls.length, { timeout: 5000 }).toBe(1);
    await made.close();
    client.close();
  });

  it("E-6 and the conformance suite: every row that applies passes, reflection among them", async () => {
    const { socketPath } = await start();
    await register([`unix:uid:${OWN_UID}`]);
    const client = createTestClient(socketPath);
    await expect.poll(() => isServed(client), { timeout: 5000 }).toBe(true);
    client.close();
    const strangerUid = isRoot ? NOBODY : null;
    const verdicts = await runSuite({ socket: `unix://${socketPath}`, strangerUid });
    expect(verdicts.filter(({ verdict }) => verdict === "fail")).toEqual([]);
    expect(verdicts.find(({ id }) => id === "E-6")).toMatchObject({ verdict: "pass" });
    expect(verdicts.filter(({ verdict }) => verdict === "pass").length).toBeGreaterThan(70);
  }, 120_000);

  it("shares a few connections to its server among all that ask, however many ask at once", async () => {
    const link = await openFaultyLink(Number(new URL(server.url).port));
    const way = `https://127.0.0.1:${link.port}`;
    const { socketPath } = await start(async () =>
      formatJoinTokenValue({ ...parseJoinTokenValue(await joinToken()), server: way }),
    );
    await register([`unix:uid:${OWN_UID}`]);
    const client = createTestClient(socketPath);
    await expect.poll(() => isServed(client), { timeout: 20_000 }).toBe(true);
    let most = 0;
    const counting = setInterval(() => {
      most = Math.max(most, link.connections);
    }, 1);
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => client.unary("FetchJWTSVID", { audience: ["a"] })),
    );
    clearInterval(counting);
    expect(answers).toHaveLength(60);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(MAX_SHARED);
    client.close();
    await node?.close();
    await link.close();
  });

  it("keeps its own key in a file that only it can read, and starts again with it", async () => {
    const first = await start();
    const file = join(directory.path, "node", "node.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory.path, "node")).mode & 0o777).toBe(0o700);
    expect(statSync(first.adminSocket).mode & 0o777).toBe(0o600);
    await first.close();
    expect([existsSync(first.socketPath), existsSync(first.adminSocket)]).toEqual([false, false]);
    const again = await startNode({
      dataDir: join(directory.path, "node"),
      identityDir: join(directory.path, "node"),
      socketPath: first.socketPath,
      runtime: quiet,
    });
    node = again;
    expect(again.spiffeId).toBe(first.spiffeId);
    await again.close();
    chmodSync(file, 0o644);
    await expect(start()).rejects.toMatchObject({ code: "file_mode_too_open" });
    chmodSync(file, 0o600);
    writeFileSync(file, readFileSync(file, "utf8").slice(0, -2));
    await expect(start()).rejects.toMatchObject({ code: "config_invalid" });
  });

  it("does not start without a token, with one that was used, or with one for another server", async () => {
    const options = {
      dataDir: join(directory.path, "node"),
      socketPath: join(directory.path, "a.sock"),
      runtime: quiet,
    };
    await expect(startNode(options)).rejects.toMatchObject({ code: "join_token_invalid" });
    const used = await joinToken();
    await (await startNode({ ...options, joinToken: async () => used })).close();
    const fresh = { ...options, dataDir: join(directory.path, "other") };
    await expect(startNode({ ...fresh, joinToken: async () => used })).rejects.toMatchObject({
      code: "principal_refused",
    });
    const other = await startTestServer({}, createHome());
    try {
      const token = await joinToken();
      const { authorities_sha256, ...rest } = JSON.parse(Buffer.from(token.slice(5), "base64url").toString());
      const moved = { ...rest, authorities_sha256, server: other.url };
      const forged = `twj1.${Buffer.from(JSON.stringify(moved)).toString("base64url")}`;
      await expect(startNode({ ...fresh, joinToken: async () => forged })).rejects.toMatchObject({
        code: "server_untrusted",
      });
    } finally {
      await other.close();
      other.home.remove();
    }
    expect(existsSync(join(directory.path, "other", "node.json"))).toBe(false);
  });

  it("serves what is at hand while the server is away, and goes on when it is back", async () => {
    const { socketPath } = await start();
    await register([`unix:uid:${OWN_UID}`]);
    const client = createTestClient(socketPath);
    await expect
      .poll(
        () =>
          client.unary("Describe", {}).then(
            () => true,
            () => false,
          ),
        { timeout: 5000 },
      )
      .toBe(true);
    const ports = { port: Number(new URL(server.url).port), stopPort: Number(new URL(server.stopUrl).port) };
    await server.close();
    const stream = client.stream("FetchX509SVID");
    await stream.have(1);
    await expect(client.unary("FetchJWTSVID", { audience: ["a"] })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
    server = await startTestServer(ports, server.home);
    await expect
      .poll(
        () =>
          client.unary("FetchJWTSVID", { audience: ["a"] }).then(
            () => true,
            () => false,
          ),
        { timeout: 15_000, interval: 200 },
      )
      .toBe(true);
    await register([`unix:uid:${OWN_UID}`], { name: "later" });
    await expect.poll(() => Object(stream.messages.at(-1)).svids.length, { timeout: 5000 }).toBe(4);
    client.close();
  });
});

describe("an outage across the moment of renewal", () => {
  it("costs no agent of class A its SVID, which is renewed when the server is back, and never a stopped one's", async () => {
    // Everybody's clock: minutes pass in a moment.
    let aheadMs = 0;
    const clock = { nowMs: () => Date.now() + aheadMs, monoMs: () => performance.now() + aheadMs };
    const runtime = { ...quiet, nowMs: clock.nowMs };
    await server.close();
    server = await startTestServer({}, server.home, clock);
    node = await startNode({
      dataDir: join(directory.path, "node"),
      socketPath: join(directory.path, "agent.sock"),
      joinToken,
      runtime,
    });
    const scope = ["delete:files", "read:files"];
    for (const name of ["keeper", "doomed"])
      await register([`unix:uid:${OWN_UID}`], { name, scope: parseScope(scope), ttl_seconds: 7200 });
    const client = createTestClient(node.socketPath);
    await expect.poll(async () => (await leavesOf(client)).length, { timeout: 5000 }).toBe(2);
    const first = await leavesOf(client);
    const ofDoomed = /spiffe:\S+\/doomed\/inst-\w+/.exec(
      first.map(({ subjectAltName }) => subjectAltName).join(" "),
    )?.[0];
    const lifeMs = Date.parse(first[0]?.validTo ?? "") - clock.nowMs();
    expect(lifeMs).toBeLessThanOrEqual(600_000);
    const ports = { port: Number(new URL(server.url).port), stopPort: Number(new URL(server.stopUrl).port) };
    // Up to the latest moment of renewal, and then five minutes without a server.
    aheadMs += renewalAgeMs(lifeMs) - 1000;
    await server.close();
    aheadMs += 300_000;
    expect(serialsOf(await leavesOf(client))).toEqual(serialsOf(first));
    server = await startTestServer(ports, server.home, clock);
    const doomed = await admin("/v1/revocations", { target: { kind: "instance", id: ofDoomed } });
    expect(doomed.status).toBe(200);
    await expect.poll(async () => (await leavesOf(client)).length, { timeout: 15_000 }).toBe(1);
    const [kept] = await leavesOf(client);
    expect(kept?.subjectAltName).toContain("/keeper/");
    expect(serialsOf(first)).not.toContain(kept?.serialNumber);
    expect(Date.parse(kept?.validTo ?? "")).toBeGreaterThan(clock.nowMs() + 500_000);
    client.close();
  });
});

/** Certificates of the instances that a new stream is given; none while there is no identity. */
async function leavesOf(client: ReturnType<typeof createTestClient>): Promise<readonly X509Certificate[]> {
  const stream = client.stream("FetchX509SVID");
  await Promise.race([stream.have(1), stream.ended]);
  stream.cancel();
  const svids: readonly { readonly spiffe_id: string; readonly x509_svid: Buffer }[] =
    Object(stream.messages[0]).svids ?? [];
  return svids
    .filter(({ spiffe_id }) => spiffe_id.includes("/inst-"))
    .map(({ x509_svid }) => new X509Certificate(splitDer(x509_svid)[0] ?? new Uint8Array()));
}

function serialsOf(leaves: readonly X509Certificate[]): readonly string[] {
  return leaves.map(({ serialNumber }) => serialNumber);
}

async function isServed(client: ReturnType<typeof createTestClient>): Promise<boolean> {
  return client.unary("Describe", {}).then(
    () => true,
    () => false,
  );
}

/** Calls anew until the answer is the wanted one: an entry is known to the node a moment after it was registered. */
async function until(make: () => Caller, isWanted: (heard: Awaited<ReturnType<Caller["next"]>>) => boolean) {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const heard = await make().next();
    if (isWanted(heard)) return heard;
  }
  throw new Error("not served");
}

async function callUntilServed(): Promise<Caller & { readonly first: Awaited<ReturnType<Caller["next"]>> }> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const caller = call();
    const first = await caller.next();
    if (first.ids !== undefined) return { ...caller, first };
  }
  throw new Error("not served");
}

function splitDer(bytes: Buffer): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const length = 4 + rest.readUInt16BE(2);
    chain.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return chain;
}
