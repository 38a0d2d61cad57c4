/** Watching with a session: it ends with the session, and does not keep one alive. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sendAdmin } from "./support/http.ts";
import { CONSOLE, createPerson, originOf, sendConsole, type TestPerson } from "./support/people.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const MINUTE_MS = 60_000;

let server: TestServer;
let offsetMs = 0;

beforeAll(async () => {
  server = await startTestServer(CONSOLE, undefined, {
    nowMs: () => Date.now() + offsetMs,
    monoMs: () => performance.now(),
  });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const get = (target: string, { cookie }: TestPerson) => sendConsole(server, { target }, cookie);

/** A stream that has begun; `ended` is its end, before the minute is over when it was cut. */
async function watch({ cookie }: TestPerson): Promise<{ readonly ended: Promise<number> }> {
  const { promise: begun, resolve: begin, reject } = Promise.withResolvers<void>();
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  const { port, host } = new URL(originOf(server));
  let frames = 0;
  const headers = { host, cookie, "sec-fetch-site": "same-origin" };
  const outgoing = request({ host: "127.0.0.1", port, path: "/v1/live", headers }, (answer) => {
    answer.on("data", (chunk: Buffer) => {
      frames += chunk.toString().split("data: ").length - 1;
      begin();
    });
    answer.once("error", () => undefined);
    answer.once("close", () => end(frames));
  });
  outgoing.once("error", reject);
  outgoing.end();
  await begun;
  return { ended };
}

describe("a stream of somebody who is logged in", () => {
  it("ends when the session is ended", async () => {
    const person = await createPerson(server, { roles: ["auditor"] });
    const { ended } = await watch(person);
    await sendConsole(server, { method: "POST", target: "/v1/session/end", body: "{}" }, person.cookie);
    expect(await ended).toBeLessThan(60);
  });

  it("ends when the owner that the person is was stopped", async () => {
    const person = await createPerson(server, { roles: ["owner"] });
    const { ended } = await watch(person);
    const body = JSON.stringify({ target: { kind: "owner", id: person.ownerId }, reason: "left" });
    const stopped = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    expect(stopped.status).toBe(200);
    expect(await ended).toBeLessThan(60);
  });

  it("is no use of the session: whoever leaves a page open is logged out as without one", async () => {
    const left = await createPerson(server, { roles: ["auditor"] });
    const used = await createPerson(server, { roles: ["auditor"] });
    offsetMs += 20 * MINUTE_MS;
    expect((await get("/v1/live?frames=1", left)).status).toBe(200);
    expect((await get("/v1/session", used)).status).toBe(200);
    offsetMs += 20 * MINUTE_MS;
    expect((await get("/v1/live?frames=1", left)).status).toBe(401);
    expect((await get("/v1/session", left)).status).toBe(401);
    expect((await get("/v1/session", used)).status).toBe(200);
  });
});
