/** A workload of a federated trust domain, with our command and our SDK at both ends. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { AgentIdentity, type GuardAgents, verifyAgent } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { expectRejection } from "./support/expect-code.ts";
import { createForeignDomain, type ForeignDomain, issueForeignSvid, WORKLOAD } from "./support/foreign.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const partner = createForeignDomain();
let server: TestServer;
let service: GuardAgents;
let url: string;
let registration: string;
let agent: AgentIdentity;
let closeService: () => Promise<void>;

const facts = async (...args: readonly string[]) => {
  const { dataDir, configDir } = server.home;
  const directories = ["--data", dataDir, "--config-dir", configDir];
  const { stdout } = await runWarden(configDir, [...args, ...directories, "--json"]);
  return JSON.parse(stdout);
};
const sourceOf = (domain: ForeignDomain) => async () => {
  const { chain, signer } = issueForeignSvid(domain);
  return { chain, privateKey: signer.privateKey };
};

beforeAll(async () => {
  server = await startTestServer();
  const file = join(server.home.configDir, "partner.json");
  writeFileSync(file, formatTrustBundle(partner.bundle));
  await facts("owner", "create", "alice");
  const { ticket } = await facts("verifier", "ticket", "--name", "reports");
  service = await verifyAgent({
    ticket,
    routes: [
      { method: "GET", path: "/reports/{id}", action: "read:reports", resource: "file://reports/{id}" },
    ],
  });
  const listener = service.createServer((_request, response, visit) => {
    response.end(visit.agent.spiffeId);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = Object(listener.address()) as AddressInfo; // the one cast: a TCP server's address
  url = `https://127.0.0.1:${port}/reports/7`;
  closeService = async () => {
    listener.closeAllConnections();
    listener.close();
    await service.close();
  };
  await facts("bundle", "set", "partner.test", "--file", file);
  const created = await facts(
    ...["foreign", "create", WORKLOAD, "--as", "alice", "--name", "worker", "--scope", "read:reports"],
  );
  registration = created.value;
});
afterAll(async () => {
  await agent?.close();
  await closeService();
  await server.close();
  server.home.remove();
});

describe("a foreign workload with the SDK", () => {
  it("has the identity that its own issuer gave it, and its owner's chain", async () => {
    agent = await AgentIdentity.fromSvid({ registration, svid: sourceOf(partner) });
    expect(agent.id).toBe(WORKLOAD);
    expect(agent.chain).toEqual([expect.stringMatching(/^owner:own_/), agent.agentId]);
    expect(agent.scope).toEqual(["read:reports"]);
  });

  it("visits a service that was there before its trust domain was federated", async () => {
    const answer = await agent.fetch(url);
    expect([answer.status, await answer.text()]).toEqual([200, WORKLOAD]);
    expect(agent.receipts.at(-1)).toMatchObject({ allow: true, action: "read:reports" });
  });

  it("acts in its own process, and goes on with its next SVID", async () => {
    expect(await agent.act("read:reports", "file://reports/8", null, async () => "done")).toBe("done");
    await agent.renew();
    expect((await agent.fetch(url)).status).toBe(200);
  });

  it("gets no token and no child from this server", async () => {
    await expectRejection(agent.jwt("https://api.test"), "principal_refused");
    await expectRejection(agent.spawn({ name: "child", scope: ["read:reports"] }), "grant_invalid");
  });

  it("is refused with another workload's SVID, another issuer's, or a key of another kind", async () => {
    const { chain, signer } = issueForeignSvid(partner, "spiffe://partner.test/ns/prod/sa/other");
    const other = async () => ({ chain, privateKey: signer.privateKey });
    await expectRejection(AgentIdentity.fromSvid({ registration, svid: other }), "svid_mismatch");
    const stranger = sourceOf(createForeignDomain());
    await expectRejection(AgentIdentity.fromSvid({ registration, svid: stranger }), "svid_untrusted");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const larger = async () => ({ chain, privateKey });
    await expectRejection(AgentIdentity.fromSvid({ registration, svid: larger }), "svid_key_refused");
    await expectRejection(AgentIdentity.fromSvid({ registration: "twf1.", svid: other }), "entry_invalid");
  });

  it("stops when its owner says so", async () => {
    await facts("stop", "worker", "--as", "alice");
    expect((await agent.fetch(url)).status).toBe(401);
    await expectRejection(
      agent.act("read:reports", "file://reports/8", null, async () => ""),
      "principal_refused",
    );
  });

  it("is no more than its trust domain: without the relationship a service does not know it", async () => {
    const created = await facts(
      ...["foreign", "create", WORKLOAD, "--as", "alice", "--name", "second", "--scope", "read:reports"],
    );
    const next = await AgentIdentity.fromSvid({ registration: created.value, svid: sourceOf(partner) });
    expect((await next.fetch(url)).status).toBe(200);
    await facts("federation", "remove", "partner.test");
    expect((await next.fetch(url)).status).toBe(401);
    await next.close();
  });
});
