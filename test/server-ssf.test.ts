/** Security events of a real server at a real receiver, verified with another library than ours. */
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, spawn } from "./support/actors.ts";
import { jsonOf, send, sendAdmin } from "./support/http.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "./support/server.ts";
import { accepting, offering, postAsOwner, signTransfer, transferDocument } from "./support/transfers.ts";
import { createWebCertificate, type WebCertificate } from "./support/web-certificate.ts";

const AUDIENCE = "https://receiver.test";
const CAEP = "https://schemas.openid.net/secevent/caep/event-type";

let web: WebCertificate;
let home: TestHome;
let server: TestServer | undefined;
let receiver: Server | undefined;
beforeAll(() => {
  web = createWebCertificate();
});
afterAll(() => web.remove());
afterEach(async () => {
  await server?.close();
  server = undefined;
  receiver?.closeAllConnections();
  receiver?.close();
  home.remove();
});

interface Push {
  readonly type: string | undefined;
  readonly token: string;
}

/** A receiver that answers with a status; what it was sent is kept. */
async function openReceiver(statusOf: (count: number) => number) {
  const pushes: Push[] = [];
  const files = { key: readFileSync(web.keyFile), cert: readFileSync(web.certFile) };
  const listener = createServer(files, (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      pushes.push({ type: request.headers["content-type"], token: Buffer.concat(parts).toString() });
      response.writeHead(statusOf(pushes.length)).end();
    });
  });
  receiver = listener;
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address: AddressInfo | string | null = listener.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return { url: `https://127.0.0.1:${address.port}/events`, pushes };
}

async function start(url: string): Promise<TestServer> {
  const caFile = join(home.configDir, "..", "receiver-ca.pem");
  writeFileSync(caFile, web.ca);
  server = await startTestServer(
    { sinks: [{ kind: "ssf", name: "receiver", url, audience: AUDIENCE, caFile }] },
    home,
  );
  return server;
}

/** What a receiver does: metadata, key, signature, issuer, audience, type. */
async function verified(from: TestServer, { token }: Push) {
  const metadata = jsonOf(await send(from.url, { target: "/.well-known/ssf-configuration" }));
  const { pathname } = new URL(String(metadata.jwks_uri));
  const keys: JSONWebKeySet = JSON.parse((await send(from.url, { target: pathname })).text);
  const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(keys), {
    issuer: String(metadata.issuer),
    audience: AUDIENCE,
    typ: "secevent+jwt",
    algorithms: ["ES256"],
  });
  return { payload, protectedHeader };
}

const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 25_000 });

async function revoke(of: TestServer, target: object): Promise<void> {
  const body = JSON.stringify({ target, reason: "Carol saw something odd" });
  const answer = await sendAdmin(of.adminSocket, { method: "POST", target: "/v1/revocations", body });
  expect(answer.status).toBe(200);
}

describe("the transmitter of security events", () => {
  it("tells of an agent that was given away as of one that was stopped, and of the offer nothing", async () => {
    home = createHome();
    const { url, pushes } = await openReceiver(() => 202);
    const running = await start(url);
    const [giver, receiving] = [await createOwner(running, "giver"), await createOwner(running, "taker")];
    const agent = await enrolAgent(running, giver);
    const transfer = transferDocument(agent, { from: giver.ownerId, to: receiving.ownerId });
    const offer = signTransfer(transfer, giver);
    await postAsOwner(running, giver, offering(offer));
    await postAsOwner(running, receiving, accepting(offer, signTransfer(transfer, receiving)));
    await eventually(() => pushes.length).toBe(1);
    const [set] = await Promise.all(pushes.map((push) => verified(running, push)));
    expect(set?.payload).toMatchObject({
      sub_id: { format: "opaque", id: agent.answer.agent_id },
      events: { [`${CAEP}/session-revoked`]: { initiating_entity: "user" } },
    });
  });

  it("pushes a stop and a narrowing as signed CAEP events that another library verifies", async () => {
    home = createHome();
    const { url, pushes } = await openReceiver(() => 202);
    const running = await start(url);
    const owner = await createOwner(running);
    const parent = await enrolAgent(running, owner, { scope: ["read:transactions", "read:accounts"] });
    const child = await spawn(running, parent, { scope: ["read:transactions"] });
    const narrowing = { instance_id: parent.answer.instance_id, scope: ["read:transactions"] };
    await sendAdmin(running.adminSocket, {
      method: "POST",
      target: "/v1/narrowings",
      body: JSON.stringify(narrowing),
    });
    await revoke(running, { kind: "instance", id: child.answer.instance_id });
    // Of which nothing is sent: a job is nobody's session, and its name is somebody's text.
    await revoke(running, { kind: "job", id: "invoices of Carol" });
    await revoke(running, { kind: "agent", id: parent.answer.agent_id });
    await eventually(() => pushes.length).toBe(4);
    expect(new Set(pushes.map(({ type }) => type))).toEqual(new Set(["application/secevent+jwt"]));
    const sets = await Promise.all(pushes.map((push) => verified(running, push)));
    const issuer = "https://acme.test";
    expect(sets.map(({ payload }) => [payload.sub_id, payload.events])).toMatchObject([
      [
        { format: "iss_sub", iss: issuer, sub: parent.answer.spiffe_id },
        {
          [`${CAEP}/token-claims-change`]: {
            claims: { scope: "read:transactions" },
            initiating_entity: "admin",
          },
        },
      ],
      [
        { format: "iss_sub", iss: issuer, sub: child.answer.spiffe_id },
        { [`${CAEP}/session-revoked`]: { initiating_entity: "admin" } },
      ],
      [
        { format: "iss_sub", iss: issuer, sub: child.answer.spiffe_id },
        { [`${CAEP}/credential-change`]: { credential_type: "x509", change_type: "revoke" } },
      ],
      [{ format: "opaque", id: parent.answer.agent_id }, { [`${CAEP}/session-revoked`]: {} }],
    ]);
    for (const { payload } of sets) {
      expect(Object.keys(payload).sort()).toEqual(["aud", "events", "iat", "iss", "jti", "sub_id"]);
      expect(JSON.stringify(payload)).not.toContain("Carol");
    }
    expect(new Set(sets.map(({ payload }) => payload.jti)).size).toBe(4);
  });

  it("offers an event again until the receiver takes it, under the same jti, and after a restart goes on behind it", async () => {
    home = createHome();
    const { url, pushes } = await openReceiver((count) => (count < 3 ? 503 : 202));
    const first = await start(url);
    const owner = await createOwner(first);
    const agent = await enrolAgent(first, owner);
    await revoke(first, { kind: "agent", id: agent.answer.agent_id });
    await eventually(() => pushes.length).toBe(3);
    const ids = await Promise.all(pushes.map(async (push) => (await verified(first, push)).payload.jti));
    expect(new Set(ids).size).toBe(1);
    await first.close();
    const second = await start(url);
    await revoke(second, { kind: "owner", id: owner.ownerId });
    await eventually(() => pushes.length).toBe(4);
    const { payload } = await verified(second, pushes[3] ?? { type: "", token: "" });
    expect(payload.sub_id).toEqual({ format: "opaque", id: owner.ownerId });
  });

  it("does not take a 200, a redirect or a refusal for an acceptance", async () => {
    home = createHome();
    const statuses = [200, 307, 400, 202];
    const { url, pushes } = await openReceiver((count) => statuses[count - 1] ?? 202);
    const running = await start(url);
    const agent = await enrolAgent(running, await createOwner(running));
    await revoke(running, { kind: "agent", id: agent.answer.agent_id });
    await eventually(() => pushes.length).toBe(4);
  });
});
