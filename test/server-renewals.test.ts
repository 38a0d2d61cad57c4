/** Several renewals in one request of a node: each is decided about, recorded and refused as if it had come alone. */
import { MAX_RENEWALS, nodeRenewalsAnswer } from "@trustwarden/core/api/registration.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  createOwner,
  instanceOf,
  nonceOf,
  parseAnswer,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import {
  askRenewal,
  askRenewals,
  createEntry,
  type DeliveredInstance,
  deliver,
  findingsOf,
  joinNode,
  removeEntry,
  type TestEntry,
} from "./support/nodes.ts";
import { eventsOf, expectRefused, payloadsOf } from "./support/refusals.ts";
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

const deliverOne = (): Promise<DeliveredInstance> => deliver(server, node, entry);

/** What came of each: an instance, or the code of its refusal. */
function endsOf(answer: RawAnswer): readonly string[] {
  return parseAnswer(nodeRenewalsAnswer, answer).renewals.map((end) =>
    "error" in end ? end.error.code : end.instance_id,
  );
}

it("are answered in order, and each leaves its own event", async () => {
  const instances = await Promise.all([deliverOne(), deliverOne(), deliverOne()]);
  const classSigner = createTestSigner();
  const answer = await askRenewals(
    server,
    node,
    instances.map((instance, at) => ({ instance, ...(at === 1 && { classSigner }) })),
  );
  const ids = instances.map(({ answer: { instance_id } }) => instance_id);
  expect(endsOf(answer)).toEqual(ids);
  const { renewals } = parseAnswer(nodeRenewalsAnswer, answer);
  const recorded = await Promise.all(
    renewals.map(async (renewal) => {
      if ("error" in renewal) throw new Error("all were renewed");
      return (await payloadsOf(server, renewal)).map(({ kind, details }) => [
        kind,
        Object(details).instance_id,
      ]);
    }),
  );
  expect(recorded).toEqual(ids.map((id) => [["renew", id]]));
  expect(renewals.map((renewal) => "error" in renewal || renewal.class_svid_chain !== null)).toEqual([
    false,
    true,
    false,
  ]);
  // With a nonce for the next request, since whoever renews goes on renewing.
  const nonce = String(answer.headers["trustwarden-nonce"]);
  const [first] = instances;
  if (first === undefined) throw new Error("three were delivered");
  expect((await askRenewal(server, node, first, { nonce })).status).toBe(200);
});

it("a refused one leaves its own refusal and holds up none of the others", async () => {
  const [good, stopped, drifted, stale] = await Promise.all([
    deliverOne(),
    deliverOne(),
    deliverOne(),
    deliverOne(),
  ]);
  const target = { kind: "instance", id: stopped.answer.instance_id };
  const body = JSON.stringify({ target });
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  const removed = await createEntry(server, owner, { name: "removed" });
  const orphan = await deliver(server, node, removed);
  await removeEntry(server, owner, removed.entryId);
  const others = await deliver(server, await joinNode(server), entry);
  const before = (await eventsOf(server, "refuse")).length;
  const answer = await askRenewals(server, node, [
    { instance: stopped },
    { instance: others },
    { instance: drifted, members: { composition: { tools: "C".repeat(43) } } },
    { instance: orphan },
    { instance: stale, enrolmentSha256: node.svidSha256 },
    { instance: good },
  ]);
  expect(endsOf(answer)).toEqual([
    "principal_refused",
    "denied",
    "composition_changed",
    "entry_removed",
    "principal_refused",
    good.answer.instance_id,
  ]);
  const refusals = await eventsOf(server, "refuse");
  expect(
    refusals
      .slice(0, refusals.length - before)
      .map(({ reasons }) => reasons.join())
      .sort(),
  ).toEqual([
    "composition_changed",
    "entry_removed",
    "identity_revoked",
    "principal_not_permitted",
    "svid_mismatch",
  ]);
});

it("are all under one nonce, which is spent once", async () => {
  const [one, other, third] = await Promise.all([deliverOne(), deliverOne(), deliverOne()]);
  const nonce = await nonceOf(server);
  const mixed = await askRenewals(server, node, [{ instance: one, nonce }, { instance: other }]);
  expect(endsOf(mixed)).toEqual([one.answer.instance_id, "principal_refused"]);
  const spent = await askRenewals(server, node, [
    { instance: one, nonce },
    { instance: third, nonce },
  ]);
  expect(endsOf(spent)).toEqual(["principal_refused", "principal_refused"]);
  const reasons = (await eventsOf(server, "refuse")).slice(0, 3).map((event) => event.reasons);
  expect(reasons).toEqual([["nonce_invalid"], ["nonce_invalid"], ["nonce_invalid"]]);
});

it("a key serves one of them", async () => {
  const [one, other] = await Promise.all([deliverOne(), deliverOne()]);
  const signer = createTestSigner();
  const answer = await askRenewals(server, node, [
    { instance: one, signer },
    { instance: other, signer },
  ]);
  expect(endsOf(answer)).toEqual([one.answer.instance_id, "key_reused"]);
});

it("the same instance may be asked for twice, and more than the server takes not at all", async () => {
  const instance = await deliverOne();
  const twice = await askRenewals(server, node, [{ instance }, { instance }]);
  expect(endsOf(twice)).toEqual([instance.answer.instance_id, instance.answer.instance_id]);
  const many = Array.from({ length: MAX_RENEWALS + 1 }, () => ({ instance }));
  expect(codeOf(await askRenewals(server, node, many))).toBe("request_malformed");
  expect(codeOf(await askRenewals(server, node, []))).toBe("request_malformed");
});

it("nobody but a node asks so, and a stopped node for nothing", async () => {
  const instance = await deliverOne();
  const host = await joinNode(server, "host-3");
  await expectRefused(server, () => askRenewals(server, instance, [{ instance }]), "no_intent");
  const body = JSON.stringify({ target: { kind: "instance", id: host.answer.instance_id } });
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  await expectRefused(server, () => askRenewals(server, host, [{ instance }]), "identity_revoked");
});

it("what they renewed acts, and an audit of all of it finds nothing", async () => {
  const [one, other] = await Promise.all([deliverOne(), deliverOne()]);
  const signer = createTestSigner();
  const { renewals } = parseAnswer(
    nodeRenewalsAnswer,
    await askRenewals(server, node, [{ instance: one, signer }, { instance: other }]),
  );
  const [renewed] = renewals;
  if (renewed === undefined || "error" in renewed) throw new Error("it was renewed");
  expect(renewed.svid_chain.map(parseBase64url)).toHaveLength(2);
  const next = instanceOf({ ...renewed, acknowledgement: "" }, signer);
  expect((await askRenewal(server, node, { ...one, svidSha256: next.svidSha256 })).status).toBe(200);
  expect(await findingsOf(server)).toEqual([]);
});
