/** A deployment with a relay, a service and a node has evidence like any other: each is let in by a document that names it. */

import { parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
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
import { openKeys } from "./support/authority-keys.ts";
import { askTravelling, readTrust, verdictOf } from "./support/evidence.ts";
import { manifestKeyOf } from "./support/evidence-forgeries.ts";
import { forgersVkey, type Payload, relog } from "./support/evidence-presented.ts";
import { send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { createEntry, deliver, joinNode } from "./support/nodes.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

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
  const worker = await deliver(server, node, await createEntry(server, owner));
  await deliver(server, node, await createEntry(server, owner, { path: "", name: "rootless" }));
  const request = { target: "/v1/events", action: "read:ledger", aud: await serverIdOf(server) };
  expect((await send(server.url, signedRequest(agent, request), agent.tls)).status).toBe(200);
  const since = new Date(Date.now() - 600_000).toISOString();
  const target = `/v1/evidence?since=${since}`;
  const { bytes } = await sendAdmin(server.adminSocket, { target });
  const { vkey, bundleText: bundle } = await readTrust(server);
  const { status, stdout } = askTravelling(bytes, bundle, ["--vkey", vkey]);
  expect(stdout).toContain("trustwarden/relay/hall");
  expect([status, status === 0 ? "" : stdout]).toEqual([0, ""]);
  expect(verifyEvidence(bytes, { log: { vkey }, roots: { bundle } }).alarms).toEqual([]);
  await expectNodeProven(server, { agentId: worker.answer.agent_id ?? "", vkey, bundle });
  await server.close();
  server.home.remove();
});

/** What a node's workload is by, and a log that lies about the node: what its key had signed is the evidence of then. */
async function expectNodeProven(
  server: TestServer,
  { agentId, vkey, bundle }: { readonly agentId: string; readonly vkey: string; readonly bundle: string },
): Promise<void> {
  const { bytes } = await sendAdmin(server.adminSocket, { target: `/v1/evidence?agent=${agentId}` });
  const key = manifestKeyOf(bytes, (await openKeys(server.home)).serverSigner);
  const forgers = forgersVkey(vkey);
  const askAbout = (lie: object) => {
    const change = (_: string, { kind, details }: Payload) => {
      if (kind === "node") Object.assign(Object(details), lie);
    };
    const forged = relog(bytes, { key, vkey, change });
    const { status, stdout } = askTravelling(forged, bundle, ["--vkey", forgers]);
    const ours = verdictOf(() => verifyEvidence(forged, { log: { vkey: forgers }, roots: { bundle } }));
    return [ours, status, stdout.trim().split("\n").at(-1)];
  };
  expect(askAbout({})).toEqual(["verified", 0, "VERIFIED"]);
  const [ours, status, why] = askAbout({ evidence_sha256: "A".repeat(43) });
  expect([ours, status]).toEqual(["evidence_bundle_invalid", 1]);
  expect(why).toContain("did not prove that it holds its key");
}
