/**
 * Helpers for tests of records: parties with keys, certificates without X.509, and the records of one action.
 */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { encodeBase64, encodeBase64url, encodeUtf8, parseUtf8 } from "../bytes.ts";
import { encodeSpki, parseP256PublicKey, sha256 } from "../crypto.ts";
import { issueEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord, DecisionRecord, Intent, OutcomeRecord } from "../event.ts";
import type { JsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import type { CertificateVerifier } from "./ports.ts";

/** SEC1 DER of a P-256 private key without its public half: header, scalar, curve. */
const SEC1 = {
  head: Buffer.from("30310201010420", "hex"),
  tail: Buffer.from("a00a06082a8648ce3d030107", "hex"),
};

/** Instant of all test records, Unix seconds. */
export const TEST_NOW = 1_795_000_000;

/** Somebody with a key and a certificate. */
export interface TestParty {
  readonly spiffeId: string;
  readonly signer: Signer;
  /** Stand-in for a DER certificate. */
  readonly leaf: Uint8Array;
  /** base64url digest of the leaf. */
  readonly sha256: string;
}

/** A party whose key is a fixed function of its name. */
export function createTestParty(
  spiffeId: string,
  { trusted = true, expiresAt = TEST_NOW + 3600 } = {},
): TestParty {
  const scalar = sha256(encodeUtf8(spiffeId));
  const privateKey = createPrivateKey({
    key: Buffer.concat([SEC1.head, scalar, SEC1.tail]),
    format: "der",
    type: "sec1",
  });
  const publicKey = createPublicKey(privateKey);
  const certificate = {
    spiffeId,
    spki: encodeBase64(encodeSpki(publicKey)),
    trusted,
    notBefore: TEST_NOW - 60,
    expiresAt,
  };
  const leaf = encodeUtf8(JSON.stringify(certificate));
  return {
    spiffeId,
    signer: {
      algorithm: "ES256",
      publicKey,
      sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
    },
    leaf,
    sha256: encodeBase64url(sha256(leaf)),
  };
}

/** Verifies the stand-in certificates of `createTestParty`. */
export const testCertificates: CertificateVerifier = {
  verifyChain([leaf], at) {
    if (leaf === undefined) throw new TrustWardenError("no_svid");
    const { spiffeId, spki, trusted, notBefore, expiresAt } = JSON.parse(parseUtf8(leaf));
    if (trusted !== true) throw new TrustWardenError("svid_untrusted");
    if (at < notBefore) throw new TrustWardenError("svid_not_yet_valid");
    if (at >= expiresAt) throw new TrustWardenError("svid_expired");
    const publicKey = parseP256PublicKey(Buffer.from(spki, "base64"));
    return {
      spiffeId,
      sha256: encodeBase64url(sha256(leaf)),
      publicKey,
      isForeign: false,
      notBefore,
      expiresAt,
    };
  },
};

export const testServer: TestParty = createTestParty("spiffe://acme.test/trustwarden/server/01J");
export const testGateway: TestParty = createTestParty(
  "spiffe://acme.test/trustwarden/verifier/bank/inst-01J",
);
export const testOwner: TestParty = createTestParty("own_1");
export const testOrchestrator: TestParty = createTestParty(
  "spiffe://acme.test/team/finance/orchestrator/inst-01O",
);
export const testAgent: TestParty = createTestParty("spiffe://acme.test/team/finance/payment-agent/inst-01A");

/** From when until when documents of enrolment are good. */
const TIMES = { iat: TEST_NOW - 100, exp: TEST_NOW + 3600 };
const TIME = new Date(TEST_NOW * 1000).toISOString();
const DIGEST = encodeBase64url(sha256(encodeUtf8("digest")));

/** A UUIDv7 that ends in a number. */
export function formatTestEventId(number: number): string {
  return `01990000-0000-7000-8000-${String(number).padStart(12, "0")}`;
}

/** Entry of an intent by `testAgent`, unless another signs. */
export function issueTestIntent(changes: Partial<Intent> & { readonly by?: TestParty } = {}): Uint8Array {
  const { by = testAgent, ...fields } = changes;
  const intent: Intent = {
    v: 1,
    event_id: formatTestEventId(1),
    agent: { id: "agt_payment", spiffe_id: by.spiffeId, svid_sha256: by.sha256 },
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    request: DIGEST,
    params: null,
    aud: testGateway.spiffeId,
    job: null,
    time: TIME,
    exp: TEST_NOW + 30,
    seq: 1,
    prev: null,
    seen: null,
    ...fields,
  };
  return issueEntry("intent", intent, by);
}

/** Entry of the server's decision about an intent. */
export function issueTestDecision(
  intent: Uint8Array,
  changes: Partial<DecisionRecord> & { readonly by?: TestParty } = {},
): Uint8Array {
  const { by = testServer, ...fields } = changes;
  const decision: DecisionRecord = {
    v: 1,
    event_id: formatTestEventId(1),
    intent_sha256: encodeBase64url(sha256(intent)),
    allow: true,
    reasons: [],
    class: "B",
    chain: ["owner:own_1", "agt_orchestrator", "agt_payment"],
    policy: { name: "finance-prod-v2.3", bundle_sha256: DIGEST },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 7,
    time: TIME,
    ...fields,
  };
  return issueEntry("decision", decision, by);
}

/** Entry of the gateway's outcome of an intent. */
export function issueTestOutcome(
  intent: Uint8Array,
  changes: Partial<OutcomeRecord> & { readonly by?: TestParty } = {},
): Uint8Array {
  const { by = testGateway, ...fields } = changes;
  const outcome: OutcomeRecord = {
    v: 1,
    event_id: formatTestEventId(1),
    intent_sha256: encodeBase64url(sha256(intent)),
    decision_index: 1,
    status: "success",
    result: null,
    bytes: 12,
    duration_ms: 3,
    time: TIME,
    ...fields,
  };
  return issueEntry("outcome", outcome, by);
}

/** Entry of a control record of the server. */
export function issueTestControl(
  changes: Partial<ControlRecord> & { readonly by?: TestParty } = {},
): Uint8Array {
  const { by = testServer, ...fields } = changes;
  const control: ControlRecord = {
    v: 1,
    event_id: formatTestEventId(900),
    kind: "start",
    allow: true,
    reasons: [],
    principal: "operator",
    subject: null,
    chain: [],
    intent_sha256: null,
    epoch: 1,
    from: { peer: "admin" },
    details: {},
    time: TIME,
    ...fields,
  };
  return issueEntry("control", control, by);
}

/** Entry that registers the owner of all test agents. */
export function issueTestOwner(): Uint8Array {
  const spki = encodeBase64(encodeSpki(testOwner.signer.publicKey));
  return issueTestControl({
    event_id: formatTestEventId(999),
    kind: "owner",
    subject: "own_1",
    chain: ["owner:own_1"],
    details: { owner: "own_1", spki },
  });
}

/**
 * Entry of the event that carries a party's certificate: a server starts, a verifier has the server's ticket, the
 * orchestrator its owner's, and everybody else the orchestrator's grant.
 *
 * @param details - replace the honest ones.
 */
export function issueTestSvid(
  party: TestParty,
  number: number,
  details: JsonObject = {},
  epoch = 1,
): Uint8Array {
  const enrolment = issueTestEnrolment(party);
  const proof = { enrolment_sha256: encodeBase64url(sha256(encodeUtf8(enrolment))) };
  const agentId = party === testOrchestrator ? "agt_orchestrator" : "agt_payment";
  const above = party === testOrchestrator ? [] : ["agt_orchestrator"];
  return issueTestControl({
    event_id: formatTestEventId(1000 + number),
    kind: party === testServer ? "start" : "issue",
    subject: party.spiffeId,
    epoch,
    chain: ["owner:own_1", ...above, agentId],
    details: {
      agent_id: agentId,
      spiffe_id: party.spiffeId,
      scope: ["write:transactions"],
      svid_sha256: party.sha256,
      svid_chain: [encodeBase64(party.leaf)],
      enrolment,
      possession: issueEnvelope("possession", proof, party.signer, party.sha256),
      ...details,
    },
  });
}

/** Members of an issue event for another document than the honest one, with its proof. */
export function testEnrolmentDetails(
  party: TestParty,
  changes: JsonObject,
  enrolment = issueTestEnrolment(party, undefined, changes),
): JsonObject {
  const proof = { enrolment_sha256: encodeBase64url(sha256(encodeUtf8(enrolment))) };
  return { enrolment, possession: issueEnvelope("possession", proof, party.signer, party.sha256) };
}

/** The document that lets a party be, signed by whoever may; or by another, for a forgery. */
export function issueTestEnrolment(party: TestParty, by?: TestParty, changes: JsonObject = {}): string {
  const scope = ["write:transactions"];
  const issued = (name: "ticket" | "grant", payload: JsonObject, signer: TestParty) =>
    issueEnvelope(name, payload, (by ?? signer).signer, (by ?? signer).sha256);
  const jti = party.spiffeId;
  const segments = party.spiffeId.split("/");
  const aud = segments.slice(0, 3).join("/");
  const named = { aud, path: segments.slice(3, -2).join("/"), name: segments.at(-2) ?? "", ...TIMES };
  if (party.spiffeId.includes("/trustwarden/"))
    return issued("ticket", { kind: "verifier", jti, ...named }, testServer);
  if (party === testOrchestrator)
    return issued("ticket", { kind: "agent", jti, owner: "own_1", ...named, scope, ...changes }, testOwner);
  const { spiffeId: parent, sha256: svid_sha256 } = testOrchestrator;
  return issued("grant", { jti, parent, svid_sha256, ...named, scope, ...changes }, testOrchestrator);
}

function issueEntry(
  name: "intent" | "decision" | "outcome" | "control",
  value: object,
  by: TestParty,
): Uint8Array {
  // A record's members are JSON by construction; its interface type cannot say so.
  const payload: JsonObject = JSON.parse(JSON.stringify(value));
  return encodeUtf8(issueEnvelope(name, payload, by.signer, by.sha256));
}
