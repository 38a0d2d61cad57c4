/** Which decisions an approval of the log carries: used up for them, in time, once. */
import { beforeEach, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { type Approval, formatApprovalReference, issueApproval } from "../approval.ts";
import { encodeBase64url } from "../bytes.ts";
import { encodeSpki, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { type ControlRecord, type DecisionRecord, formatTime } from "../event.ts";
import type { JsonObject } from "../json.ts";
import { ApprovalAuditor } from "./audit-approvals.ts";

const NOW = 1_800_000_000;
const SERVER = "spiffe://acme.test/trustwarden/server/inst-01J0000000000000000000000D";
const OWNER = "own_01J0000000000000000000000A";
const CALL = "01890a5d-ac96-774b-bcce-b302099a8058";
const approval: Approval = {
  v: 1,
  aud: "spiffe://acme.test",
  answer: "approve",
  id: "01890a5d-ac96-774b-bcce-b302099a8057",
  intent_sha256: "A".repeat(43),
  owner: OWNER,
  agent: "spiffe://acme.test/a/inst-01J0000000000000000000000B",
  action: "delete:rows",
  resource: "db://rows/7",
  audience: "spiffe://acme.test/trustwarden/verifier/rows/inst-01J0000000000000000000000C",
  parameters: "A".repeat(43),
  policy_sha256: "A".repeat(43),
  iat: NOW,
  exp: NOW + 900,
};
const owner = createTestSigner();
const keyid = encodeBase64url(sha256(encodeSpki(owner.publicKey)));
const envelope = issueApproval(approval, owner, keyid);
const reference = formatApprovalReference(approval, envelope);

const control = (at: number, details: JsonObject): ControlRecord => ({
  v: 1,
  event_id: CALL,
  kind: "approval",
  allow: true,
  reasons: [],
  principal: "operator",
  subject: approval.id,
  chain: [],
  intent_sha256: null,
  epoch: 0,
  from: { peer: "local" },
  details,
  time: formatTime(at * 1000),
});
const used = (at: number, changes: JsonObject = {}) =>
  control(at, { change: "use", used_by: CALL, envelope_sha256: reference.envelope_sha256, ...changes });
const decision = (at: number): DecisionRecord => ({
  v: 1,
  event_id: CALL,
  intent_sha256: "A".repeat(43),
  allow: true,
  reasons: [],
  class: "A",
  chain: [`owner:${OWNER}`, "agt_1"],
  policy: { name: "p-v1", bundle_sha256: "A".repeat(43) },
  approval: reference,
  from: { peer: "local" },
  custody: "agent",
  attested: { type: "none", strength: "none", composition_sha256: null },
  enforcement: "service",
  lease_epoch: 0,
  time: formatTime(at * 1000),
});
const intent = {
  event_id: CALL,
  agent: { spiffe_id: approval.agent },
  action: approval.action,
  resource: approval.resource,
  aud: approval.audience,
};

function faultOf(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error instanceof TrustWardenError ? error.details.reason : error;
  }
  return null;
}

let auditor: ApprovalAuditor;
const add = (record: ControlRecord, signerId = SERVER) => auditor.add(record, signerId);
beforeEach(() => {
  auditor = new ApprovalAuditor(() => owner.publicKey);
  add(control(NOW, { change: "approve", approval: envelope }));
});

it("a use in the approval's last second carries a decision that is written after its end, and no second one", () => {
  add(used(approval.exp - 1));
  expect(faultOf(() => auditor.requireApproved(decision(approval.exp + 1), intent))).toBeNull();
  expect(faultOf(() => auditor.requireApproved(decision(approval.exp + 1), intent))).toContain("used before");
});

it("a use at its end carries none", () => {
  expect(faultOf(() => add(used(approval.exp)))).toContain("expired");
  expect(faultOf(() => auditor.requireApproved(decision(approval.exp - 1), intent))).toContain("not used up");
});

it("a decision without a use, or with the use of another action, is not approved", () => {
  expect(faultOf(() => auditor.requireApproved(decision(NOW), intent))).toContain("not used up");
  add(used(NOW, { used_by: approval.id }));
  expect(faultOf(() => auditor.requireApproved(decision(NOW), intent))).toContain("not used up");
});

it("a use is of this approval, by somebody, and once", () => {
  expect(faultOf(() => add(used(NOW, { envelope_sha256: "B".repeat(43) })))).toContain("another");
  expect(faultOf(() => add(used(NOW, { used_by: null })))).toContain("nobody");
  expect(faultOf(() => add({ ...used(NOW), subject: CALL }))).toContain("nobody gave");
  add(used(NOW));
  expect(faultOf(() => add(used(NOW)))).toContain("used before");
});

it("an approval counts in its own trust domain, and under the policy that asked", () => {
  const abroad = SERVER.replace("acme.test", "elsewhere.test");
  const given = control(NOW, { change: "approve", approval: envelope });
  expect(() => auditor.add(given, abroad)).toThrow(expect.objectContaining({ code: "approval_invalid" }));
  add(used(NOW));
  const { name } = decision(NOW).policy;
  const other = { ...decision(NOW), policy: { name, bundle_sha256: "B".repeat(43) } };
  expect(faultOf(() => auditor.requireApproved(other, intent))).toContain("something else");
});
