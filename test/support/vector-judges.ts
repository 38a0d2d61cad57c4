/** Answers the questions of the golden vectors with the code of this repository. */

import { encodeCardPayload, verifyCard } from "@trustwarden/core/a2a/card.ts";
import { parseActionName } from "@trustwarden/core/action.ts";
import {
  instanceIdOf,
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyConsistency } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { verifyInclusion } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { parseRangeProof, verifyRange } from "@trustwarden/core/agentledger/range-proof.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { verifyTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { encodeBase64, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { requireSameRequest, verifyIntent } from "@trustwarden/core/intent.ts";
import { formatCanonicalJson, type Json, parseJson } from "@trustwarden/core/json.ts";
import { isSubset, parseScope } from "@trustwarden/core/scope.ts";
import { z } from "zod";
import { parseReceiptHeader, verifyReceipt } from "../../sdk/receipt.ts";
import { verifyEvidence } from "../../sdk/verify-evidence.ts";
import { ENROLMENT_JUDGES } from "./enrolment-judges.ts";
import { RECORD_JUDGES } from "./record-judges.ts";
import { TOKEN_JUDGES } from "./token-judges.ts";

const bytes = z.string().transform((text) => parseBase64(text));
const text = z.object({ text: z.string() });
const hashes = z.array(bytes);
const cardShape = z.object({ card: z.record(z.string(), z.json()) });

/** What each check answers; throws what it refuses with. */
export const VECTOR_JUDGES: Readonly<Record<string, (input: unknown) => Json>> = {
  ...ENROLMENT_JUDGES,
  ...RECORD_JUDGES,
  ...TOKEN_JUDGES,
  canonical_json: (input) => formatCanonicalJson(parseJson(text.parse(input).text)),
  scope: (input) => [...parseScope(z.object({ atoms: z.array(z.any()) }).parse(input).atoms)],
  scope_subset: (input) => {
    const { parent, child } = z
      .object({ parent: z.array(z.string()), child: z.array(z.string()) })
      .parse(input);
    return isSubset({ parent: parseScope(parent), child: parseScope(child) });
  },
  action: (input) => parseActionName(text.parse(input).text),
  spiffe_id: (input) => {
    const id = parseSpiffeId(text.parse(input).text);
    return { trust_domain: trustDomainOf(id), path: pathOf(id), instance: instanceIdOf(id) ?? null };
  },
  envelope: judgeEnvelope,
  intent: judgeIntent,
  card_payload: (input) => parseUtf8(encodeCardPayload(cardShape.parse(input).card)),
  agent_card: judgeCard,
  x509_svid: judgeX509Svid,
  trust_bundle: (input) => {
    const { sequence, x509Authorities } = parseTrustBundle(
      text.parse(input).text,
      parseTrustDomain("acme.test"),
    );
    return { sequence, x509: x509Authorities.length };
  },
  receipt: judgeReceipt,
  evidence: judgeEvidence,
  checkpoint: (input) => {
    const { note, vkey } = z.object({ note: z.string(), vkey: z.string() }).parse(input);
    const { origin, size, root } = verifyCheckpoint(note, vkey);
    return { origin, size, root: encodeBase64(root) };
  },
  inclusion: (input) => {
    const shape = z.object({ index: z.number(), size: z.number(), leaf: bytes, proof: hashes, root: bytes });
    verifyInclusion(shape.parse(input));
    return null;
  },
  consistency: judgeConsistency,
  range: (input) => {
    const shape = z.object({ text: z.string(), size: z.number(), leaves: hashes, root: bytes });
    const { text: proof, ...claim } = shape.parse(input);
    verifyRange({ ...claim, ...parseRangeProof(proof) });
    return null;
  },
  tlog_proof: (input) => {
    const {
      text: proof,
      entry,
      policy,
    } = z.object({ text: z.string(), entry: bytes, policy: z.string() }).parse(input);
    const { index, checkpoint, cosignatures } = verifyTlogProof(proof, {
      entry,
      policy: parseTlogPolicy(policy),
    });
    return { index, size: checkpoint.size, cosigned_at: cosignatures[0]?.cosignedAt ?? null };
  },
};

function judgeEnvelope(input: unknown): Json {
  const shape = z.object({ text: z.string(), name: z.enum(["ticket", "grant"]), spki: bytes });
  const { text: envelope, name, spki } = shape.parse(input);
  const parsed = parseEnvelope(envelope);
  verifyEnvelope(parsed, name, parseP256PublicKey(spki));
  return parseUtf8(parsed.payload);
}

function judgeIntent(input: unknown): Json {
  const shape = z.object({
    envelope: z.string(),
    spki: bytes,
    svid_sha256: z.string(),
    audience: z.string(),
    now: z.number(),
    method: z.string(),
    target: z.string(),
    body: bytes,
    salt: bytes,
  });
  const { envelope, spki, svid_sha256, audience, now, salt, ...request } = shape.parse(input);
  const leaf = { sha256: svid_sha256, publicKey: parseP256PublicKey(spki) };
  const { intent, sha256, payloadSha256 } = verifyIntent(envelope, { leaf, audience, now });
  requireSameRequest(intent, request, salt);
  return { action: intent.action, sha256, payload_sha256: payloadSha256 };
}

function judgeCard(input: unknown): Json {
  const shape = cardShape.extend({ trust_domain: z.string(), bundle: z.string(), now: z.number() });
  const { card, trust_domain, bundle, now } = shape.parse(input);
  const trustDomain = parseTrustDomain(trust_domain);
  return verifyCard(card, { bundles: new Map([[trustDomain, parseTrustBundle(bundle, trustDomain)]]), now });
}

function judgeX509Svid(input: unknown): Json {
  const shape = z.object({ chain: hashes, trust_domain: z.string(), bundle: z.string(), now: z.number() });
  const { chain, trust_domain, bundle, now } = shape.parse(input);
  const trustDomain = parseTrustDomain(trust_domain);
  const { id, leaf } = verifyX509Svid(
    chain,
    new Map([[trustDomain, parseTrustBundle(bundle, trustDomain)]]),
    now,
  );
  return { id, sha256: leaf.sha256 };
}

function judgeReceipt(input: unknown): Json {
  const shape = z.object({
    header: z.string(),
    server_sha256: z.string(),
    server_spki: bytes,
    log_vkey: z.string(),
    intent_sha256: z.string(),
    enforcement: z.enum(["gateway", "service", "self"]),
  });
  const { header, server_sha256, server_spki, log_vkey, intent_sha256, enforcement } = shape.parse(input);
  const { receipt, decision, acknowledgement } = verifyReceipt(parseReceiptHeader(header), {
    server: { sha256: server_sha256, publicKey: parseP256PublicKey(server_spki) },
    logVkey: log_vkey,
    intentSha256: intent_sha256,
    enforcement,
  });
  const { index, acknowledgedAt } = acknowledgement;
  return { allow: decision.allow, event_id: receipt.event_id, index, acknowledged_at: acknowledgedAt };
}

function judgeConsistency(input: unknown): Json {
  const shape = z.object({
    old_size: z.number(),
    old_root: bytes,
    new_size: z.number(),
    new_root: bytes,
    proof: hashes,
  });
  const { old_size, old_root, new_size, new_root, proof } = shape.parse(input);
  verifyConsistency({ oldSize: old_size, oldRoot: old_root, newSize: new_size, newRoot: new_root, proof });
  return null;
}

/** Roots are a bundle document, or one fingerprint. */
function judgeEvidence(input: unknown): Json {
  const { bundle, vkey, roots, earlier } = z
    .object({ bundle: bytes, vkey: z.string(), roots: z.string(), earlier: z.string().optional() })
    .parse(input);
  const trusted = roots.startsWith("{") ? { bundle: roots } : { fingerprints: [roots] };
  const held = earlier === undefined ? {} : { earlier };
  const report = verifyEvidence(bundle, { log: { vkey }, roots: trusted, ...held });
  const { entries, signatures, events, alarms, payloads } = report;
  return {
    entries,
    signatures,
    alarms: alarms.map(({ code }) => code),
    earlier: report.earlier?.size ?? null,
    payloads: [...payloads].map(([id, { kind }]) => `${kind} ${id}`),
    events: events.map(({ event, authorizedBy, stoppedBy }) => ({
      outcome: event.outcome,
      agent: event.agent_id,
      owner: event.owner_id,
      authorized_by: authorizedBy.map(({ document, by }) => `${document} ${by}`),
      stopped_by: stoppedBy.length,
    })),
  };
}
