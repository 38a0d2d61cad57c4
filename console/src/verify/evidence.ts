/**
 * Evidence, checked in this browser by the verifier of the SDK, against what this browser has pinned. The server's word
 * about an event is not used: only the bundle's records, and what proves them.
 */
import { openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import type { BundleReport } from "@trustwarden/core/agentledger/verify-bundle.ts";
import { type EvidenceTrust, verifyEvidence } from "trustwarden/verify.ts";
import type { Anchors } from "./anchors.ts";

/** A report, and what the check took. */
export interface CheckedEvidence {
  readonly report: BundleReport;
  readonly bytes: number;
  readonly elapsedMs: number;
  /** Whether the pinned policy asked for witnesses. */
  readonly isWitnessed: boolean;
}

/**
 * Proves a bundle.
 *
 * Without a quorum of witnesses yet, the log's own key is what there is: the answer then says so.
 *
 * @throws TrustWardenError as `verifyEvidence`.
 */
export function checkEvidence(bytes: Uint8Array, anchors: Anchors): CheckedEvidence {
  const startedMs = performance.now();
  const { unverifiedManifest } = openEvidenceBundle(bytes);
  const isWitnessed = anchors.policy !== null && unverifiedManifest.witnessed;
  const log: EvidenceTrust["log"] =
    anchors.policy !== null && isWitnessed ? { policy: anchors.policy } : { vkey: anchors.vkey };
  const report = verifyEvidence(bytes, { log, roots: { bundle: anchors.bundle } });
  return { report, bytes: bytes.length, elapsedMs: performance.now() - startedMs, isWitnessed };
}

/** The same bundle with one bit of one record changed: what a checker must refuse. */
export function breakEvidence(bytes: Uint8Array): Uint8Array {
  const { entries } = openEvidenceBundle(bytes);
  const [entry] = entries.values();
  const broken = bytes.slice();
  const at = entry === undefined ? -1 : indexOf(bytes, entry);
  const target = at + Math.floor((entry?.length ?? 0) / 2);
  broken[target] = (broken[target] ?? 0) ^ 1;
  return broken;
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let start = 0; start + part.length <= bytes.length; start += 1) {
    if (part.every((byte, offset) => bytes[start + offset] === byte)) return start;
  }
  return 0;
}
