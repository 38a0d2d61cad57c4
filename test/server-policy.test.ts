/** Custom policies: signed, loaded while the server runs, kept over a restart; and the AuthZEN scenario with one. */
import { gzipSync } from "node:zlib";
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { verifyPolicyFiles } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { actionSearchAnswer, entitySearchAnswer, evaluationAnswer } from "@trustwarden/core/api/authzen.ts";
import { policyAnswer, policyLoadAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  parseAnswer,
  parseDecision,
  type TestInstance,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, send, sendAdmin } from "./support/http.ts";
import { createPolicyKey, exampleFiles, loadBundle, packFiles, packSigned } from "./support/policies.ts";
import { eventsOf, payloadsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const home = createHome();
const key = createPolicyKey("release");
const retired = createPolicyKey("old");
const settings = {
  policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
};
let server: TestServer;
let agent: TestInstance;
let verifier: TestInstance;

beforeAll(async () => {
  server = await startTestServer(settings, home);
  const owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["pay:invoices", "read:transactions"] });
  verifier = await enrolVerifier(server);
});
afterAll(async () => {
  await server.close();
  home.remove();
});

async function decideAction(action: string) {
  const intent = visitIntent(agent, verifier, { action });
  const { allow, reasons } = parseDecision(await askDecision(server, { caller: verifier, agent, intent }));
  return { allow, reasons };
}

async function evaluate(body: object) {
  const request = { method: "POST", target: "/access/v1/evaluation", body: JSON.stringify(body) };
  return parseAnswer(evaluationAnswer, await send(server.url, request, verifier.tls));
}

const pay = (amount: number | undefined) =>
  evaluate({
    subject: { type: "instance", id: agent.answer.instance_id },
    action: { name: "pay", properties: { amount } },
    resource: { type: "invoices", id: "1" },
  });

const policy = async () =>
  parseAnswer(policyAnswer, await sendAdmin(server.adminSocket, { target: "/v1/policy" }));

async function refusalOf(bundle: Uint8Array) {
  const before = await policy();
  const answer = await loadBundle(server.adminSocket, bundle);
  expect(await policy()).toEqual(before);
  return [answer.status, codeOf(answer)];
}

describe("a bundle that is refused", () => {
  it("is none, or no archive of ours, or a bomb", async () => {
    expect(await refusalOf(encodeUtf8("x"))).toEqual([400, "policy_bundle_malformed"]);
    expect(await refusalOf(gzipSync(encodeUtf8("x")))).toEqual([400, "policy_bundle_malformed"]);
    const bomb = gzipSync(new Uint8Array(9_000_000));
    expect(await refusalOf(bomb)).toEqual([400, "policy_bundle_malformed"]);
    const body = JSON.stringify({ bundle: "A".repeat(1_500_000) });
    const large = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/policy", body });
    expect(large.status).toBe(413);
  });

  it("is unsigned, signed by an unknown or retired key, for another use, or changed after it was signed", async () => {
    const files = exampleFiles(1);
    expect(await refusalOf(packFiles(files))).toEqual([403, "policy_bundle_unsigned"]);
    expect(await refusalOf(packSigned(files, retired))).toEqual([403, "policy_bundle_untrusted"]);
    const posing = { ...retired, id: key.id };
    expect(await refusalOf(packSigned(files, posing))).toEqual([403, "policy_bundle_untrusted"]);
    const elsewhere = packSigned(files, key, "trustwarden-builtin");
    expect(await refusalOf(elsewhere)).toEqual([403, "policy_bundle_untrusted"]);
  });

  it("holds no module, or one without the rule that answers", async () => {
    const without = new Map(exampleFiles(1));
    without.delete("policy.wasm");
    expect(await refusalOf(packSigned(without, key))).toEqual([400, "policy_bundle_malformed"]);
    const junk = exampleFiles(1, new Map([["policy.wasm", encodeUtf8("junk")]]));
    expect(await refusalOf(packSigned(junk, key))).toEqual([503, "policy_unavailable"]);
  });
});

describe("a custom policy in force", () => {
  beforeAll(async () => {
    const answer = parseAnswer(
      policyLoadAnswer,
      await loadBundle(server.adminSocket, packSigned(exampleFiles(2), key)),
    );
    expect(answer).toMatchObject({ name: "payments", version: 2 });
  });

  it("stands beside the built-in one: it takes away, asks for a human, and gives nothing", async () => {
    expect(await pay(100)).toMatchObject({ decision: true, context: { reasons: [] } });
    expect(await pay(101)).toMatchObject({ decision: false, context: { reasons: ["approval_required"] } });
    expect((await pay(10_001)).context?.reasons).toEqual(["amount_too_large", "approval_required"]);
    expect((await pay(undefined)).decision).toBe(false);
    expect(await decideAction("read:transactions")).toEqual({ allow: true, reasons: [] });
    expect((await decideAction("write:transactions")).reasons).toEqual(["scope_not_covered"]);
    expect((await decideAction("pay:invoices")).reasons).toContain("amount_too_large");
  });

  it("is named in what it decided", async () => {
    const { in_force, custom } = await policy();
    expect(in_force.map(({ name }) => name)).toEqual(["trustwarden-builtin-v1", "payments-v2"]);
    expect(custom).toMatchObject({ name: "payments", version: 2, key_id: "release" });
  });

  it("is in the ledger, as the built-in one is, by the digest that decisions name", async () => {
    const latestOf = async (kind: string) => {
      const [event] = await eventsOf(server, kind);
      return payloadsOf(server, { event_id: event?.event_id ?? "" });
    };
    const [start] = await latestOf("start");
    const [load] = await latestOf("policy");
    const { in_force } = await policy();
    expect(start?.details).toMatchObject({ policy: in_force[0] });
    expect(load?.details).toMatchObject({ policy_sha256: in_force[1]?.bundle_sha256 });
    await decideAction("read:transactions");
    const decision = (await latestOf("action"))[1];
    const both = in_force.map(({ bundle_sha256: digest }) => digest).join(" ");
    const sum = encodeBase64url(sha256(encodeUtf8(both)));
    expect(decision?.policy).toMatchObject({ bundle_sha256: sum });
    // And in evidence of it, both of them.
    const target = `/v1/evidence?event=${String(decision?.event_id)}`;
    const { files } = openEvidenceBundle((await sendAdmin(server.adminSocket, { target })).bytes);
    expect(verifyPolicyFiles(files)).toEqual(new Set([sum, ...in_force.map((one) => one.bundle_sha256)]));
  });

  it("is replaced only by a newer one", async () => {
    for (const version of [1, 2]) {
      expect(await refusalOf(packSigned(exampleFiles(version), key))).toEqual([409, "policy_rollback"]);
    }
    expect((await loadBundle(server.adminSocket, packSigned(exampleFiles(3), key))).status).toBe(200);
    expect((await policy()).custom?.version).toBe(3);
  });

  it("decides about subjects that are no agents of ours, as in the certification scenario of AuthZEN", async () => {
    const ask = async (user: string, name: string, id: string, extra: Record<string, object> = {}) =>
      (
        await evaluate({
          subject: { type: "user", id: user, properties: extra.subject },
          action: { name, properties: extra.action },
          resource: { type: "record", id, properties: extra.resource },
        })
      ).decision;
    const archived = { resource: { status: "archived" } };
    expect(await ask("alice", "read", "record-1")).toBe(true);
    expect(await ask("alice", "write", "record-1")).toBe(true);
    expect(await ask("bob", "read", "record-1")).toBe(true);
    expect(await ask("bob", "write", "record-1")).toBe(false);
    expect(await ask("alice", "write", "record-2", archived)).toBe(false);
    expect(await ask("alice", "write", "record-2", { ...archived, subject: { role: "admin" } })).toBe(true);
    expect(await ask("alice", "delete", "record-1", { action: { soft: true } })).toBe(true);
    expect(await ask("alice", "delete", "record-1", { action: { soft: false } })).toBe(false);
    expect(await ask("mallory", "read", "record-1")).toBe(false);
    const search = (what: string, body: object) =>
      send(
        server.url,
        { method: "POST", target: `/access/v1/search/${what}`, body: JSON.stringify(body) },
        verifier.tls,
      );
    const record = { type: "record", id: "record-1" };
    const writers = await search("subject", {
      subject: { type: "user" },
      action: { name: "write" },
      resource: record,
    });
    expect(parseAnswer(entitySearchAnswer, writers).results).toEqual([{ type: "user", id: "alice" }]);
    const actions = await search("action", { subject: { type: "user", id: "bob" }, resource: record });
    expect(parseAnswer(actionSearchAnswer, actions).results).toEqual([{ name: "read" }]);
    const subject = { type: "user", id: "bob" };
    const readable = await search("resource", {
      subject,
      action: { name: "read" },
      resource: { type: "record" },
    });
    expect(parseAnswer(entitySearchAnswer, readable).results).toHaveLength(2);
  });

  it("cannot lock an operator out, and never decides about our agents by its other rules", async () => {
    const asUser = await evaluate({
      subject: { type: "instance", id: "alice", properties: { role: "admin" } },
      action: { name: "read" },
      resource: { type: "record", id: "record-1" },
    });
    expect(asUser.decision).toBe(false);
    expect((await sendAdmin(server.adminSocket, { target: "/v1/status" })).status).toBe(200);
  });

  it("is in force again after a restart; when its key was retired meanwhile agents may do nothing", async () => {
    await server.close();
    server = await startTestServer(settings, home);
    verifier = await enrolVerifier(server, "again");
    expect((await decideAction("pay:invoices")).reasons).toContain("amount_too_large");
    await server.close();
    const other = {
      policy: { deadlineMs: 5000, signers: [{ id: retired.id, publicKeyFile: retired.publicKeyFile }] },
    };
    server = await startTestServer(other, home);
    verifier = await enrolVerifier(server, "third");
    expect(await decideAction("read:transactions")).toEqual({
      allow: false,
      reasons: ["policy_unavailable"],
    });
    expect((await loadBundle(server.adminSocket, packSigned(exampleFiles(4), retired))).status).toBe(200);
    expect((await decideAction("read:transactions")).allow).toBe(true);
  });
});
