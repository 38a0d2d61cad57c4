/**
 * Evidence, checked in this browser by the verifier of the SDK, against what this browser has pinned. The server's word
 * about an event is not used: only the bundle's records, and what proves them.
 */
import type { EventAnswer } from "@trustwarden/core/agentledger/bundle-answers.ts";
import { type OpenedBundle, openEvidenceBundle } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { linksOf } from "@trustwarden/core/agentledger/join.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import type { BundleReport } from "@trustwarden/core/agentledger/verify-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type EvidenceTrust, verifyEvidence } from "trustwarden/verify.ts";
import type { Anchors } from "./anchors.ts";

/** What was asked about; the server said which event that is. */
export interface Asked {
  readonly eventId: string;
  /** Of one of its records; null where the event was asked for by its id alone. */
  readonly index: number | null;
  /** A name that leads to the event: of an instance, or the digest of a certificate; null for an event itself. */
  readonly name: string | null;
}

/** A report, and what the check took. */
export interface CheckedEvidence {
  readonly report: BundleReport;
  /** About the event that was asked for. */
  readonly answer: EventAnswer;
  /** That the agent did it for, as its intent names it. */
  readonly job: string | null;
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
 * @throws TrustWardenError as `verifyEvidence`; `evidence_bundle_invalid` for good evidence of something else.
 */
export function checkEvidence(
  bytes: Uint8Array,
  { anchors, asked }: { readonly anchors: Anchors; readonly asked: Asked },
): CheckedEvidence {
  const startedMs = performance.now();
  const bundle = openEvidenceBundle(bytes);
  const { unverifiedManifest } = bundle;
  const isWitnessed = anchors.policy !== null && unverifiedManifest.witnessed;
  const log: EvidenceTrust["log"] =
    anchors.policy !== null && isWitnessed ? { policy: anchors.policy } : { vkey: anchors.vkey };
  const report = verifyEvidence(bytes, { log, roots: { bundle: anchors.bundle } });
  const answer = answerTo(asked, report, bundle);
  const job = jobOf(answer, bundle);
  return { report, answer, job, bytes: bytes.length, elapsedMs: performance.now() - startedMs, isWitnessed };
}

/** The proven event that was asked for: a server that has nothing wrong to show may still show another's. */
function answerTo({ eventId, index, name }: Asked, report: BundleReport, bundle: OpenedBundle): EventAnswer {
  const leadsTo = (at: number) => {
    const entry = bundle.entries.get(at);
    return entry !== undefined && (name === null || linksOf(parseRecord(entry)).includes(name));
  };
  const found = report.events.find(
    ({ event }) =>
      event.event_id === eventId &&
      (index === null || event.indexes.includes(index)) &&
      event.indexes.some(leadsTo),
  );
  if (found === undefined)
    throw new TrustWardenError("evidence_bundle_invalid", { reason: "it is about something else" });
  return found;
}

/** Of records that were proven. */
function jobOf({ event }: EventAnswer, { entries }: OpenedBundle): string | null {
  for (const index of event.indexes) {
    const entry = entries.get(index);
    const record = entry === undefined ? undefined : parseRecord(entry).unverified;
    if (record?.kind === "intent") return record.value.job;
  }
  return null;
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
