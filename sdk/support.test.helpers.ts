/**
 * A trust domain in memory for the SDK's tests: real keys, real certificates, real signatures, a clock that stands.
 */
import { generateKeyPairSync, sign } from "node:crypto";
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { verifyX509Svid, type X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { issueAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { type DecisionRecord, formatTime } from "@trustwarden/core/event.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createInstanceKey, type InstanceKey } from "./instance-key.ts";
import { type IntentDraft, IntentWriter } from "./intent-writer.ts";
import { type Notice, type Runtime, systemRuntime } from "./runtime.ts";

export const NOW = 1_800_000_000;
export const TRUST_DOMAIN = parseTrustDomain("acme.test");
export const SERVER_ID = "spiffe://acme.test/trustwarden/server/01J00000000000000000000000";
export const SERVICE_ID = parseSpiffeId("spiffe://acme.test/trustwarden/verifier/finance/inst-01JSERVICE");
export const AGENT_ID = "spiffe://acme.test/team/finance/payment-agent/inst-01JAGENT";
export const LOG_ORIGIN = "ledger.acme.test";

/** A clock that a test moves, and the notices it provoked. */
export interface TestRuntime extends Runtime {
  readonly notices: Notice[];
  advance(ms: number): void;
}

export function createTestRuntime(): TestRuntime {
  let elapsedMs = 0;
  const notices: Notice[] = [];
  return {
    nowMs: () => NOW * 1000 + elapsedMs,
    monotonicMs: () => elapsedMs,
    random: systemRuntime.random,
    notify: (notice) => notices.push(notice),
    notices,
    advance: (ms) => {
      elapsedMs += ms;
    },
  };
}

const intermediateSigner = createInstanceKey().signer;
const authority = createAuthority({
  trustDomain: TRUST_DOMAIN,
  rootSigner: createInstanceKey().signer,
  intermediateSigner,
  jwtSigner: createInstanceKey().signer,
  random: systemRuntime.random,
  now: NOW - 3600,
});

export const bundle = authority.bundle;
const bundles = new Map([[TRUST_DOMAIN, bundle]]);

/** An SVID with its key. */
export interface TestIdentity {
  readonly key: InstanceKey;
  readonly svid: X509Svid;
  readonly chain: readonly Uint8Array[];
}

export function issueIdentity(
  id: string,
  key: InstanceKey = createInstanceKey(),
  notAfter = NOW + 3600,
): TestIdentity {
  const leaf = issueLeafCertificate({
    id: parseSpiffeId(id),
    spki: key.spki,
    ca: authority.intermediate,
    signer: intermediateSigner,
    serial: createSerial(systemRuntime.random),
    now: NOW,
    notAfter,
  });
  const chain = [leaf, authority.intermediate.der];
  return { key, chain, svid: verifyX509Svid(chain, bundles, NOW) };
}

/** An agent as it signs: its intents, one after the other. */
export function createTestAgent(): (draft: IntentDraft) => VerifiedIntent {
  const { key, svid } = issueIdentity(AGENT_ID);
  const writer = new IntentWriter({ agentId: "agt_1", runtime: createTestRuntime(), seen: () => null });
  const signing = { spiffeId: AGENT_ID, svidSha256: svid.leaf.sha256, signer: key.signer };
  return (draft) => writer.sign(draft, signing);
}

export const serverIdentity = issueIdentity(SERVER_ID);

const logKeys = generateKeyPairSync("ed25519");
export const logSigner: Signer = {
  algorithm: "Ed25519",
  publicKey: logKeys.publicKey,
  sign: (data) => new Uint8Array(sign(null, data, logKeys.privateKey)),
};
export const logVkey = formatVkey(LOG_ORIGIN, rawEd25519Key(logKeys.publicKey));

/** A receipt as the server makes it, for an intent; `changes` make it wrong. */
export function issueReceipt(
  { intent, sha256 }: VerifiedIntent,
  changes: Partial<DecisionRecord> = {},
  signer: TestIdentity = serverIdentity,
): Receipt {
  const record: DecisionRecord = {
    v: 1,
    event_id: intent.event_id,
    intent_sha256: sha256,
    allow: true,
    reasons: [],
    class: "C",
    chain: ["owner:own_1", "agt_1"],
    policy: { name: "test", bundle_sha256: sha256 },
    approval: null,
    from: { peer: "127.0.0.1" },
    custody: "agent",
    attested: { type: "none", strength: "none", composition_sha256: null },
    enforcement: "service",
    lease_epoch: 7,
    time: formatTime(NOW * 1000),
    ...changes,
  };
  const json = {
    ...record,
    policy: { ...record.policy },
    from: { ...record.from },
    attested: { ...record.attested },
    approval: record.approval && { ...record.approval },
  };
  const decision = issueEnvelope("decision", json, signer.key.signer, signer.svid.leaf.sha256);
  const index = 41;
  return {
    event_id: record.event_id,
    intent_sha256: record.intent_sha256,
    decision,
    decision_index: index,
    acknowledgement: acknowledge(decision, index),
  };
}

export function acknowledge(entry: string, index: number): string {
  return issueAcknowledgement(
    { origin: LOG_ORIGIN, index, leafHash: leafHash(encodeUtf8(entry)), acknowledgedAt: NOW },
    logSigner,
  );
}
