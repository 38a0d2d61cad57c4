/** A deployment with a relay, a service and a node has evidence like any other: each is let in by a document that names it. */

import { parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { expect, it } from "vitest";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import {
  createOwner,
  enrolAgent,
  enrolVerifier,
  parseAnswer,
  postEnrolment,
  serverIdOf,
  signedRequest,
} from "./support/actors.ts";
import { askTravelling } from "./support/evidence.ts";
import { jsonOf, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { createEntry, deliver, joinNode } from "./support/nodes.ts";
import { startTestServer } from "./support/server.ts";

it("holds what a relay, a service and a node's workload are by", async () => {
  const server = await startTestServer();
  const body = JSON.stringify({ name: "hall", ttl_seconds: 3600, relay: true });
  const asked = { method: "POST", target: "/v1/verifier-tickets", body };
  const { ticket } = parseAnswer(ticketAnswer, await sendAdmin(server.adminSocket, asked));
  const enrolled = await postEnrolment(server, parseTicketValue(ticket).ticket, createTestSigner());
  expect(enrolled.status).toBe(200);
  const owner = await createOwner(server);
  const agent = await enrolAgent(server, owner);
  await enrolVerifier(server);
  const node = await joinNode(server);
  await deliver(server, node, await createEntry(server, owner));
  await deliver(server, node, await createEntry(server, owner, { path: "", name: "rootless" }));
  const request = { target: "/v1/events", action: "read:ledger", aud: await serverIdOf(server) };
  expect((await send(server.url, signedRequest(agent, request), agent.tls)).status).toBe(200);
  const since = new Date(Date.now() - 600_000).toISOString();
  const target = `/v1/evidence?since=${since}`;
  const { bytes } = await sendAdmin(server.adminSocket, { target });
  const bundle = (await send(server.url, { target: "/v1/bundle" })).text;
  const vkey = discovery.parse(
    jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
  ).log_vkey;
  const { status, stdout } = askTravelling(bytes, bundle, ["--vkey", vkey]);
  expect(stdout).toContain("trustwarden/relay/hall");
  expect([status, status === 0 ? "" : stdout]).toEqual([0, ""]);
  expect(verifyEvidence(bytes, { log: { vkey }, roots: { bundle } }).alarms).toEqual([]);
  await server.close();
  server.home.remove();
});
