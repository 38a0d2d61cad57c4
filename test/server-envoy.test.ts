/** External authorization for proxies, on the wire: frames, refusals, and what stands in the ledger. */
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { concatBytes } from "@trustwarden/core/bytes.ts";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeField, parseMessage } from "../server/envoy/protobuf.ts";
import { createOwner, enrolAgent, enrolVerifier, parseAnswer, type TestInstance } from "./support/actors.ts";
import { callEnvoy, framed, requestFor } from "./support/envoy.ts";
import { sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ROUTES = [
  { method: "GET", path: "/rows", action: "read:transactions", resource: "sqlite://finance/rows" },
];
let server: TestServer;
let agent: TestInstance;
let edge: TestInstance;
let offsetMs = 0;

beforeAll(async () => {
  const settings = { policy: { envoy: { port: 0, services: { edge: ROUTES } } } };
  server = await startTestServer(settings, undefined, {
    nowMs: () => Date.now() + offsetMs,
    monoMs: () => performance.now(),
  });
  agent = await enrolAgent(server, await createOwner(server));
  edge = await enrolVerifier(server, "edge");
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const call = (bytes: Uint8Array, options: Parameters<typeof callEnvoy>[2] = {}) =>
  callEnvoy(server, bytes, options);

const evaluations = async () =>
  parseAnswer(
    eventPage,
    await sendAdmin(server.adminSocket, { target: "/v1/events?kind=evaluation&limit=50" }),
  ).events;

describe("a check", () => {
  it("is answered with the agent, or with a denial, and both are events first", async () => {
    const allowed = await call(framed(requestFor(agent.answer.spiffe_id, "GET", "/rows")), { tls: edge.tls });
    expect(allowed.status).toBe("0");
    expect(allowed.text).toContain(String(agent.answer.agent_id));
    const denied = await call(framed(requestFor(agent.answer.spiffe_id, "GET", "/other")), { tls: edge.tls });
    expect([denied.status, denied.text.includes("route_unknown")]).toEqual(["0", true]);
    const [latest, before] = await evaluations();
    expect([latest?.outcome, latest?.reasons, before?.outcome]).toEqual([
      "denied",
      ["route_unknown"],
      "success",
    ]);
    expect(before?.authorized_by).toBe(edge.answer.spiffe_id);
  });

  it("is refused without a proxy's SVID, for another method, cut, compressed or too large", async () => {
    const request = framed(requestFor(agent.answer.spiffe_id, "GET", "/rows"));
    expect((await call(request)).status).toBe("16");
    expect((await call(request, { tls: agent.tls })).status).toBe("16");
    expect((await call(request, { tls: edge.tls, path: "/grpc.health.v1.Health/Check" })).status).toBe("12");
    expect((await call(request.subarray(0, 9), { tls: edge.tls })).status).toBe("3");
    expect((await call(concatBytes(Uint8Array.of(1), request.subarray(1)), { tls: edge.tls })).status).toBe(
      "3",
    );
    // The rest of it is not read, so that the call ends without an answer.
    expect((await call(framed(new Uint8Array(140_000)), { tls: edge.tls })).status).not.toBe("0");
    expect((await call(framed(Uint8Array.of(0xff)), { tls: edge.tls })).status).toBe("3");
  });
});

describe("a certificate that the proxy shows", () => {
  /** The reasons that are recorded; none when the check is answered with the agent. */
  const checkWith = async (certificate: string, by: TestInstance) => {
    const request = requestFor(agent.answer.spiffe_id, "GET", "/rows", encodeURIComponent(certificate));
    const { text } = await call(framed(request), { tls: by.tls });
    const [event] = await evaluations();
    expect(text.includes(String(agent.answer.agent_id))).toBe(event?.outcome === "success");
    return event?.reasons;
  };

  it("is the agent's own and has not ended, though the agent lives on", async () => {
    const [own = ""] = String(agent.tls.cert).split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(await checkWith(own, edge)).toEqual([]);
    expect(await checkWith(String(edge.tls.cert), edge)).toEqual(["svid_mismatch"]);
    expect(await checkWith("none", edge)).toEqual(["svid_malformed"]);
    offsetMs = 3_600_000;
    edge = await enrolVerifier(server, "edge");
    expect(await checkWith(own, edge)).toEqual(["svid_expired"]);
    expect(await checkWith("", edge)).toEqual([]);
  });
});

describe("the wire format", () => {
  it("gives fields back, and never crashes on other bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.uint8Array({ maxLength: 300 }), (field, content) => {
        expect([...(parseMessage(encodeField(field, content)).get(field)?.[0] ?? [])]).toEqual([...content]);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          parseMessage(bytes);
        } catch (error) {
          expect(String(error)).toContain("request_malformed");
        }
      }),
    );
  });
});
