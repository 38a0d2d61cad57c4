/** OPA's management services on the wire: bundles with ETags, logs with gzip, and what is refused. */

import { createPublicKey } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { verifyBundle } from "@trustwarden/core/agentscope/policy-bundle.ts";
import { parseTar } from "@trustwarden/core/agentscope/tar.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { opaTaken } from "@trustwarden/core/api/opa.ts";
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, enrolVerifier, parseAnswer, type TestInstance } from "./support/actors.ts";
import { codeOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let verifier: TestInstance;
let agent: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
  agent = await enrolAgent(server, await createOwner(server));
  verifier = await enrolVerifier(server, "stock-opa");
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const ask = (request: RawRequest, tls = verifier.tls): Promise<RawAnswer> => send(server.url, request, tls);
const bundle = (name: string, headers: Record<string, string> = {}) =>
  ask({ target: `/v1/opa/bundles/${name}`, headers });
const upload = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
  ask({ method: "POST", target: "/v1/opa/logs", body, headers });
const logged = (id: string, extra: object = {}) => ({
  labels: { id: "opa-1" },
  decision_id: id,
  path: "trustwarden/decision/result",
  bundles: { builtin: { revision: "builtin-v1" } },
  input: {
    principal: { id: agent.answer.spiffe_id },
    action: { name: "read:x" },
    arguments: { card: "4111" },
  },
  result: { allow: false, reasons: ["scope_not_covered"], policy: "p" },
  erased: ["/input/arguments"],
  timestamp: "2026-11-22T00:00:00Z",
  metrics: { timer: 1 },
  ...extra,
});
const evaluations = async () =>
  parseAnswer(
    eventPage,
    await sendAdmin(server.adminSocket, { target: "/v1/events?kind=evaluation&limit=500" }),
  ).events;

describe("the bundles", () => {
  it("are signed by the key that operators see, and are not sent again to who has them", async () => {
    const { bundle_key } = parseAnswer(
      policyAnswer,
      await sendAdmin(server.adminSocket, { target: "/v1/policy" }),
    );
    const keys = new Map([[bundle_key.id, createPublicKey(bundle_key.pem)]]);
    for (const name of ["builtin.tar.gz", "discovery.tar.gz"]) {
      const answer = await bundle(name);
      expect(answer.status).toBe(200);
      const verified = verifyBundle(parseTar(gunzipSync(answer.bytes)), {
        keys,
        scope: "trustwarden-builtin",
      });
      expect(verified.keyId).toBe(bundle_key.id);
      const etag = String(answer.headers.etag);
      const again = await bundle(name, { "if-none-match": name.startsWith("builtin") ? etag : '"x"' });
      expect([again.status, again.bytes.length > 0]).toEqual(
        name.startsWith("builtin") ? [304, false] : [200, true],
      );
    }
  });

  it("are for services, and there is no other and no custom one before it is loaded", async () => {
    for (const name of ["custom.tar.gz", "other", "decision.wasm"]) {
      const answer = await bundle(name);
      expect([answer.status, codeOf(answer)]).toEqual([404, "not_found"]);
    }
    const target = "/v1/opa/bundles/builtin.tar.gz";
    expect((await send(server.url, { target })).status).toBe(401);
    expect((await ask({ target }, agent.tls)).status).toBe(401);
  });
});

describe("the decision logs", () => {
  it("become one event each, compressed or not, and once however often they are sent", async () => {
    const before = (await evaluations()).length;
    const body = JSON.stringify([logged("d1"), logged("d2", { result: true })]);
    expect(parseAnswer(opaTaken, await upload(gzipSync(body), { "content-encoding": "gzip" })).recorded).toBe(
      2,
    );
    expect(parseAnswer(opaTaken, await upload(body)).recorded).toBe(0);
    const events = await evaluations();
    expect(events.length).toBe(before + 2);
    expect(
      events
        .map(({ outcome }) => outcome)
        .slice(0, 2)
        .sort(),
    ).toEqual(["denied", "success"]);
    expect(events.find(({ outcome }) => outcome === "denied")?.reasons).toEqual(["scope_not_covered"]);
    const raw = await sendAdmin(server.adminSocket, { target: `/v1/events/${events[0]?.event_id}` });
    expect(raw.text).not.toContain(Buffer.from("4111").toString("base64").slice(0, 5));
  });

  it("are refused when they are a bomb, no gzip, or not logs; other rows take no compressed body", async () => {
    const gzip = { "content-encoding": "gzip" };
    const bomb = gzipSync(Buffer.from(`["${"a".repeat(4_000_000)}"]`));
    expect(bomb.length).toBeLessThan(10_000);
    const answer = await upload(bomb, gzip);
    expect([answer.status, codeOf(answer)]).toEqual([413, "request_too_large"]);
    expect((await upload("[]", gzip)).status).toBe(400);
    expect((await upload("[]", { "content-encoding": "br" })).status).toBe(400);
    expect((await upload('{"a":1}')).status).toBe(400);
    const other = { method: "POST", target: "/access/v1/evaluation", body: gzipSync("{}"), headers: gzip };
    expect((await ask(other)).status).toBe(400);
  });
});

describe("the status", () => {
  it("is recorded when it changes, back to what it was too, and for each OPA", async () => {
    const report = (active_revision: string, id = "opa-1") =>
      ask({
        method: "POST",
        target: "/v1/opa/status",
        body: JSON.stringify({
          labels: { id },
          bundles: { builtin: { name: "builtin", active_revision } },
        }),
      });
    expect(parseAnswer(opaTaken, await report("builtin-v1")).recorded).toBe(1);
    expect(parseAnswer(opaTaken, await report("builtin-v1")).recorded).toBe(0);
    expect(parseAnswer(opaTaken, await report("builtin-v2")).recorded).toBe(1);
    expect(parseAnswer(opaTaken, await report("builtin-v1")).recorded).toBe(1);
    expect(parseAnswer(opaTaken, await report("builtin-v1", "opa-2")).recorded).toBe(1);
    expect(parseAnswer(opaTaken, await report("builtin-v1")).recorded).toBe(0);
  });
});
