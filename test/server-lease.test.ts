/** The lease connection: through the same guard as everything, and cut as soon as its verifier is no more. */
import { connect, type TLSSocket } from "node:tls";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, enrolVerifier, parseAnswer, type TestInstance } from "./support/actors.ts";
import { type ClientTls, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let verifier: TestInstance;
let agent: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
  verifier = await enrolVerifier(server);
  agent = await enrolAgent(server, await createOwner(server));
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

interface Lease {
  readonly socket: TLSSocket;
  readonly closed: Promise<void>;
  /** Resolves with the first text that contains `part`. */
  waitFor(part: string): Promise<string>;
  beat(ack: number): void;
}

function openLease(
  tls: ClientTls | undefined,
  head = "Upgrade: trustwarden-lease/1\r\nConnection: Upgrade\r\n",
  url = server.stopUrl,
): Lease {
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(url).port),
    rejectUnauthorized: false,
    ...tls,
  });
  const closed = Promise.withResolvers<void>();
  const waiting: { readonly part: string; readonly resolve: (text: string) => void }[] = [];
  let text = "";
  const look = () => {
    for (const { part, resolve } of waiting) if (text.includes(part)) resolve(text);
  };
  socket.on("secureConnect", () => socket.write(`GET /v1/lease HTTP/1.1\r\nHost: localhost\r\n${head}\r\n`));
  socket.on("data", (chunk) => {
    text += chunk.toString("utf8");
    look();
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => closed.resolve());
  return {
    socket,
    closed: closed.promise,
    waitFor(part) {
      const { promise, resolve } = Promise.withResolvers<string>();
      waiting.push({ part, resolve });
      look();
      return promise;
    },
    beat: (ack) => socket.write(`${JSON.stringify({ ack, nonce: "AAAAAAAAAAAAAAAAAAAAAA" })}\n`),
  };
}

const revoke = async (target: TestInstance) => {
  const body = JSON.stringify({ target: { kind: "instance", id: target.answer.instance_id } });
  const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  return parseAnswer(revocationAnswer, answer);
};

describe("a lease", () => {
  it("is refused to agents and strangers, and that is recorded", async () => {
    for (const [tls, code] of [
      [undefined, "no_svid"],
      [agent.tls, "no_intent"],
    ] as const) {
      const lease = openLease(tls);
      expect(await lease.waitFor("principal_refused")).toMatch(/^HTTP\/1.1 401 /);
      await lease.closed;
      expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual([code]);
    }
  });

  it("is refused under another protocol's name, with a query, or with an origin", async () => {
    const wrong = openLease(verifier.tls, "Upgrade: trustwarden-lease/2\r\nConnection: Upgrade\r\n");
    expect(await wrong.waitFor("\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
    const origin = openLease(
      verifier.tls,
      "Upgrade: trustwarden-lease/1\r\nConnection: Upgrade\r\nOrigin: null\r\n",
    );
    expect(await origin.waitFor("\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
  });

  it("carries revocations to a verifier, and the caller learns who acknowledged", async () => {
    const lease = openLease(verifier.tls);
    const hello = await lease.waitFor('"hello"');
    expect(hello).toMatch(/^HTTP\/1.1 101 /);
    lease.beat(0);
    await lease.waitFor('"echo"');
    const revoking = revoke(agent);
    const pushed = await lease.waitFor('"targets"');
    const line = pushed.split("\n").find((part) => part.includes('"targets"')) ?? "";
    expect(parseJsonObject(line)).toMatchObject({ epoch: 1 });
    expect(line).toContain(agent.answer.instance_id);
    lease.beat(1);
    expect(await revoking).toMatchObject({ epoch: 1, instances: 1, acked: 1, expired: 0, recorded: true });
    const [held] = await eventsOf(server, "admin");
    expect(held).toMatchObject({ authorized_by: verifier.answer.spiffe_id, outcome: "success" });
    lease.socket.destroy();
  });

  it("is cut when its verifier is revoked, and not given again (D10)", async () => {
    const lease = openLease(verifier.tls);
    await lease.waitFor('"hello"');
    lease.beat(1);
    await lease.waitFor('"echo"');
    await revoke(verifier);
    await lease.closed;
    const again = openLease(verifier.tls);
    expect(await again.waitFor("\r\n\r\n")).toMatch(/^HTTP\/1.1 401 /);
    expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["identity_revoked"]);
  });

  it("does not hold up the end of the server", async () => {
    const second = await startTestServer();
    const holder = await enrolVerifier(second);
    const lease = openLease(holder.tls, undefined, second.stopUrl);
    await lease.waitFor('"hello"');
    lease.beat(0);
    await second.close();
    await lease.closed;
    second.home.remove();
  });
});
