/** A server that is asked more than it takes: who is refused early, who is not, and what is never refused. */
import { once } from "node:events";
import { Agent } from "node:https";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  intentOf,
  ownerRequest,
  serverIdOf,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin, sendOver } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

/** So few that a handful of requests at once is too much. */
const PLACES = 12;

let server: TestServer;
let aud: string;
let flooder: TestInstance;
let flooding: TestOwner;
let modest: TestInstance;

beforeAll(async () => {
  server = await startTestServer({ intake: { requests: PLACES } });
  aud = await serverIdOf(server);
  flooding = await createOwner(server, "flooder");
  flooder = await enrolAgent(server, flooding, { scope: ["read:transactions"], name: "flooder" });
  modest = await enrolAgent(server, await createOwner(server, "modest"), {
    scope: ["read:transactions"],
    name: "modest",
  });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

function connections(agent: TestInstance): Agent {
  return new Agent({ keepAlive: true, rejectUnauthorized: false, maxCachedSessions: 0, ...agent.tls });
}

function ask(agent: TestInstance, over: Agent): Promise<RawAnswer> {
  const { envelope } = intentOf(agent, { aud });
  const body = JSON.stringify({ intent: envelope, svid_chain: agent.answer.svid_chain });
  return sendOver(server.url, { method: "POST", target: "/v1/decisions", body }, over);
}

/** Each request over a connection of its own. */
function newConnections(agent: TestInstance): Agent {
  return new Agent({ keepAlive: false, rejectUnauthorized: false, maxCachedSessions: 0, ...agent.tls });
}

/** Floods until told to end; every answer, also as it comes in. */
function flood(over = connections(flooder), answers: RawAnswer[] = []): () => Promise<readonly RawAnswer[]> {
  let isOver = false;
  const lanes = Array.from({ length: 30 }, async () => {
    while (!isOver) answers.push(await ask(flooder, over));
  });
  return async () => {
    isOver = true;
    await Promise.all(lanes);
    over.destroy();
    return answers;
  };
}

describe("a server that one owner's agent floods", () => {
  it("refuses the flood early, with a time to come again, and nobody else", async () => {
    const end = flood();
    const over = connections(modest);
    for (let asked = 0; asked < 30; asked += 1) expect((await ask(modest, over)).status).toBe(200);
    over.destroy();
    const answers = await end();
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.length).toBeGreaterThan(refused.length);
    for (const answer of refused) {
      expect([answer.status, codeOf(answer), answer.headers["retry-after"]]).toEqual([
        429,
        "overloaded",
        "1",
      ]);
    }
  });

  it("refuses nobody else's new connection either, whose first request is its owner's", async () => {
    const answers: RawAnswer[] = [];
    const end = flood(newConnections(flooder), answers);
    const over = newConnections(modest);
    const isRefused = () => answers.some(({ status }) => status === 429);
    // New connections cost the machine most: on a busy one it takes a while until they are too many.
    for (let asked = 0; asked < 10 || (asked < 300 && !isRefused()); asked += 1)
      expect((await ask(modest, over)).status).toBe(200);
    await end();
    expect(isRefused()).toBe(true);
  });

  it("keeps no place for those who send their bodies slowly", async () => {
    const { hostname: host, port } = new URL(server.url);
    const head =
      "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{";
    const slow = await Promise.all(
      Array.from({ length: 3 * PLACES }, async () => {
        const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
        await once(socket, "secureConnect");
        socket.write(head);
        return socket;
      }),
    );
    for (let asked = 0; asked < 3; asked += 1) {
      expect((await send(server.url, { target: "/v1/bundle" })).status).toBe(200);
      expect((await send(server.url, { target: "/v1/events" }, modest.tls)).status).toBe(401);
    }
    for (const socket of slow) socket.destroy();
  });

  it("counts what it refused, under the flooder's name", async () => {
    const counted = async () =>
      (await eventsOf(server, "refuse")).some(
        ({ reasons: [code], authorized_by: by }) => code === "overloaded" && by === flooder.answer.spiffe_id,
      );
    await expect.poll(counted, { timeout: 20_000 }).toBe(true);
  });

  it("still answers health, operators, and whoever stops the flooder", async () => {
    const end = flood();
    for (let asked = 0; asked < 10; asked += 1) {
      expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
      expect((await sendAdmin(server.adminSocket, { target: "/v1/status" })).status).toBe(200);
    }
    const body = JSON.stringify({ target: { kind: "instance", id: flooder.answer.instance_id } });
    const request = ownerRequest(flooding, { method: "POST", target: "/v1/revocations", body, aud });
    expect((await send(server.url, request)).status).toBe(200);
    await end();
    const over = connections(flooder);
    expect((await ask(flooder, over)).status).toBe(401);
    over.destroy();
  });
});
