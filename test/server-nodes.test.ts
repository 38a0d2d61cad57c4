/** Nodes and registration entries against a real server: who joins, who is issued what, and what is refused. */
import { digestOfComposition } from "@trustwarden/core/agentid/composition.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { agentView, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import {
  entryList,
  nodeEntriesAnswer,
  nodeIdentityAnswer,
  nodeJwtAnswer,
} from "@trustwarden/core/api/registration.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { holdLease } from "../attacks/support/lease-client.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolmentBody,
  enrolVerifier,
  instanceOf,
  nonceOf,
  ownerRequest,
  parseAnswer,
  parseDecision,
  serverIdOf,
  type TestInstance,
  type TestOwner,
  ticketOf,
  tlsOf,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import {
  askInstance,
  askRenewal,
  createEntry,
  deliver,
  entryOf,
  joinNode,
  joinToken,
  post,
  postEntry,
  postNode,
  removeEntry,
  type TestEntry,
} from "./support/nodes.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let owner: TestOwner;
let node: TestInstance;
let entry: TestEntry;

beforeAll(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
  node = await joinNode(server);
  entry = await createEntry(server, owner);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** A decision to deny: vague to the caller, with its reason in the ledger. */
async function expectDenied(ask: () => Promise<RawAnswer>): Promise<void> {
  const answer = await ask();
  const [event] = await eventsOf(server, "refuse");
  expect([answer.status, codeOf(answer), event?.reasons]).toEqual([
    403,
    "denied",
    ["principal_not_permitted"],
  ]);
}

/** A refusal in its own words to a proven caller, and in the ledger. */
async function expectTurnedDown(ask: () => Promise<RawAnswer>, status: number, code: string): Promise<void> {
  const answer = await ask();
  const [event] = await eventsOf(server, "refuse");
  expect([answer.status, codeOf(answer), event?.reasons]).toEqual([status, code, [code]]);
}

async function viewOf(instance: ViewedInstance) {
  const target = `/v1/agents/${instance.answer.agent_id}`;
  const view = parseAnswer(agentView, await sendAdmin(server.adminSocket, { target }));
  return view.instances.find(({ instance_id }) => instance_id === instance.answer.instance_id);
}

describe("a node", () => {
  it("joins by a token, under the name that the operator gave", () => {
    expect(node.answer.spiffe_id).toMatch(/^spiffe:\/\/acme\.test\/trustwarden\/node\/host-1\/inst-/);
    expect(node.answer).toMatchObject({ agent_id: null, owner_id: null, scope: [] });
  });

  it("cannot join by a used, an unknown or somebody else's token", async () => {
    const token = await joinToken(server, "host-9");
    const evidence = { type: "join_token", token };
    await expectRefused(
      server,
      () => postNode(server, { ...evidence, token: "A".repeat(43) }),
      "join_token_invalid",
    );
    await expectTurnedDown(
      () => postNode(server, evidence, { members: { name: "host-8" } }),
      403,
      "entry_not_matched",
    );
    // The refusal left the token unused.
    expect((await postNode(server, evidence, { members: { name: "host-9" } })).status).toBe(200);
    await expectRefused(server, () => postNode(server, evidence), "join_token_used");
  });

  it.each([{}, { type: "JOIN_TOKEN", token: "A" }, { type: "github", token: "" }, { type: "none" }])(
    "is refused with evidence that is not on the list: %j",
    async (evidence) => {
      expect((await postNode(server, evidence)).status).toBe(400);
    },
  );

  it("is refused with evidence of a type that nobody configured", async () => {
    await expectRefused(
      server,
      () => postNode(server, { type: "github", token: "e30.e30.AA" }),
      "attestation_untrusted_issuer",
    );
  });

  it("is admitted once of fifty parallel uses of its token", async () => {
    const evidence = { type: "join_token", token: await joinToken(server, "host-7") };
    const answers = await Promise.all(Array.from({ length: 50 }, () => postNode(server, evidence)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it("renews its own SVID like a service, and holds a lease", async () => {
    const host = await joinNode(server, "host-5");
    const signer = createTestSigner();
    const proof = { nonce: await nonceOf(server), enrolmentSha256: host.svidSha256 };
    const spki = encodeBase64url(encodeSpki(signer.publicKey));
    const body = { possession: issuePossession(proof, signer), spki };
    const renewed = parseAnswer(identityAnswer, await post(server, host, "/v1/svids/renew", body));
    expect(renewed.spiffe_id).toBe(host.answer.spiffe_id);
    const lease = await holdLease(server.stopUrl, instanceOf(renewed, signer));
    expect(typeof lease).toBe("object");
    if (typeof lease !== "number") lease.end();
  });

  it("is no agent: it asks for no decision and reads no ledger", async () => {
    const agent = await enrolAgent(server, owner);
    const verifier = await enrolVerifier(server);
    const intent = visitIntent(agent, verifier);
    expect((await askDecision(server, { caller: node, agent, intent })).status).toBe(401);
    expect((await send(server.url, { target: "/v1/events" }, node.tls)).status).toBe(401);
  });
});

describe("an entry", () => {
  it("is listed for its owner and for the nodes that it names, with its envelope", async () => {
    const page = parseAnswer(
      nodeEntriesAnswer,
      await send(server.url, { target: "/v1/node/entries" }, node.tls),
    );
    expect(page.entries).toContainEqual({
      entry_id: entry.entryId,
      envelope: entry.envelope,
      selectors: ["unix:uid:1000"],
      path: "team/web",
      name: "crawler",
      hint: "crawler",
      ttl_seconds: 3600,
    });
    const other = await joinNode(server, "host-2");
    const none = await send(server.url, { target: "/v1/node/entries" }, other.tls);
    expect(parseAnswer(nodeEntriesAnswer, none).entries).toEqual([]);
    const aud = await serverIdOf(server);
    const own = await send(server.url, ownerRequest(owner, { target: "/v1/entries", aud }));
    expect(parseAnswer(entryList, own).entries).toContainEqual(
      expect.objectContaining({ entry_id: entry.entryId, status: "live", owner_id: owner.ownerId }),
    );
  });

  it("comes in by its owner only, once, and signed by nobody else", async () => {
    const bob = await createOwner(server, "bob");
    await expectTurnedDown(() => postEntry(server, bob, entry.envelope), 400, "entry_invalid");
    await expectTurnedDown(() => postEntry(server, owner, entry.envelope), 409, "entry_exists");
    const forged = entryOf({ ...bob, ownerId: owner.ownerId });
    await expectRefused(server, () => postEntry(server, owner, forged), "signature_invalid");
  });

  it("admits nodes by evidence, by the operator only, and never by weak selectors", async () => {
    const nodeEntry = (selectors: readonly string[]) => ({
      method: "POST",
      target: "/v1/entries",
      body: JSON.stringify({ node_entry: { name: "runner", selectors } }),
    });
    const aud = await serverIdOf(server);
    const strong = nodeEntry(["github:repository_id:7"]);
    expect((await sendAdmin(server.adminSocket, strong)).status).toBe(200);
    await expectTurnedDown(() => send(server.url, ownerRequest(owner, { ...strong, aud })), 403, "denied");
    await expectTurnedDown(
      () => sendAdmin(server.adminSocket, nodeEntry(["github:ref:refs/heads/main"])),
      400,
      "selectors_too_weak",
    );
  });

  it("is removed by its owner only, and then nothing more is issued or renewed by it", async () => {
    const removed = await createEntry(server, owner, { name: "short-lived" });
    const instance = await deliver(server, node, removed);
    const bob = await createOwner(server, "bob2");
    await expectDenied(() => removeEntry(server, bob, removed.entryId));
    expect((await removeEntry(server, owner, removed.entryId)).status).toBe(200);
    await expectTurnedDown(() => askInstance(server, node, removed), 403, "entry_removed");
    await expectTurnedDown(() => askRenewal(server, node, instance), 403, "entry_removed");
    await expectTurnedDown(() => postEntry(server, owner, removed.envelope), 409, "entry_exists");
  });
});

describe("an instance by a node", () => {
  it("is what the entry says, in the node's custody, with what the node verified", async () => {
    const classSigner = createTestSigner();
    const composition = { model: "A".repeat(43) };
    const { answer, ...instance } = await deliver(server, node, entry, {
      classSigner,
      members: { composition },
    });
    expect(answer).toMatchObject({
      path: "team/web",
      name: "crawler",
      owner_id: owner.ownerId,
      scope: ["fetch:web", "read:transactions"],
      hint: "crawler",
      entry_id: entry.entryId,
    });
    const digest = digestOfComposition(composition);
    expect(await viewOf({ answer, ...instance })).toMatchObject({
      custody: "delivered",
      composition_sha256: digest,
      entry_id: entry.entryId,
      node_instance_id: node.answer.instance_id,
      attested: {
        type: "node",
        strength: "unix",
        selectors: [
          `composition:model:${composition.model}`,
          `composition:sha256:${digest}`,
          "node:host-1",
          "unix:gid:1000",
          "unix:uid:1000",
        ],
      },
    });
  });

  it("acts like any other agent, and its decisions tell whose word it was", async () => {
    const verifier = await enrolVerifier(server, "forum");
    const agent = await deliver(server, node, entry, { members: { facts: factsOf("same_uid") } });
    const answer = await askDecision(server, {
      caller: verifier,
      agent,
      intent: visitIntent(agent, verifier),
    });
    const decision = parseDecision(answer);
    expect(decision.allow).toBe(true);
    const { payload } = JSON.parse(decision.receipt.decision);
    expect(JSON.parse(Buffer.from(payload, "base64").toString())).toMatchObject({
      custody: "delivered",
      attested: { type: "node", strength: "same_uid", composition_sha256: null },
    });
  });

  it("has a class SVID with a key of its own, which our guard takes from nobody", async () => {
    const classSigner = createTestSigner();
    const { answer } = await deliver(server, node, entry, { classSigner });
    const chain = (answer.class_svid_chain ?? []).map(parseBase64url);
    expect(chain).toHaveLength(2);
    const tls = tlsOf(classSigner, chain);
    await expectRefused(
      server,
      () => send(server.url, { method: "POST", target: "/v1/svids/renew", body: RENEWAL }, tls),
      "svid_bearer_refused",
    );
  });

  it("is refused without a selector, on another host, and with the node's word for another's facts", async () => {
    const asking = (selectors: readonly string[]) => () =>
      askInstance(server, node, entry, { members: { selectors } });
    await expectTurnedDown(asking(["unix:uid:1001"]), 403, "entry_not_matched");
    await expectTurnedDown(asking([]), 403, "entry_not_matched");
    await expectTurnedDown(asking(["unix:uid:1000", "github:repository_id:7"]), 403, "selector_not_vouched");
    await expectTurnedDown(asking(["unix:uid:1000", "node:host-2"]), 403, "selector_not_vouched");
    const other = await joinNode(server, "host-3");
    await expectDenied(() => askInstance(server, other, entry));
    const needsNode = await createEntry(server, owner, {
      name: "pinned",
      nodes: ["*"],
      selectors: ["node:host-1", "unix:uid:1000"],
    });
    await expectTurnedDown(() => askInstance(server, other, needsNode), 403, "entry_not_matched");
    expect((await askInstance(server, node, needsNode)).status).toBe(200);
  });

  it("needs the proof of each of its keys, for this entry, under one fresh nonce", async () => {
    const digest = "A".repeat(43);
    await expectRefused(
      server,
      () => askInstance(server, node, entry, { enrolmentSha256: digest }),
      "possession_invalid",
    );
    const signer = createTestSigner();
    expect((await askInstance(server, node, entry, { signer })).status).toBe(200);
    await expectTurnedDown(() => askInstance(server, node, entry, { signer }), 409, "key_reused");
    const twice = createTestSigner();
    await expectTurnedDown(
      () => askInstance(server, node, entry, { signer: twice, classSigner: twice }),
      409,
      "key_reused",
    );
  });

  it("is renewed by its node while its composition is the same, and by no other node", async () => {
    const composition = { tools: "B".repeat(43) };
    const instance = await deliver(server, node, entry, { members: { composition } });
    const signer = createTestSigner();
    const renewed = parseAnswer(nodeIdentityAnswer, await askRenewal(server, node, instance, { signer }));
    expect(renewed.instance_id).toBe(instance.answer.instance_id);
    const same = await askRenewal(server, node, instance, { members: { composition } });
    expect(same.status).toBe(200);
    const nonce = String(same.headers["trustwarden-nonce"]);
    expect((await askRenewal(server, node, instance, { nonce, members: { composition } })).status).toBe(200);
    await expectRefused(server, () => askRenewal(server, node, instance, { nonce }), "nonce_invalid");
    const drifted = { composition: { tools: "C".repeat(43) } };
    await expectTurnedDown(
      () => askRenewal(server, node, instance, { members: drifted }),
      403,
      "composition_changed",
    );
    const twin = await joinNode(server);
    await expectDenied(() => askRenewal(server, twin, instance));
    const stale = { enrolmentSha256: node.svidSha256 };
    await expectRefused(server, () => askRenewal(server, node, instance, stale), "svid_mismatch");
  });

  it("gets JWT-SVIDs of its own or its class, for several audiences", async () => {
    const { answer } = await deliver(server, node, entry);
    const body = { instance_id: answer.instance_id, audiences: ["a", "b", "a"], identity: "class" };
    const jwt = parseAnswer(nodeJwtAnswer, await post(server, node, "/v1/node/jwt-svids", body));
    expect(jwt.spiffe_id).toBe("spiffe://acme.test/team/web/crawler");
    const [, payload = ""] = jwt.svid.split(".");
    expect(JSON.parse(Buffer.from(payload, "base64url").toString())).toMatchObject({
      sub: jwt.spiffe_id,
      aud: ["a", "b"],
    });
  });

  it("ends when its process does, and is then renewed no more", async () => {
    const instance = await deliver(server, node, entry);
    const body = { instance_id: instance.answer.instance_id, reason: "exited" };
    const ended = parseAnswer(revocationAnswer, await post(server, node, "/v1/node/endings", body));
    expect(ended).toMatchObject({ instances: 1, recorded: true });
    await expectRefused(server, () => askRenewal(server, node, instance), "identity_revoked");
    const own = await enrolAgent(server, owner, { name: "not-the-nodes" });
    const others = { instance_id: own.answer.instance_id };
    await expectDenied(() => post(server, node, "/v1/node/endings", others));
  });

  it("counts against its owner's quota, and is refused after its owner's or agent's revocation", async () => {
    const doomed = await createEntry(server, owner, { name: "doomed" });
    const { answer } = await deliver(server, node, doomed);
    const body = JSON.stringify({ target: { kind: "agent", id: answer.agent_id } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    // The entry was signed before the revocation: whoever revoked meant it too.
    await expectRefused(server, () => askInstance(server, node, doomed), "identity_revoked");
  });

  it("dies with its node, and every decision of before is void", async () => {
    const host = await joinNode(server, "host-1");
    const instance = await deliver(server, host, entry);
    const lease = await holdLease(server.stopUrl, await enrolVerifier(server, "watcher"));
    if (typeof lease === "number") throw new Error("no lease");
    const body = JSON.stringify({ target: { kind: "instance", id: host.answer.instance_id } });
    const revoked = parseAnswer(
      revocationAnswer,
      await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body }),
    );
    expect(revoked.instances).toBe(2);
    expect((await viewOf(instance))?.status).toBe("revoked");
    await expectRefused(server, () => askInstance(server, host, entry), "identity_revoked");
    const pushed = lease.lines().filter((line) => line.includes(host.answer.instance_id));
    expect(pushed.join()).toContain('"kind":"policy"');
    lease.end();
  });
});

describe("custody and composition of an enrolment by ticket", () => {
  it("are what the holder declares, for itself and its children, once and for all", async () => {
    const composition = { model: "A".repeat(43) };
    const ticket = formatTicketValue({
      ...(await pinOf(server)),
      ticket: ticketOf(owner, { name: "made-of" }),
    });
    const agent = await AgentIdentity.create({ name: "made-of", ticket, composition });
    const child = await agent.spawn({ name: "part", scope: ["read:transactions"], composition });
    const composition_sha256 = digestOfComposition(composition);
    for (const { agentId: agent_id, instanceId: instance_id } of [agent, child]) {
      const view = await viewOf({ answer: { agent_id, instance_id } });
      expect(view).toMatchObject({ custody: "agent", composition_sha256 });
    }
    await agent.close();
  });

  it("may only weaken the claim", async () => {
    const signer = createTestSigner();
    const enrolment = await enrolmentBody(server, ticketOf(owner, { name: "beside" }), signer);
    const post = (custody: string) => {
      const body = JSON.stringify({ ...enrolment, custody });
      return send(server.url, { method: "POST", target: "/v1/instances", body });
    };
    expect((await post("nobody")).status).toBe(400);
    const beside = instanceOf(parseAnswer(identityAnswer, await post("sidecar")), signer);
    expect((await viewOf(beside))?.custody).toBe("sidecar");
  });

  it("is the agent's unless it says otherwise, which goes into the record", async () => {
    expect(await viewOf(await enrolAgent(server, owner))).toMatchObject({
      custody: "agent",
      composition_sha256: null,
      attested: { type: "none", strength: "none", selectors: [] },
    });
  });
});

type ViewedInstance = {
  readonly answer: Pick<TestInstance["answer"], "agent_id" | "instance_id">;
};

async function pinOf({ adminSocket, url }: TestServer) {
  const status = parseAnswer(statusAnswer, await sendAdmin(adminSocket, { target: "/v1/status" }));
  return { authoritiesSha256: status.authorities_sha256, server: url };
}

const RENEWAL = JSON.stringify({ possession: "x", spki: "AA" });

function factsOf(strength: string): object {
  return { pid: 1, uid: 1000, exe: "", strength };
}
