/** D10: connections that outlive their owners. */
import { signedRequest } from "../../test/support/actors.ts";
import { sendAdmin, sendOver } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal, openAgent, UNPROVEN } from "../support/client.ts";
import { holdLease, isWithin } from "../support/lease-client.ts";
import { callAsOwner, revoke, signVisit } from "../support/visits.ts";

const MAX_MS = 1000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D10",
  title: "a revoked agent and a revoked service go on over connections that are already open",
  expected: "the agent's next request is refused, and the service's lease is cut within a second",
  weakening: "open-connections-live-on",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry", "carriedOut"],
  prepare: async (world) => {
    await world.finance();
    const agent = await world.enrol(["read:transactions"]);
    const verifier = await world.enrolVerifier();
    return {
      agent,
      verifier,
      server: openAgent({ tls: agent.tls }, { maxSockets: 1 }),
      finance: openAgent({ tls: agent.tls }, { maxSockets: 1 }),
    };
  },
  control: async (world, { agent, server, finance }) => {
    const aud = await world.serverId();
    const read = () => signedRequest(agent, { target: "/v1/events", action: "read:ledger", aud });
    const first = await sendOver(world.server.url, read(), server);
    const second = await sendOver(world.server.url, read(), server);
    expectSame(
      [first.status, second.status, first.localPort === second.localPort],
      [200, 200, true],
      "two requests over one connection",
    );
    const { request } = await signVisit(world, { agent });
    expectSame((await sendOver((await world.finance()).url, request, finance)).status, 200, "a visit");
  },
  attack: async (world, { agent, verifier, server, finance }) => {
    const aud = await world.serverId();
    const lease = await holdLease(world.server.stopUrl, verifier);
    if (typeof lease === "number") throw new Error(`the lease was refused with ${lease}`);
    expect(
      !(await isWithin(lease.closed, 500)) && lease.lines().length > 1,
      "a live service holds its lease",
    );
    expectSame(
      (await revoke(world, "instance", agent.answer.instance_id)).status,
      200,
      "the agent is revoked",
    );
    const read = signedRequest(agent, { target: "/v1/events", action: "read:ledger", aud });
    expectRefusal(
      await sendOver(world.server.url, read, server),
      UNPROVEN,
      "the next request on the open connection",
    );
    const { request } = await signVisit(world, { agent });
    expectRefusal(
      await sendOver((await world.finance()).url, request, finance),
      UNPROVEN,
      "the next visit on the open connection",
    );
    const startedMs = Date.now();
    const body = JSON.stringify({ target: { kind: "instance", id: verifier.answer.instance_id } });
    const stopping = sendAdmin(world.server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    const isCut = await isWithin(lease.closed, MAX_MS);
    lease.end();
    expect(isCut, `the lease of a revoked service is cut within a second: ${Date.now() - startedMs} ms`);
    expectSame((await stopping).status, 200, "the service is revoked");
    expectSame(
      await holdLease(world.server.stopUrl, verifier),
      UNPROVEN.status,
      "a new lease of the revoked service",
    );
    const owner = await callAsOwner(world, { target: "/v1/events" });
    expectSame(owner.status, 200, "the owner goes on");
    for (const connections of [server, finance]) connections.destroy();
  },
  evidence: async (ledger, { agent, verifier }) => {
    await ledger.expect({ kind: "revoke", outcome: "success" }, 2);
    await ledger.expect(
      { kind: "refuse", principal: verifier.answer.spiffe_id, reason: "identity_revoked" },
      1,
    );
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id }, 0);
  },
});
