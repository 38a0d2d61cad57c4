/**
 * Who may come in: every way of not proving oneself ends in the same vague 401, and in one exact event. Each case has
 * its control: the same call by the rightful party.
 */

import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  intentOf,
  parseAnswer,
  parseDecision,
  serverIdOf,
  signedRequest,
  spawn,
  type TestInstance,
  type TestOwner,
  visitIntent,
} from "./support/actors.ts";
import { forgeSvid, forgeTwoUris } from "./support/forger.ts";
import { codeOf, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

let server: TestServer;
let owner: TestOwner;
let agent: TestInstance;
let other: TestInstance;
let verifier: TestInstance;
let aud: string;

beforeAll(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { name: "agent" });
  other = await enrolAgent(server, owner, { name: "other" });
  verifier = await enrolVerifier(server);
  aud = await serverIdOf(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const jwtRequest = (overrides: Partial<Parameters<typeof signedRequest>[1]> = {}): RawRequest =>
  signedRequest(agent, {
    method: "POST",
    target: "/v1/jwt-svids",
    body: JSON.stringify({ audience: "https://api.test" }),
    action: "issue:jwt-svid",
    aud,
    ...overrides,
  });

describe("an agent at the control plane", () => {
  it("comes in with its SVID and its intent for this request", async () => {
    const { svid } = parseAnswer(jwtSvidAnswer, await send(server.url, jwtRequest(), agent.tls));
    expect(svid.split(".")).toHaveLength(3);
  });

  it("is refused without a certificate", async () => {
    const event = await expectRefused(server, () => send(server.url, jwtRequest()), "no_svid");
    expect(event.authorized_by).toBe("unauthenticated");
  });

  it("is refused with a bearer token, whatever else it brings", async () => {
    const { svid } = parseAnswer(jwtSvidAnswer, await send(server.url, jwtRequest(), agent.tls));
    const request = jwtRequest({ headers: { authorization: `Bearer ${svid}` } });
    await expectRefused(server, () => send(server.url, request, agent.tls), "svid_bearer_refused");
  });

  it("is refused with a certificate of another authority, even of the right name", async () => {
    const foreign = await startTestServer();
    try {
      const tls = await forgeSvid(foreign.home, agent.answer.spiffe_id);
      await expectRefused(server, () => send(server.url, jwtRequest(), tls), "svid_untrusted");
    } finally {
      await foreign.close();
      foreign.home.remove();
    }
  });

  it("is refused with two URI names in its leaf, which Node itself accepts", async () => {
    const tls = await forgeTwoUris(server.home, [agent.answer.spiffe_id, other.answer.spiffe_id]);
    await expectRefused(server, () => send(server.url, jwtRequest(), tls), "svid_malformed");
  });

  it("is refused as a class, as the server, and as an instance that was never issued", async () => {
    const td = `spiffe://${TRUST_DOMAIN}`;
    const classId = agent.answer.spiffe_id.slice(0, -(agent.answer.instance_id.length + 1));
    const cases = [
      [classId, "svid_bearer_refused"],
      [aud, "principal_refused"],
      [`${td}/team/x/inst-01J00000000000000000000000`, "instance_unknown"],
      [agent.answer.spiffe_id, "instance_unknown"],
    ] as const;
    for (const [id, code] of cases) {
      const tls = await forgeSvid(server.home, id);
      await expectRefused(server, () => send(server.url, jwtRequest(), tls), code);
    }
  });

  it("is refused under an SVID that was revoked, and that is recorded (38)", async () => {
    const stopped = await enrolAgent(server, owner, { name: "stopped" });
    const target = "/v1/jwt-svids";
    const body = JSON.stringify({ audience: "https://api.test" });
    const ask = () =>
      send(
        server.url,
        signedRequest(stopped, { method: "POST", target, body, action: "issue:jwt-svid", aud }),
        stopped.tls,
      );
    expect((await ask()).status).toBe(200);
    const revocation = JSON.stringify({ target: { kind: "instance", id: stopped.answer.instance_id } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body: revocation });
    await expectRefused(server, ask, "identity_revoked");
  });

  it("is refused without an intent or without its salt", async () => {
    const { headers, ...bare } = jwtRequest();
    await expectRefused(server, () => send(server.url, bare, agent.tls), "no_intent");
    const saltless = { ...bare, headers: { "trustwarden-intent": headers?.["trustwarden-intent"] ?? "" } };
    await expectRefused(server, () => send(server.url, saltless, agent.tls), "no_intent");
  });

  it("is refused with an intent for another body, target, action or resource", async () => {
    const altered = { ...jwtRequest(), body: JSON.stringify({ audience: "https://evil.test" }) };
    await expectRefused(server, () => send(server.url, altered, agent.tls), "intent_mismatch");
    const changes = [
      jwtRequest({ intent: { action: "read:ledger" } }),
      jwtRequest({ intent: { resource: `trustwarden://${TRUST_DOMAIN}/v1/owners` } }),
      jwtRequest({ intent: { request: null } }),
      { ...jwtRequest(), target: "/v1/svids/renew", body: JSON.stringify({ possession: "x", spki: "x" }) },
    ];
    for (const request of changes) {
      await expectRefused(server, () => send(server.url, request, agent.tls), "intent_mismatch");
    }
  });

  it("is refused with an intent for another audience, or from another minute", async () => {
    const now = Math.floor(Date.now() / 1000);
    const old = { time: new Date((now - 120) * 1000).toISOString(), exp: now - 60 };
    await expectRefused(
      server,
      () => send(server.url, jwtRequest({ aud: verifier.answer.spiffe_id }), agent.tls),
      "intent_audience",
    );
    await expectRefused(
      server,
      () => send(server.url, jwtRequest({ intent: old }), agent.tls),
      "intent_expired",
    );
    const long = jwtRequest({ intent: { exp: now + 120 } });
    await expectRefused(server, () => send(server.url, long, agent.tls), "intent_expired");
  });

  it("is refused with an intent that it used before", async () => {
    const request = jwtRequest();
    expect((await send(server.url, request, agent.tls)).status).toBe(200);
    await expectRefused(server, () => send(server.url, request, agent.tls), "intent_replayed");
  });

  it("is refused with another agent's intent, or with another agent's names in its own", async () => {
    await expectRefused(server, () => send(server.url, jwtRequest(), other.tls), "signature_invalid");
    const names = {
      id: other.answer.agent_id ?? "",
      spiffe_id: other.answer.spiffe_id,
      svid_sha256: agent.svidSha256,
    };
    const posing = jwtRequest({ intent: { agent: names } });
    await expectRefused(server, () => send(server.url, posing, agent.tls), "intent_mismatch");
    const borrowed = jwtRequest({ intent: { agent: { ...names, svid_sha256: other.svidSha256 } } });
    await expectRefused(server, () => send(server.url, borrowed, agent.tls), "svid_mismatch");
  });

  it("gets a conflict for another payload under an event id of its own", async () => {
    const event_id = intentOf(agent, { aud }).intent.event_id;
    expect((await send(server.url, jwtRequest({ intent: { event_id } }), agent.tls)).status).toBe(200);
    const conflict = await send(server.url, jwtRequest({ intent: { event_id, seq: 2 } }), agent.tls);
    expect([conflict.status, codeOf(conflict)]).toEqual([409, "event_conflict"]);
    expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["event_conflict"]);
  });

  it("is refused where only others may come", async () => {
    const lease = {
      target: "/v1/decisions",
      method: "POST",
      body: JSON.stringify({ intent: "x", svid_chain: ["AA"] }),
    };
    expect((await send(server.url, lease, agent.tls)).status).toBeGreaterThanOrEqual(400);
    const request = signedRequest(agent, { target: "/v1/agents", action: "read:agents", aud });
    expect((await send(server.url, request, agent.tls)).status).toBe(401);
  });
});

describe("a visit to a service", () => {
  it("is decided for the service that the intent names, once", async () => {
    const intent = visitIntent(agent, verifier);
    const ask = () => askDecision(server, { caller: verifier, agent, intent });
    expect(parseDecision(await ask())).toMatchObject({ allow: true, enforcement: "service" });
    await expectRefused(server, ask, "intent_replayed");
  });

  it("is refused for a service that the intent does not name", async () => {
    const second = await enrolVerifier(server, "second");
    const intent = visitIntent(agent, verifier);
    await expectRefused(
      server,
      () => askDecision(server, { caller: second, agent, intent }),
      "intent_audience",
    );
  });

  it("is refused when the intent is bound to no request", async () => {
    const intent = visitIntent(agent, verifier, { request: null });
    await expectRefused(
      server,
      () => askDecision(server, { caller: verifier, agent, intent }),
      "intent_mismatch",
    );
  });

  it("is refused when another agent brings it, or brings another's certificate", async () => {
    const self = intentOf(agent, { aud });
    await expectRefused(
      server,
      () => askDecision(server, { caller: other, agent, intent: self }),
      "principal_refused",
    );
    const foreign = visitIntent(agent, verifier);
    await expectRefused(
      server,
      () => askDecision(server, { caller: verifier, agent: other, intent: foreign }),
      "signature_invalid",
    );
  });

  it("is refused for a verifier that poses as an agent", async () => {
    const intent = visitIntent(verifier, verifier);
    await expectRefused(
      server,
      () => askDecision(server, { caller: verifier, agent: verifier, intent }),
      "principal_refused",
    );
  });

  it("is denied, and recorded, when the scope does not cover it", async () => {
    const intent = visitIntent(agent, verifier, { action: "delete:transactions" });
    const decision = parseDecision(await askDecision(server, { caller: verifier, agent, intent }));
    expect(decision).toMatchObject({ allow: false, class: "A", reasons: ["scope_not_covered"] });
  });

  it("is decided on the intersection of the chain", async () => {
    const child = await spawn(server, agent, { name: "child", scope: ["read:transactions"] });
    const intent = visitIntent(child, verifier, { action: "write:transactions" });
    const decision = parseDecision(await askDecision(server, { caller: verifier, agent: child, intent }));
    expect(decision).toMatchObject({ allow: false, reasons: ["scope_not_covered"] });
  });
});

describe("an act in the agent's own process", () => {
  it("is decided for reads and ordinary writes, and never for class A", async () => {
    const allowed = intentOf(agent, { aud, action: "write:reports" });
    expect(parseDecision(await askDecision(server, { caller: agent, agent, intent: allowed }))).toMatchObject(
      {
        allow: true,
        enforcement: "self",
      },
    );
    const powerful = await enrolAgent(server, owner, { name: "powerful", scope: ["delete:transactions"] });
    const refused = intentOf(powerful, { aud, action: "delete:transactions" });
    const decision = parseDecision(
      await askDecision(server, { caller: powerful, agent: powerful, intent: refused }),
    );
    expect(decision).toMatchObject({ allow: false, reasons: ["self_enforcement_refused"] });
  });

  it("refuses an action that is none", async () => {
    const intent = intentOf(agent, { aud, action: "read:*" });
    const answer = await askDecision(server, { caller: agent, agent, intent });
    expect([answer.status, codeOf(answer)]).toEqual([400, "action_malformed"]);
  });
});

describe("two fresh installations", () => {
  it("share no secret and no authority (K1)", async () => {
    const home = createHome();
    const second = await startTestServer({}, home);
    try {
      const tls = await forgeSvid(home, agent.answer.spiffe_id);
      await expectRefused(server, () => send(server.url, jwtRequest(), tls), "svid_untrusted");
      expect(await serverIdOf(second)).not.toBe(aud);
    } finally {
      await second.close();
      home.remove();
    }
  });
});
