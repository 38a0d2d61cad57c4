import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBase64, encodeUtf8, parseUtf8 } from "../bytes.ts";
import { encodePae, parseEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { formatEventGroup, type JoinedEvent, joinRecord, linksOf, subtreesOf } from "./join.ts";
import {
  createTestParty,
  formatTestEventId,
  issueTestControl,
  issueTestDecision,
  issueTestIntent,
  issueTestOutcome,
  issueTestSvid,
  testAgent,
  testServer,
} from "./record.test.support.ts";
import { formatRecordKey, intentDigestOf, isResend, parseRecord, verifyRecord } from "./record.ts";

const intent = issueTestIntent();
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const refusal = (code: string) => expect.objectContaining({ code });
const svidOf = ({ sha256, signer }: typeof testAgent) => ({ sha256, publicKey: signer.publicKey });

/** The same record with the other spelling of its signature, which anybody can compute. */
function respell(entry: Uint8Array): Uint8Array {
  const { signature } = parseEnvelope(parseUtf8(entry));
  const s = P256_ORDER - BigInt(`0x${Buffer.from(signature.subarray(32)).toString("hex")}`);
  const twin = Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, "0"), "hex"),
  ]);
  return encodeUtf8(parseUtf8(entry).replace(encodeBase64(signature), twin.toString("base64")));
}

describe("records", () => {
  it("are signed over the pre-authentication encoding of DSSE (37)", () => {
    const vector = "DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    expect(parseUtf8(encodePae("http://example.com/HelloWorld", encodeUtf8("hello world")))).toBe(vector);
  });

  it("verify over the payload's own bytes, with the key of the SVID that they name", () => {
    for (const [entry, party] of [
      [intent, testAgent],
      [issueTestDecision(intent), testServer],
      [issueTestControl(), testServer],
    ] as const) {
      const record = parseRecord(entry);
      expect(verifyRecord(record, svidOf(party))).toEqual(record.unverified);
    }
  });

  it("are refused with duplicate keys, other spellings, unknown members or an unknown type (36, 37)", () => {
    const text = parseUtf8(intent);
    const doubled = encodeUtf8(text.replace("{", '{"payload":"",'));
    expect(() => parseRecord(doubled)).toThrow(refusal("json_duplicate_key"));
    expect(() => parseRecord(encodeUtf8(` ${text}`))).toThrow(refusal("dsse_malformed"));
    expect(() => parseRecord(encodeUtf8(text.replace("intent.v1", "ticket.v1")))).toThrow(
      refusal("record_malformed"),
    );
    expect(() => parseRecord(encodeUtf8(text.replace("intent.v1", "decision.v1")))).toThrow(
      refusal("record_malformed"),
    );
    expect(() => parseRecord(Uint8Array.of(0xff))).toThrow(refusal("request_malformed"));
  });

  it("are rejected under a key that is not the one of svid_sha256 (38)", () => {
    const other = createTestParty("spiffe://acme.test/other/inst-01B");
    const record = parseRecord(intent);
    expect(() => verifyRecord(record, svidOf(other))).toThrow(refusal("signature_invalid"));
    // The same key under another certificate: the certificate counts.
    expect(() => verifyRecord(record, { ...svidOf(testAgent), sha256: other.sha256 })).toThrow(
      refusal("svid_mismatch"),
    );
    const lying = parseRecord(
      issueTestIntent({ agent: { id: "agt_x", spiffe_id: other.spiffeId, svid_sha256: other.sha256 } }),
    );
    expect(() => verifyRecord(lying, svidOf(testAgent))).toThrow(refusal("svid_mismatch"));
  });

  it("with the high-S and the low-S spelling of one signature are one record (38)", () => {
    const twin = respell(intent);
    const [record, respelled] = [parseRecord(intent), parseRecord(twin)];
    expect(respelled.entrySha256).not.toBe(record.entrySha256);
    verifyRecord(respelled, svidOf(testAgent));
    expect(formatRecordKey(respelled, null)).toBe(formatRecordKey(record, null));
    expect(isResend(respelled, record)).toBe(true);
  });

  it("have signatures of exactly 64 bytes (39)", () => {
    const { signature } = parseEnvelope(parseUtf8(intent));
    for (const length of [0, 63, 65, 70]) {
      const other = Buffer.concat([signature, Buffer.alloc(8, 1)]).subarray(0, length);
      const entry = encodeUtf8(parseUtf8(intent).replace(encodeBase64(signature), other.toString("base64")));
      expect(() => parseRecord(entry)).toThrow(refusal("dsse_malformed"));
    }
  });

  it("sent again are the same, and another payload under their key is a conflict (40)", () => {
    const record = parseRecord(intent);
    expect(isResend(record, undefined)).toBe(false);
    expect(isResend(record, record)).toBe(true);
    const other = parseRecord(issueTestIntent({ action: "delete:transactions" }));
    expect(formatRecordKey(other, null)).toBe(formatRecordKey(record, null));
    expect(() => isResend(other, record)).toThrow(refusal("event_conflict"));
  });

  it("of different types, signers, intents or events have different keys (40)", () => {
    const other = createTestParty("spiffe://acme.test/other/inst-01B");
    const decision = parseRecord(issueTestDecision(intent));
    const keys = [
      formatRecordKey(parseRecord(intent), null),
      formatRecordKey(parseRecord(issueTestIntent({ by: other })), null),
      formatRecordKey(parseRecord(issueTestIntent({ event_id: formatTestEventId(2) })), null),
      formatRecordKey(decision, testAgent.sha256),
      formatRecordKey(decision, other.sha256),
      formatRecordKey(parseRecord(issueTestOutcome(intent)), testAgent.sha256),
      formatRecordKey(parseRecord(issueTestControl()), null),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("never make the parser do anything but answer or refuse", () => {
    const base = parseUtf8(intent);
    const mutated = fc
      .tuple(fc.nat(base.length), fc.string({ maxLength: 3 }))
      .map(([at, text]) => encodeUtf8(base.slice(0, at) + text + base.slice(at + text.length)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        try {
          parseRecord(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });
});

describe("an event", () => {
  const join = (entries: readonly Uint8Array[]) =>
    entries.reduce<JoinedEvent | null>(
      (event, entry, index) => joinRecord(event, parseRecord(entry), index),
      null,
    );

  it("is the founding essay's event, joined from its three records", () => {
    const decision = issueTestDecision(intent);
    expect(join([intent, decision, issueTestOutcome(intent)])).toEqual({
      event_id: formatTestEventId(1),
      kind: "action",
      agent_id: "agt_payment",
      agent_identity: testAgent.spiffeId,
      parent_agent_id: "agt_orchestrator",
      owner_id: "own_1",
      chain: ["owner:own_1", "agt_orchestrator", "agt_payment"],
      action: "write:transactions",
      resource: "postgres://finance-db/transactions",
      timestamp: "2026-11-18T11:06:40.000Z",
      outcome: "success",
      reasons: [],
      class: "B",
      enforcement: "service",
      authorized_by: expect.stringMatching(/^policy:finance-prod-v2\.3@[\w-]{43}$/),
      signature: encodeBase64(parseEnvelope(parseUtf8(intent)).signature),
      indexes: [0, 1, 2],
    });
  });

  it("is pending until its outcome, denied by its decision, and stays denied whatever claims to have come of it", () => {
    expect(join([intent])).toMatchObject({ outcome: "pending", authorized_by: "nobody" });
    expect(join([intent, issueTestDecision(intent)])).toMatchObject({ outcome: "pending" });
    const denied = issueTestDecision(intent, { allow: false, reasons: ["scope"] });
    expect(join([intent, denied])).toMatchObject({ outcome: "denied", reasons: ["scope"] });
    expect(join([intent, denied, issueTestOutcome(intent)])).toMatchObject({ outcome: "denied" });
    expect(
      join([intent, issueTestDecision(intent), issueTestOutcome(intent, { status: "aborted" })]),
    ).toMatchObject({ outcome: "aborted" });
  });

  it("has no parent when the agent was created by its owner", () => {
    const decision = issueTestDecision(intent, { chain: ["owner:own_1", "agt_payment"] });
    expect(join([intent, decision])).toMatchObject({ parent_agent_id: null, owner_id: "own_1" });
  });

  it("of the control plane shows its principal, and its intent's agent when an agent caused it", () => {
    const issue = issueTestSvid(testAgent, 1);
    expect(join([issue])).toMatchObject({
      kind: "issue",
      agent_id: "agt_payment",
      agent_identity: testAgent.spiffeId,
      outcome: "success",
      authorized_by: "operator",
    });
    const record = parseRecord(intent);
    const control = issueTestControl({
      kind: "revoke",
      intent_sha256: record.entrySha256,
      subject: "agt_child",
      allow: false,
      reasons: ["denied"],
    });
    expect(formatEventGroup(parseRecord(control))).toBe(formatEventGroup(record));
    expect(join([intent, control])).toMatchObject({
      kind: "revoke",
      agent_id: "agt_payment",
      outcome: "denied",
      resource: "postgres://finance-db/transactions",
    });
    expect(intentDigestOf(parseRecord(issue))).toBeNull();
    expect(formatEventGroup(parseRecord(issue))).not.toBe(
      formatEventGroup(parseRecord(issueTestSvid(testAgent, 2))),
    );
  });

  it("is found under its agents, instances and owner, and lies in the subtrees of its chain", () => {
    expect(linksOf(parseRecord(intent))).toEqual(["agt_payment", testAgent.spiffeId, "inst-01A"]);
    expect(subtreesOf(parseRecord(issueTestDecision(intent)))).toEqual([
      "own_1",
      "agt_orchestrator",
      "agt_payment",
    ]);
    expect(linksOf(parseRecord(issueTestSvid(testAgent, 1)))).toEqual(
      expect.arrayContaining([testAgent.spiffeId, "inst-01A", "agt_payment", "own_1", "operator"]),
    );
    expect(linksOf(parseRecord(issueTestOutcome(intent)))).toEqual([]);
  });
});
