/** Receipts: the server's decision about this very intent, and the log's promise to keep it. */
import { issueAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { type DecisionRecord, formatTime } from "@trustwarden/core/event.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, createVectorParty, NOW, seededLogSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const { good, bad } = casesOf("receipt");

export const domain = createVectorDomain("acme.test");
const server = createVectorParty(domain, ["trustwarden", "server", "01S"]);
const impostor = createVectorParty(domain, ["trustwarden", "server", "01X"]);
const log = seededLogSigner("ledger");
const origin = "ledger.acme.test";
const logVkey = formatVkey(origin, rawEd25519Key(log.publicKey));
const intentSha256 = encodeBase64url(sha256(encodeUtf8("intent")));
const otherSha256 = encodeBase64url(sha256(encodeUtf8("another intent")));
const eventId = "01990000-0000-7000-8000-000000000001";
const index = 41;

export const decided: DecisionRecord = {
  v: 1,
  event_id: eventId,
  intent_sha256: intentSha256,
  allow: true,
  reasons: [],
  class: "B",
  chain: ["owner:own_1", "agt_pay"],
  policy: { name: "trustwarden-builtin-v1", bundle_sha256: intentSha256 },
  approval: null,
  from: { peer: "127.0.0.1" },
  custody: "agent",
  attested: { type: "none", strength: "none", composition_sha256: null },
  enforcement: "service",
  lease_epoch: 7,
  time: formatTime(NOW * 1000),
};

/** @returns the cases. */
export function makeReceipt(): readonly VectorCase[] {
  return [...goodReceipts(), ...badReceipts(), ...badHeaders()];
}

function goodReceipts(): readonly VectorCase[] {
  const denied = { ...decided, allow: false, reasons: ["scope"] };
  const approval = { id: eventId, owner: "own_1", envelope_sha256: otherSha256 };
  const rows: readonly (readonly [string, DecisionRecord])[] = [
    ["an allow", decided],
    ["a deny", denied],
    ["an allow that a human approved", { ...decided, approval }],
  ];
  return rows.map(([name, record]) => {
    const value = { allow: record.allow, event_id: eventId, index, acknowledged_at: NOW };
    return good(name, inputOf(receiptOf(record)), value);
  });
}

function badReceipts(): readonly VectorCase[] {
  const receipt = receiptOf(decided);
  const note = (text: string, at = index) =>
    issueAcknowledgement(
      { origin, index: at, leafHash: leafHash(encodeUtf8(text)), acknowledgedAt: NOW },
      log,
    );
  const other = seededLogSigner("another ledger");
  const checkpoint = issueCheckpoint({ origin, size: index, root: leafHash(encodeUtf8("x")) }, log);
  const foreign = issueAcknowledgement(
    { origin, index, leafHash: leafHash(encodeUtf8(receipt.decision)), acknowledgedAt: NOW },
    other,
  );
  const rows: readonly (readonly [string, JsonObject])[] = [
    ["about another intent", { ...inputOf(receipt), intent_sha256: otherSha256 }],
    [
      "whose decision is about another intent",
      inputOf({ ...receiptOf({ ...decided, intent_sha256: otherSha256 }), intent_sha256: intentSha256 }),
    ],
    ["under another event", inputOf({ ...receipt, event_id: eventId.replace(/1$/, "2") })],
    ["that binds elsewhere", { ...inputOf(receipt), enforcement: "gateway" }],
    [
      "of the agent's own process, shown to a service",
      inputOf(receiptOf({ ...decided, enforcement: "self" })),
    ],
    ["signed by another server", inputOf(receiptOf(decided, impostor))],
    [
      "signed by another server in this one's name",
      inputOf(receiptOf(decided, { ...impostor, sha256: server.sha256 })),
    ],
    ["with a flipped bit in the decision", inputOf({ ...receipt, decision: flipPayload(receipt.decision) })],
    [
      "promised at another index",
      inputOf({ ...receipt, acknowledgement: note(receipt.decision, index + 1) }),
    ],
    ["that claims another index", inputOf({ ...receipt, decision_index: index + 1 })],
    ["with the promise of another entry", inputOf({ ...receipt, acknowledgement: note("another") })],
    ["with the promise of another log", inputOf({ ...receipt, acknowledgement: foreign })],
    ["with a checkpoint where a promise belongs", inputOf({ ...receipt, acknowledgement: checkpoint })],
    ["without a promise", inputOf({ ...receipt, acknowledgement: "" })],
    ...badDecisions(),
  ];
  return rows.map(([name, input]) => bad(`a receipt ${name}`, input, "receipt_invalid"));
}

/** Rightly signed and promised, and not what a decision is. */
function badDecisions(): readonly (readonly [string, JsonObject])[] {
  const receipt = receiptOf(decided);
  return [
    [
      "whose decision has a member more",
      inputOf(receiptOf(JSON.parse(JSON.stringify({ ...decided, extra: 1 })))),
    ],
    [
      "whose decision has a class that is none",
      inputOf(receiptOf(JSON.parse(JSON.stringify({ ...decided, class: "D" })))),
    ],
    [
      "whose decision is an outcome",
      inputOf({
        ...receipt,
        decision: issueEnvelope(
          "outcome",
          {
            ...decided,
            policy: { ...decided.policy },
            approval: null,
            from: { ...decided.from },
            attested: { ...decided.attested },
          },
          server.signer,
          server.sha256,
        ),
      }),
    ],
  ];
}

function badHeaders(): readonly VectorCase[] {
  const receipt = receiptOf(decided);
  const headers: readonly (readonly [string, string])[] = [
    ["nothing", ""],
    ["no base64url", "{}"],
    ["padded base64", `${headerOf(receipt)}=`],
    ["bytes that are no text", encodeBase64url(Uint8Array.of(0xff, 0xfe))],
    ["a list", headerOf([])],
    ["a member less", headerOf({ ...receipt, event_id: undefined })],
    ["a member more", headerOf({ ...receipt, more: 1 })],
    ["an index that is text", headerOf({ ...receipt, decision_index: "41" })],
    ["an index with a fraction", headerOf({ ...receipt, decision_index: 41.5 })],
    ["16 KiB and more", headerOf({ ...receipt, decision: "x".repeat(16_384) })],
  ];
  return headers.map(([name, text]) =>
    bad(`a header of ${name}`, { ...inputOf(receipt), header: text }, "receipt_invalid"),
  );
}

/** What the server answers about a decision. */
export function receiptOf(record: DecisionRecord, by = server) {
  const { policy, approval, from, attested, ...rest } = record;
  const payload = {
    ...rest,
    policy: { ...policy },
    approval: approval && { ...approval },
    from: { ...from },
    attested: { ...attested },
  };
  const decision = issueEnvelope("decision", payload, by.signer, by.sha256);
  const acknowledged = { origin, index, leafHash: leafHash(encodeUtf8(decision)), acknowledgedAt: NOW };
  return {
    event_id: record.event_id,
    intent_sha256: record.intent_sha256,
    decision,
    decision_index: index,
    acknowledgement: issueAcknowledgement(acknowledged, log),
  };
}

/** What a verifier is asked. */
export function inputOf(receipt: ReturnType<typeof receiptOf>) {
  return {
    header: headerOf(receipt),
    server_sha256: server.sha256,
    server_spki: encodeBase64(server.spki),
    log_vkey: logVkey,
    intent_sha256: intentSha256,
    enforcement: "service",
  };
}

function flipPayload(envelope: string): string {
  const json = JSON.parse(envelope);
  const payload = Buffer.from(json.payload, "base64").toString().replace('"allow":true', '"allow":null');
  return JSON.stringify({ ...json, payload: Buffer.from(payload).toString("base64") });
}

/** As a header has it. */
export function headerOf(value: unknown): string {
  return encodeBase64url(encodeUtf8(JSON.stringify(value)));
}
