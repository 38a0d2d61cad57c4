/** Evidence bundles of a small log, honest or as a liar would make them. */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { BundleFiles } from "@trustwarden/core/agentledger/archive.ts";
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  type EventIndexes,
  type EvidenceManifest,
  encodeEvidenceBundle,
  formatEntryPath,
  formatEventList,
  formatProofPath,
} from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { inclusionRanges } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { formatRangeProof, outerRanges } from "@trustwarden/core/agentledger/range-proof.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { NOW, seededLogSigner } from "../seeded.ts";
import { domain, makeLog, server, type VectorLog } from "./evidence-log.ts";

export const origin = "ledger.acme.test";
export const signer = seededLogSigner("ledger");
export const vkey = formatVkey(origin, rawEd25519Key(signer.publicKey));
const trustText = formatTrustBundle(domain.bundle);

/** What is other in the log. */
export type LogLies = Partial<VectorLog["lies"]>;
/** What is other in the files. */
export type FileLies = (files: Map<string, Uint8Array>, leaves: readonly Uint8Array[]) => void;

/** What a liar changes. */
export interface Lie {
  readonly log?: LogLies;
  readonly files?: FileLies;
  readonly manifest?: Partial<EvidenceManifest>;
  readonly events?: readonly EventIndexes[];
  readonly signedBy?: typeof server;
}

/** The bundle of a log, its action chosen or the whole range. */
export function bundleOf(lie: Lie, isRange = false): Uint8Array {
  const { entries, eventIndexes: eventOf } = makeLog(lie.log ?? {});
  const leaves = entries.map(leafHash);
  const size = entries.length;
  const root = rootOf(leaves);
  const note = issueCheckpoint({ origin, size, root }, signer);
  const all = entries.map((_, index) => index);
  const chosen =
    lie.events ??
    (isRange ? rangeIndexes() : [{ event_id: "01990000-0000-7000-8000-000000000001", indexes: eventOf }]);
  const named = new Set(chosen.flatMap(({ indexes }) => indexes));
  const files = new Map<string, Uint8Array>([
    ["checkpoint", encodeUtf8(note)],
    [
      "events.json",
      encodeUtf8(formatEventList({ events: chosen, support: all.filter((index) => !named.has(index)) })),
    ],
    ["policy.txt", encodeUtf8(`log ${vkey}\nquorum none\n`)],
    ["trust/bundle.json", encodeUtf8(trustText)],
    ...entries.map((entry, index): [string, Uint8Array] => [formatEntryPath(index), entry]),
  ]);
  const hashes = (ranges: readonly { readonly start: number; readonly end: number }[]) =>
    ranges.map(({ start, end }) => rootOf(leaves.slice(start, end)));
  if (isRange) {
    const range = { start: 0, end: size };
    files.set(
      "range.proof",
      encodeUtf8(formatRangeProof({ ...range, proof: hashes(outerRanges(range, size)) })),
    );
  } else {
    for (const index of all) {
      const proof = hashes(inclusionRanges(index, size));
      files.set(formatProofPath(index), encodeUtf8(formatTlogProof({ index, proof, checkpoint: note })));
    }
  }
  lie.files?.(files, leaves);
  const manifest = {
    ...manifestOf({ size, root, events: chosen.length, isRange }),
    ...lie.manifest,
  };
  return signed(files, manifest, lie.signedBy ?? server);
}

function signed(
  files: BundleFiles,
  manifest: Omit<EvidenceManifest, "sums_sha256">,
  by: typeof server,
): Uint8Array {
  const { log, selection, range, withheld, ...rest } = manifest;
  return encodeEvidenceBundle(files, (sums_sha256) =>
    issueEnvelope(
      "evidence",
      {
        ...rest,
        log: { ...log },
        selection: { ...selection },
        range: range && { ...range },
        withheld: [...withheld],
        sums_sha256,
      },
      by.signer,
      by.sha256,
    ),
  );
}

function manifestOf(of: {
  readonly size: number;
  readonly root: Uint8Array;
  readonly events: number;
  readonly isRange: boolean;
}) {
  const selection = of.isRange
    ? ({ kind: "range", value: null, since: null, until: null } as const)
    : ({ kind: "event", value: "01990000-0000-7000-8000-000000000001", since: null, until: null } as const);
  return {
    v: 1 as const,
    time: formatTime((NOW + 60) * 1000),
    trust_domain: "acme.test",
    log: { vkey, size: of.size, root: encodeBase64(of.root) },
    witnessed: false,
    selection,
    range: of.isRange ? { start: 0, end: of.size } : null,
    events: of.events,
    entries: of.size,
    withheld: ["parameters"],
  };
}

/** Every event of the log, by its records. */
export function rangeIndexes(): readonly EventIndexes[] {
  const { entries, eventIndexes, ids } = makeLog({});
  const rest = entries.map((_, index) => index).filter((index) => !eventIndexes.includes(index));
  const all = [
    { event_id: "01990000-0000-7000-8000-000000000001", indexes: eventIndexes },
    ...rest.map((index) => ({ event_id: ids[index] ?? "", indexes: [index] })),
  ];
  return all.sort((left, right) => (left.indexes[0] ?? 0) - (right.indexes[0] ?? 0));
}

/** What a verifier is asked. */
export function inputOf(bundle: Uint8Array): JsonObject {
  return { bundle: encodeBase64(bundle), vkey, roots: trustText };
}
