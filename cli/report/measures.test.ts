/** A figure counts what its label says, and not what is recorded under the same kind besides. */

import {
  issueTestControl,
  issueTestDecision,
  issueTestIntent,
} from "@trustwarden/core/agentledger/record.test.support.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import type { AttestationFacts } from "@trustwarden/core/attestation.ts";
import type { ControlRecord, DecisionRecord } from "@trustwarden/core/event.ts";
import { describe, expect, it } from "vitest";
import { EventCollector } from "./make-report.ts";
import { MEASURES, type MeasureName } from "./measures.ts";

function isCounted(name: MeasureName, ...entries: readonly Uint8Array[]): boolean {
  const collector = new EventCollector();
  for (const [index, entry] of entries.entries()) collector.add(index, parseRecord(entry));
  return collector.events().some((event) => MEASURES[name].counts(event));
}

const control = (kind: ControlRecord["kind"], rest: Partial<ControlRecord>) =>
  issueTestControl({ kind, ...rest });

describe("a figure", () => {
  it.each([
    ["answers", "approval", { details: { change: "approve" } }, { details: { change: "request" } }],
    ["answers", "approval", { details: { change: "deny" } }, { details: { change: "use" } }],
    ["policies", "policy", { details: { change: "load" } }, { details: { change: "status" } }],
    ["policies", "policy", { details: { change: "load" } }, { details: { change: "freeze" } }],
    ["freezes", "policy", { details: { change: "freeze" } }, { details: { change: "load" } }],
    ["tokens", "token", { details: { change: "issue" } }, { details: { change: "revoke" } }],
    ["tokens", "jwt", {}, { allow: false }],
    ["reads", "read", { subject: "/v1/events" }, { subject: "/v1/status" }],
    ["reads", "read", { subject: "/v1/ledger/tail" }, { subject: "/v1/secrets" }],
    ["secrets", "secret", { subject: "secret:a" }, { subject: "secret:a", allow: false }],
    ["secrets", "secret", { subject: null }, { subject: "role:crm/r1" }],
    ["issued", "issue", {}, { details: { via: "foreign" } }],
    ["renewed", "renew", {}, { details: { via: "foreign" } }],
  ] as const)("of %s counts one %s and not another", (name, kind, inside, outside) => {
    expect(isCounted(name, control(kind, inside))).toBe(true);
    expect(isCounted(name, control(kind, outside))).toBe(false);
  });

  it("of platforms that were attested leaves out what only shares the account of its node", () => {
    const counted = (strength: AttestationFacts["strength"]) => {
      const intent = issueTestIntent();
      const attested: DecisionRecord["attested"] = { type: "node", strength, composition_sha256: null };
      return isCounted("attested", intent, issueTestDecision(intent, { attested }));
    };
    expect([counted("none"), counted("same_uid"), counted("unix"), counted("network")]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
});
