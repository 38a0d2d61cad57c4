/** Watching a real server: the tree by pages, and decisions as they are made. */
import { request } from "node:http";
import { liveFrame, treeAnswer } from "@trustwarden/core/api/tree.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, ownerRequest, serverIdOf, type TestOwner } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let owner: TestOwner;
let aud: string;

beforeAll(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
  await enrolAgent(server, owner);
  aud = await serverIdOf(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const framesOf = ({ text }: RawAnswer) =>
  text
    .split("\n\n")
    .filter((part) => part.startsWith("data: "))
    .map((part) => liveFrame.parse(JSON.parse(part.slice("data: ".length))));

const asOwner = (target: string) => send(server.url, ownerRequest(owner, { method: "GET", target, aud }));

describe("the live row", () => {
  it("sends as many frames as were asked for, as server-sent events that nobody caches", async () => {
    const answer = await sendAdmin(server.adminSocket, { target: "/v1/live?frames=2" });
    expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(answer.headers["cache-control"]).toBe("no-store");
    const frames = framesOf(answer);
    expect(frames).toHaveLength(2);
    expect(frames[0]?.counts).toMatchObject({ owners: 1, agents: 1, live_instances: 1 });
    // As the server found it at its start; later frames have none.
    expect(frames.map(({ ratio }) => ratio)).toEqual([
      [{ at: expect.any(Number), owners: 0, agents: 0 }],
      undefined,
    ]);
    expect(frames[1]?.ledger.size).toBeGreaterThan(0);
  });

  it("shows an owner no counts of everybody", async () => {
    const [frame] = framesOf(await asOwner("/v1/live?frames=1"));
    expect(frame?.counts).toBeNull();
    expect(frame?.ratio).toBeUndefined();
  });

  it("refuses more frames than a minute's, and whoever proves nothing", async () => {
    expect(codeOf(await sendAdmin(server.adminSocket, { target: "/v1/live?frames=121" }))).toBe(
      "request_malformed",
    );
    expect(codeOf(await send(server.url, { target: "/v1/live?frames=1" }))).toBe("principal_refused");
  });

  it("does not hold up a server that closes", async () => {
    const other = await startTestServer();
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const outgoing = request({ socketPath: other.adminSocket, path: "/v1/live" }, (answer) => {
      answer.once("data", () => resolve());
      answer.once("error", () => undefined);
      answer.once("close", () => end());
    });
    outgoing.end();
    await begun;
    await other.close();
    await ended;
    other.home.remove();
  });
});

describe("the tree row", () => {
  const rowsOf = async (answer: RawAnswer | Promise<RawAnswer>) =>
    treeAnswer.parse(jsonOf(await answer)).rows;
  const asOperator = (target: string) => sendAdmin(server.adminSocket, { target });

  it("leads from owners to agents", async () => {
    const [first] = await rowsOf(asOperator("/v1/tree"));
    expect(first).toMatchObject({ kind: "owner", id: owner.ownerId, below: 1, is_more: false });
    const [agent] = await rowsOf(asOperator(`/v1/tree?under=${owner.ownerId}`));
    expect(agent).toMatchObject({ kind: "agent", owner_id: owner.ownerId, status: "live" });
    expect(await rowsOf(asOperator(`/v1/tree?under=${agent?.id}`))).toEqual([]);
    const place = encodeURIComponent(`${agent?.path}/${agent?.name.slice(0, 2)}`);
    expect(await rowsOf(asOperator(`/v1/tree?prefix=${place}`))).toEqual([agent]);
    expect(await rowsOf(asOperator(`/v1/tree?prefix=${agent?.name.slice(0, 2)}`))).toContainEqual(agent);
  });

  it("shows an owner its own agents and says of others' that they are not there", async () => {
    expect((await rowsOf(asOwner("/v1/tree"))).map(({ kind }) => kind)).toEqual(["agent"]);
    const other = await asOwner("/v1/tree?under=own_01J0000000000000000000000A");
    expect(codeOf(other)).toBe("not_found");
    expect(codeOf(await asOperator("/v1/tree?prefix=a&cursor=x"))).toBe("request_malformed");
  });
});
