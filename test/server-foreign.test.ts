/**
 * Agents of a federated trust domain: registered by an owner, proven by their own issuer, decided, recorded and stopped
 * like any other, and checked offline.
 */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { verifyEvidence } from "../sdk/verify-evidence.ts";
import {
  askDecision,
  createOwner,
  enrolVerifier,
  intentOf,
  outcomeOf,
  ownerRequest,
  parseDecision,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
  visitIntent,
} from "./support/actors.ts";
import { askTravelling, readTrust } from "./support/evidence.ts";
import {
  createForeignDomain,
  foreignInstanceOf,
  issueForeignSvid,
  postRegistration,
  registrationOf,
  WORKLOAD,
} from "./support/foreign.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const partner = createForeignDomain();
let server: TestServer;
let owner: TestOwner;
let verifier: TestInstance;
let agent: TestInstance;
/** Event of its first visit, under its first registration. */
let firstId: string;

const admin = (target: string, body: object) =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
const federate = (bundle = formatTrustBundle(partner.bundle)) =>
  admin("/v1/federations", { trust_domain: "partner.test", endpoint: null, bundle });
const visit = (who: TestInstance) =>
  askDecision(server, { caller: verifier, agent: who, intent: visitIntent(who, verifier) });
const act = async (who: TestInstance) =>
  askDecision(server, { caller: who, agent: who, intent: intentOf(who, { aud: await serverIdOf(server) }) });

beforeAll(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
  verifier = await enrolVerifier(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

describe("a foreign agent", () => {
  it("cannot be registered before its trust domain is federated", async () => {
    expect(codeOf(await postRegistration(server, owner, registrationOf(owner)))).toBe("principal_refused");
    await federate();
  });

  it("is nobody here until an owner registers it, even with a good SVID", async () => {
    const svid = issueForeignSvid(partner);
    const registered = { status: 200, headers: {}, text: "", bytes: Buffer.of(), localPort: 0 };
    const text = JSON.stringify({
      ...{ agent_id: "agt_x", instance_id: "inst-x", owner_id: owner.ownerId, spiffe_id: WORKLOAD },
      ...{ scope: [], chain: [], expires_at: 1, value: "" },
    });
    const stranger = foreignInstanceOf({ ...registered, text }, svid);
    await expectRefused(server, () => visit(stranger), "foreign_agent_unknown");
    await expectRefused(server, () => act(stranger), "foreign_agent_unknown");
  });

  it("is registered once, by its owner's signature, and keeps its own SPIFFE ID", async () => {
    const registration = registrationOf(owner);
    const answer = await postRegistration(server, owner, registration);
    agent = foreignInstanceOf(answer, issueForeignSvid(partner));
    expect(jsonOf(answer)).toMatchObject({ spiffe_id: WORKLOAD, scope: ["read:transactions"] });
    expect(codeOf(await postRegistration(server, owner, registration))).toBe("entry_exists");
    expect(codeOf(await postRegistration(server, owner, registrationOf(owner)))).toBe("entry_exists");
    const mallory = await createOwner(server, "mallory");
    const taken = registrationOf(mallory, { name: "mine" });
    expect(codeOf(await postRegistration(server, mallory, taken))).toBe("name_taken");
    expect(codeOf(await postRegistration(server, mallory, registrationOf(owner)))).toBe("entry_invalid");
  });

  it("is decided for and recorded, at a service and in its own process, each SVID noted once", async () => {
    const decision = parseDecision(await visit(agent));
    expect(decision).toMatchObject({ allow: true, enforcement: "service", agent: { spiffe_id: WORKLOAD } });
    firstId = decision.receipt.event_id;
    const outcome = outcomeOf(verifier, decision.receipt);
    const report = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome }) };
    expect((await send(server.url, report, verifier.tls)).status).toBe(200);
    const own = parseDecision(await act(agent));
    expect(own).toMatchObject({ allow: true, enforcement: "self" });
    const mine = { ...report, body: JSON.stringify({ outcome: outcomeOf(agent, own.receipt) }) };
    expect((await send(server.url, mine, agent.tls)).status).toBe(200);
    const noted = (await eventsOf(server, "renew")).filter(
      ({ agent_identity }) => agent_identity === WORKLOAD,
    );
    expect(noted).toHaveLength(1);
  });

  it("may do what its scope says and nothing else", async () => {
    const intent = visitIntent(agent, verifier, { action: "write:transactions" });
    const denied = parseDecision(await askDecision(server, { caller: verifier, agent, intent }));
    expect(denied).toMatchObject({ allow: false, reasons: ["scope_not_covered"] });
  });

  it("comes back with its next SVID, for the same key or another", async () => {
    for (const signer of [agent.signer, undefined]) {
      const svid = issueForeignSvid(partner, WORKLOAD, signer);
      const next = foreignInstanceOf(
        { status: 200, headers: {}, text: answerText(agent), bytes: Buffer.of(), localPort: 0 },
        svid,
      );
      expect(parseDecision(await visit(next)).allow).toBe(true);
    }
  });

  it("gets no identity from us: no SVID, no token", async () => {
    const aud = await serverIdOf(server);
    const jwt = signedRequest(agent, {
      ...{ method: "POST", target: "/v1/jwt-svids", body: '{"audience":"https://api.test"}' },
      ...{ action: "issue:jwt-svid", aud },
    });
    expect(codeOf(await send(server.url, jwt, agent.tls))).toBe("principal_refused");
    expect(await eventsOf(server, "jwt")).toEqual([]);
  });

  it("is somebody else when another issuer of the same name signed it", async () => {
    const forged = foreignInstanceOf(
      { status: 200, headers: {}, text: answerText(agent), bytes: Buffer.of(), localPort: 0 },
      issueForeignSvid(createForeignDomain()),
    );
    await expectRefused(server, () => visit(forged), "svid_untrusted");
  });

  it("is stopped by its owner like any other, and only its owner brings it back", async () => {
    const body = JSON.stringify({ target: { kind: "agent", id: agent.answer.agent_id } });
    const stop = { method: "POST", target: "/v1/revocations", body, aud: await serverIdOf(server) };
    expect((await send(server.stopUrl, ownerRequest(owner, stop))).status).toBe(200);
    await expectRefused(server, () => visit(agent), "identity_revoked");
    await expectRefused(server, () => act(agent), "identity_revoked");
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const again = foreignInstanceOf(
      await postRegistration(server, owner, registrationOf(owner)),
      issueForeignSvid(partner),
    );
    expect(parseDecision(await visit(again)).allow).toBe(true);
    agent = again;
  });

  it("is shown by the registration of then, also when it was registered again", async () => {
    const target = `/v1/evidence?event=${firstId}`;
    const { bytes } = await sendAdmin(server.adminSocket, { target });
    const { vkey, bundleText: bundle } = await readTrust(server);
    const issued = (await eventsOf(server, "issue")).filter(({ agent_identity: id }) => id === WORKLOAD);
    const first = Math.min(...issued.flatMap(({ indexes }) => indexes));
    const { events, alarms } = verifyEvidence(bytes, { log: { vkey }, roots: { bundle } });
    expect([issued.length, alarms]).toEqual([2, []]);
    expect(events[0]?.authorizedBy).toMatchObject([{ by: owner.ownerId, index: first }]);
    const { status, stdout } = askTravelling(bytes, bundle, ["--vkey", vkey]);
    expect([status, stdout]).toEqual([0, expect.stringContaining(`(entry ${first})`)]);
  });

  it("is checked offline with the rest of the ledger, and `why` names its owner's signature", async () => {
    const directories = ["--data", server.home.dataDir, "--config-dir", server.home.configDir];
    const warden = (...args: readonly string[]) =>
      runWarden(server.home.configDir, [...args, ...directories, "--json"]);
    const { stdout } = await warden("ledger", "verify");
    const report = JSON.parse(stdout);
    expect(
      report.findings.filter(({ severity }: { readonly severity: string }) => severity === "damage"),
    ).toEqual([]);
    expect(report.verified).toBe(true);
    const { receipt } = parseDecision(await visit(agent));
    const why = JSON.parse((await warden("why", receipt.event_id)).stdout);
    expect(why.links).toMatchObject([{ name: "worker", by: `registered by owner ${owner.ownerId}` }]);
  });

  it("is nobody again as soon as the relationship is over", async () => {
    expect(parseDecision(await visit(agent)).allow).toBe(true);
    await admin("/v1/federations/partner.test/removal", {});
    await expectRefused(server, () => visit(agent), "trust_domain_unknown");
    await federate();
    expect(parseDecision(await visit(agent)).allow).toBe(true);
    await admin("/v1/federations/partner.test/bundle", { bundle: '{"keys":[],"spiffe_sequence":9}' });
    await expectRefused(server, () => visit(agent), "svid_untrusted");
  });
});

function answerText({ answer }: TestInstance): string {
  return JSON.stringify({
    agent_id: answer.agent_id,
    instance_id: answer.instance_id,
    owner_id: answer.owner_id,
    spiffe_id: answer.spiffe_id,
    scope: answer.scope,
    chain: answer.chain,
    expires_at: answer.instance_expires_at,
    value: "",
  });
}
