/** Time at the server: what has expired stays so, on open connections and when the clock is set back (D9, D13). */
import { Agent } from "node:https";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
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
import { codeOf, type RawRequest, send, sendAdmin, sendOver } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const HOUR_MS = 3_600_000;

let server: TestServer;
let owner: TestOwner;
let agent: TestInstance;
let request: () => RawRequest;
let offsetMs: number;

beforeEach(async () => {
  offsetMs = 0;
  server = await startTestServer({}, undefined, {
    nowMs: () => Date.now() + offsetMs,
    monoMs: () => performance.now(),
  });
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner);
  const aud = await serverIdOf(server);
  const body = JSON.stringify({ audience: "https://api.test" });
  request = () =>
    signedRequest(agent, { method: "POST", target: "/v1/jwt-svids", body, action: "issue:jwt-svid", aud });
});
afterEach(async () => {
  await server.close();
  server.home.remove();
});

describe("time", () => {
  it("ends an SVID on a connection that stays open", async () => {
    const connection = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...agent.tls });
    try {
      const first = await sendOver(server.url, request(), connection);
      offsetMs = 2 * HOUR_MS;
      const second = await sendOver(server.url, request(), connection);
      expect([first.status, second.status]).toEqual([200, 401]);
      expect(second.localPort).toBe(first.localPort);
      expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["svid_expired"]);
    } finally {
      connection.destroy();
    }
  });

  it("that is set back decides nothing that expires, but stops", async () => {
    offsetMs = -HOUR_MS;
    const answer = await send(server.url, request(), agent.tls);
    expect([answer.status, codeOf(answer)]).toEqual([503, "clock_rolled_back"]);
    expect(codeOf(await send(server.url, { target: "/v1/nonce" }))).toBe("clock_rolled_back");
    const body = JSON.stringify({ target: { kind: "owner", id: owner.ownerId } });
    const stopped = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    expect(parseAnswer(revocationAnswer, stopped).instances).toBe(1);
  });

  it("may be corrected by a few seconds", async () => {
    offsetMs = -5000;
    expect((await send(server.url, request(), agent.tls)).status).toBe(200);
  });
});
