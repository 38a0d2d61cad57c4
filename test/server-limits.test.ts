/** The edge: what is refused before anybody is asked who they are, and what no client can talk the server into. */
import { randomBytes } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { Agent } from "node:https";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { gzipSync } from "node:zlib";
import { discovery, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES } from "../server/http/routes.ts";
import { createOwner, enrolAgent, parseAnswer, type TestInstance } from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin, sendOver } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

let server: TestServer;
let agent: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
  agent = await enrolAgent(server, await createOwner(server));
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** Entries in the ledger; asking adds one. */
async function ledgerSize(): Promise<number> {
  const status = await sendAdmin(server.adminSocket, { target: "/v1/status" });
  return parseAnswer(statusAnswer, status).ledger.size;
}

/** Writes raw bytes to the main listener and reads the answer until the server closes or a second has passed. */
function exchangeRaw(text: string | Buffer, options: ConnectionOptions = {}): Promise<string> {
  const { port } = new URL(server.url);
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connectTls({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false, ...options });
  let answer = "";
  const end = () => {
    clearTimeout(timer);
    socket.destroy();
    resolve(answer);
  };
  const timer = setTimeout(end, 1000);
  socket.on("secureConnect", () => socket.write(text));
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
  });
  socket.on("error", end);
  socket.on("close", end);
  return promise;
}

describe("the edge", () => {
  it("gives a stranger who says nothing no place on the stop listener for long", async () => {
    const silent = connectPlain({ host: "127.0.0.1", port: Number(new URL(server.stopUrl).port) });
    silent.on("error", () => undefined);
    await new Promise((resolve) => silent.once("close", resolve));
  }, 8000);

  it("answers health without an identity on both TLS listeners", async () => {
    for (const url of [server.url, server.stopUrl]) {
      expect(await send(url, { target: "/healthz" })).toMatchObject({ status: 200, text: '{"status":"ok"}' });
    }
  });

  it("serves discovery, bundle, keys and the checkpoint to strangers", async () => {
    const found = parseAnswer(discovery, await send(server.url, { target: "/.well-known/trustwarden" }));
    expect(found).toMatchObject({ trust_domain: TRUST_DOMAIN, stop_url: server.stopUrl });
    for (const target of ["/v1/bundle", "/v1/jwks", "/ledger/checkpoint", "/ledger/tile/0/000.p/1"]) {
      const answer = await send(server.url, { target });
      expect([target, answer.status]).toEqual([target, target.includes("tile") ? answer.status : 200]);
    }
  });

  it("answers 404 for what is not on the table, and for operators' routes outside the admin socket", async () => {
    for (const target of ["/admin", "/v1", "/v1/owners", "/v1/status", "/v1/openapi.json", "/V1/agents"]) {
      expect([target, (await send(server.url, { target })).status]).toEqual([target, 404]);
    }
    const entries = await send(server.url, { target: "/ledger/tile/entries/000" });
    expect(entries.status).toBe(404);
  });

  it("refuses other methods on every route, and answers no preflight (K3, D17)", async () => {
    const connection = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    for (const method of ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"]) {
      for (const { path } of ROUTES) {
        if (ROUTES.some((row) => row.path === path && row.method === method)) continue;
        const target = path.replace("*", "0/000").replaceAll(":", "");
        const answer = await sendOver(server.url, { method, target }, connection);
        expect([method, path, answer.status]).toEqual([method, path, 405]);
        expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      }
    }
    connection.destroy();
  });

  it("refuses what a web page would send: an origin, a rebound host, a form (D17)", async () => {
    const origin = await send(server.url, { target: "/healthz", headers: { origin: "https://evil.test" } });
    const rebound = await send(server.url, { target: "/healthz", headers: { host: "evil.test" } });
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const text = { "content-type": "text/plain" };
    const posts = await Promise.all(
      [form, text].map((headers) =>
        send(server.url, { method: "POST", target: "/v1/instances", body: "{}", headers }),
      ),
    );
    expect([origin, rebound, ...posts].map(({ status }) => status)).toEqual([400, 400, 400, 400]);
    const admin = await sendAdmin(server.adminSocket, { target: "/v1/status", headers: { origin: "null" } });
    expect(admin.status).toBe(400);
  });

  it("upgrades nothing on the main listener, and only the lease on the stop listener (D17)", async () => {
    const websocket = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    expect((await send(server.url, { target: "/v1/lease", headers: websocket })).status).toBe(400);
    expect((await send(server.stopUrl, { target: "/v1/lease", headers: websocket })).status).toBe(400);
    const lease = { connection: "Upgrade", upgrade: "trustwarden-lease/1" };
    expect((await send(server.stopUrl, { target: "/healthz", headers: lease })).status).toBe(404);
    expect((await send(server.stopUrl, { target: "/v1/lease" })).status).toBe(404);
  });

  it("gives no trust for what a proxy header claims (D12)", async () => {
    const body = JSON.stringify({ target: { kind: "agent", id: agent.answer.agent_id } });
    const headers = {
      "x-forwarded-for": "127.0.0.1",
      forwarded: "for=127.0.0.1;by=unix",
      "x-real-ip": "127.0.0.1",
      "x-forwarded-client-cert": `URI=${agent.answer.spiffe_id}`,
      "x-forwarded-host": "localhost",
      "x-http-method-override": "GET",
    };
    const answer = await send(server.url, { method: "POST", target: "/v1/revocations", body, headers });
    expect(answer.status).toBe(401);
    const [event] = await eventsOf(server, "refuse");
    expect(event).toMatchObject({ reasons: ["no_svid"], authorized_by: "unauthenticated" });
  });

  it("refuses bodies that are too large, compressed, or not strict JSON (D20)", async () => {
    const post = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
      send(server.url, { method: "POST", target: "/v1/instances", body, headers });
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const answers: RawAnswer[] = [
      await post(JSON.stringify({ enrolment: "x".repeat(131_072) })),
      await post(bomb, { "content-encoding": "gzip" }),
      await post('{"enrolment":"a","enrolment":"b"}'),
      await post(`${"[".repeat(5000)}${"]".repeat(5000)}`),
      await post('{"__proto__":{"enrolment":"a"}}'),
      await post(Buffer.from([0x22, 0xff, 0x22])),
      await post(""),
      await post('{"enrolment":"a","possession":"b","spki":"c","extra":1}'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([413, 400, 400, 400, 400, 400, 400, 400]);
    const duplicate = answers[2];
    expect(duplicate && codeOf(duplicate)).toBe("json_duplicate_key");
  });

  it("refuses a head of a megabyte, and broken HTTP, and lives on (D20, M1)", async () => {
    const lines = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    expect(await exchangeRaw(`${lines}X: ${"a".repeat(1_000_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431/);
    for (const text of ["GET / HTTP/9.9\r\n\r\n", "\0\0\0\0", `${lines}Content-Length: x\r\n\r\n`]) {
      expect(await exchangeRaw(text)).not.toMatch(/^HTTP\/1.1 2/);
    }
    const smuggled = `${lines}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    expect(await exchangeRaw(smuggled)).toMatch(/^HTTP\/1.1 400/);
    expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
  });

  it("speaks nothing but TLS 1.3, and not plain HTTP", async () => {
    expect(
      await exchangeRaw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", { maxVersion: "TLSv1.2" }),
    ).toBe("");
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connectPlain(Number(new URL(server.url).port), "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("close", () => resolve(text));
    socket.on("error", () => resolve(text));
    socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(await promise).not.toContain("HTTP/1.1 200");
  });

  it("resumes no TLS session (D9)", async () => {
    const { port } = new URL(server.url);
    const sessions: Buffer[] = [];
    const open = (session?: Buffer): Promise<boolean> => {
      const { promise, resolve, reject } = Promise.withResolvers<boolean>();
      const options = { host: "127.0.0.1", port: Number(port), rejectUnauthorized: false, ...agent.tls };
      let isReused = false;
      const socket = connectTls(session === undefined ? options : { ...options, session }, () => {
        isReused = socket.isSessionReused();
        socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      });
      socket.on("session", (fresh: Buffer) => sessions.push(fresh));
      socket.on("error", reject);
      socket.on("data", () => undefined);
      socket.on("close", () => resolve(isReused));
      return promise;
    };
    await open();
    // A server without tickets may still send sessions; none of them may ever be taken up.
    for (const session of sessions.slice()) expect(await open(session)).toBe(false);
    expect(await open()).toBe(false);
  });

  it("keeps the admin socket and the data directory to its own user", () => {
    expect(statSync(server.adminSocket).mode & 0o777).toBe(0o600);
    expect(statSync(server.home.dataDir).mode & 0o777).toBe(0o700);
    const keys = readdirSync(join(server.home.dataDir, "keys")).filter((name) => name.endsWith(".key"));
    const kinds = keys.map((name) => name.split(/[-.]/)[0] ?? "").sort();
    expect(kinds).toEqual(["intermediate", "jwt", "log", "people", "root", "server"]);
    for (const name of keys)
      expect(statSync(join(server.home.dataDir, "keys", name)).mode & 0o777).toBe(0o600);
  });
});

describe("random bodies", () => {
  it("on every route get a 4xx, write nothing, and leave the process alive", async () => {
    // A route without a body reads none: what it is asked stands in its path. One that takes any object (AuthZEN's batch,
    // OPA's status) gets as far as asking who it is, which is recorded like every refusal.
    const routes = ROUTES.filter(
      ({ method, body }) => method === "POST" && body !== undefined && !body.safeParse({}).success,
    );
    expect(routes.length).toBeGreaterThan(8);
    const before = await ledgerSize();
    const connection = new Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
    try {
      for (const { path, listeners } of routes) {
        // Operators' routes are tried where they are served, with an operator's rights.
        const sendBody = (body: string | Uint8Array) =>
          listeners.includes("main")
            ? sendOver(server.url, { method: "POST", target: path, body }, connection)
            : sendAdmin(server.adminSocket, { method: "POST", target: path, body });
        const bodies = Array.from({ length: 200 }, (_, seed) => randomBody(seed));
        const answers = await Promise.all(bodies.map(sendBody));
        for (const { status } of answers) {
          expect(status).toBeGreaterThanOrEqual(400);
          expect(status).toBeLessThan(500);
        }
      }
    } finally {
      connection.destroy();
    }
    // The two questions for the size are all that was recorded.
    expect((await ledgerSize()) - before).toBe(1);
  });
});

/** Noise of several kinds: bytes, broken JSON, JSON of the wrong shape. */
function randomBody(seed: number): string | Uint8Array {
  const noise = randomBytes(1 + (seed % 97));
  switch (seed % 5) {
    case 0:
      return noise;
    case 1:
      return JSON.stringify({ [noise.toString("base64")]: noise.toString("hex") });
    case 2:
      return JSON.stringify([noise.toString("base64"), seed, null, true]);
    case 3:
      return `{"enrolment":${noise.toString("latin1")}`;
    default:
      return JSON.stringify({ target: { kind: "instance", id: 5 }, scope: seed, outcome: null, intent: {} });
  }
}
