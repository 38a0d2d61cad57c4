/** What an audit holds against an instance that a registration entry is said to have permitted. */
import { describe, expect, it } from "vitest";
import type { ControlRecord } from "../event.ts";
import type { JsonObject } from "../json.ts";
import { boundDigestOf, EntryAuditor } from "./audit-entries.ts";

const NODE = "spiffe://acme.test/trustwarden/node/host-1/inst-01N";
const DIGEST = "A".repeat(43);
const entry: JsonObject = {
  jti: "01E",
  exp: 1_800_000_100,
  path: "team/web",
  name: "crawler",
  selectors: ["unix:uid:1000"],
  nodes: ["host-1"],
};
const attested: JsonObject = { type: "node", node: NODE, selectors: ["node:host-1", "unix:uid:1000"] };

function control(kind: ControlRecord["kind"], subject: string, details: JsonObject): ControlRecord {
  return {
    v: 1,
    event_id: "01",
    kind,
    allow: true,
    reasons: [],
    principal: NODE,
    subject,
    chain: [],
    intent_sha256: null,
    epoch: 0,
    from: { peer: "127.0.0.1" },
    details,
    time: "2027-01-15T08:00:00.000Z",
  };
}

const issued = (details: JsonObject = {}, subject = "spiffe://acme.test/team/web/crawler/inst-01A") =>
  control("issue", subject, { entry_id: "ent_01E", attested, ...details });

function auditor(): EntryAuditor {
  const made = new EntryAuditor();
  made.addNode(control("node", NODE, { name: "host-1" }));
  return made;
}

describe("an instance of an entry", () => {
  it("agrees with what the owner signed and with the nodes of the log", () => {
    expect(() => auditor().requireMatch(entry, issued())).not.toThrow();
    expect(() => auditor().requireMatch({ ...entry, nodes: ["*"] }, issued())).not.toThrow();
    const top = { ...entry, path: "" };
    expect(() =>
      auditor().requireMatch(top, issued({}, "spiffe://acme.test/crawler/inst-01A")),
    ).not.toThrow();
  });

  it.each<[string, JsonObject, ControlRecord]>([
    ["another entry's id", entry, issued({ entry_id: "ent_01F" })],
    ["another name", entry, issued({}, "spiffe://acme.test/team/web/banker/inst-01A")],
    ["another place", entry, issued({}, "spiffe://acme.test/crawler/inst-01A")],
    ["a workload without a selector", { ...entry, selectors: ["unix:uid:0"] }, issued()],
    ["nothing attested", entry, issued({ attested: null })],
    ["a node that nobody admitted", entry, issued({ attested: { ...attested, node: `${NODE}B` } })],
    ["a node that it does not name", { ...entry, nodes: ["host-2"] }, issued()],
    [
      "the selector of another node",
      entry,
      issued({ attested: { ...attested, selectors: ["node:host-2", "unix:uid:1000"] } }),
    ],
    ["an entry that had expired", { ...entry, exp: 1_800_000_000 }, issued()],
  ])("is found out with %s", (_, document, record) => {
    expect(() => auditor().requireMatch(document, record)).toThrow(
      expect.objectContaining({ code: "record_malformed" }),
    );
  });

  it("is found out after its entry was removed", () => {
    const made = auditor();
    made.addChange(control("entry", "ent_01E", { change: "remove", entry_kind: "agent" }));
    expect(() => made.requireMatch(entry, issued())).toThrow(
      expect.objectContaining({ details: { reason: "an entry that had been removed" } }),
    );
  });
});

describe("a node", () => {
  it("is found out under another name than it was admitted by", () => {
    const admit = (subject: string, name: string) => () =>
      new EntryAuditor().addNode(control("node", subject, { name }));
    expect(admit(NODE, "host-1")).not.toThrow();
    expect(admit(NODE, "host-2")).toThrow(expect.objectContaining({ code: "record_malformed" }));
    expect(admit("spiffe://acme.test/a/node/host-1/inst-01N", "host-1")).toThrow(
      expect.objectContaining({ code: "record_malformed" }),
    );
  });
});

describe("the proof of a new key", () => {
  it("is bound to the evidence, where the key came with evidence, and else to the document", () => {
    expect(boundDigestOf(control("node", NODE, { evidence_sha256: DIGEST }))).toBe(DIGEST);
    const byEvidence = issued({ attested: { type: "github", evidence_sha256: DIGEST }, enrolment: "{}" });
    expect(boundDigestOf(byEvidence)).toBe(DIGEST);
    expect(boundDigestOf(issued({ enrolment: "{}" }))).toBe("RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o");
  });
});
