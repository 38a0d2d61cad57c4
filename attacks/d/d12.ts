/** D12: where a request says that it comes from. */
import { encodeBase64, parseBase64url } from "@trustwarden/core/bytes.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { callAsAgent } from "../support/visits.ts";

const SPOOFED = "203.0.113.7";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D12",
  title: "says that it comes from elsewhere, from loopback, or with a certificate that a proxy has checked",
  expected: "no added trust, and the ledger names the socket's peer",
  weakening: "peer-by-header",
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    owner: await world.owner(),
    from: world.source(),
  }),
  control: async (world, { agent }) => {
    const answer = await callAsAgent(world, agent, {
      target: "/v1/events",
      action: "read:ledger",
      headers: { "x-forwarded-for": SPOOFED },
    });
    expectSame(answer.status, 200, "an agent that proves itself");
  },
  attack: async (world, { agent, owner, from }) => {
    const [leaf = ""] = agent.answer.svid_chain;
    const pem = encodeURIComponent(
      `-----BEGIN CERTIFICATE-----\n${encodeBase64(parseBase64url(leaf))}\n-----END CERTIFICATE-----`,
    );
    const headers = {
      "x-forwarded-for": SPOOFED,
      "x-real-ip": "127.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "localhost",
      forwarded: `for=127.0.0.1;proto=https;by=${SPOOFED}`,
      "x-forwarded-client-cert": `By=spiffe://acme.test/gateway;Hash=00;URI=${agent.answer.spiffe_id};Cert="${pem}"`,
      "x-ssl-client-cert": pem,
      "x-client-verify": "SUCCESS",
      "x-remote-user": "operator",
    };
    const body = JSON.stringify({ target: { kind: "owner", id: owner.ownerId } });
    const stop = { method: "POST", target: "/v1/revocations", headers, body };
    expectRefusal(await call(world.server.url, stop, { from }), UNPROVEN, "a stop with a proxy's headers");
    expectRefusal(
      await call(world.server.url, { target: "/v1/events", headers }, { from }),
      UNPROVEN,
      "a read with a proxy's headers",
    );
    for (const target of ["/v1/status", "/v1/owners", "/v1/openapi.json"]) {
      expectSame(
        (await call(world.server.url, { target, headers }, { from })).status,
        404,
        `${target} from loopback`,
      );
    }
  },
  evidence: async (ledger, { from }) => {
    const [refused] = await ledger.expect(
      { kind: "refuse", principal: "unauthenticated", reason: "no_svid" },
      1,
    );
    const [record] = await ledger.payloads(refused?.event_id ?? "");
    const peer = new Map(Object.entries(record?.from ?? {})).get("peer");
    expect(peer === (from ?? "127.0.0.1"), `the ledger names the socket's peer, and not ${String(peer)}`);
  },
});
