/** Evidence bundles: a small log with everything that a verdict rests on, and what a liar would do to it. */
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
import { encodeBase64, encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { NOW, seededLogSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";
import { domain, makeLog, server, type VectorLog, verifier } from "./evidence-log.ts";

const { good, bad } = casesOf("evidence");

const origin = "ledger.acme.test";
const signer = seededLogSigner("ledger");
const vkey = formatVkey(origin, rawEd25519Key(signer.publicKey));
const trustText = formatTrustBundle(domain.bundle);

/** What a liar changes. */
interface Lie {
  readonly log?: Partial<VectorLog["lies"]>;
  readonly files?: (files: Map<string, Uint8Array>) => void;
  readonly manifest?: Partial<EvidenceManifest>;
  readonly events?: readonly EventIndexes[];
  readonly signedBy?: typeof server;
}

/** @returns the cases. */
export function makeEvidence(): readonly VectorCase[] {
  const whole = bundleOf({});
  const fingerprint = encodeHex(sha256(domain.root.der));
  const event = {
    outcome: "success",
    agent: "agt_pay",
    owner: "own_1",
    authorized_by: ["ticket own_1"],
    stopped_by: 1,
  };
  return [
    good("an event", { ...inputOf(whole) }, { entries: 8, signatures: 8, alarms: [], events: [event] }),
    good(
      "an event, under a root's fingerprint",
      { ...inputOf(whole), roots: fingerprint.toUpperCase() },
      { entries: 8, signatures: 8, alarms: [], events: [event] },
    ),
    good("an event whose end nobody recorded", inputOf(bundleOf({ log: { hasOutcome: false } })), {
      entries: 7,
      signatures: 7,
      alarms: ["decision_without_outcome"],
      events: [{ ...event, outcome: "pending" }],
    }),
    good("a range", inputOf(bundleOf({}, true)), {
      entries: 8,
      signatures: 8,
      alarms: [],
      events: rangeEvents(),
    }),
    ...lies().map(([name, lie, error]) => bad(`a bundle ${name}`, inputOf(bundleOf(lie)), error)),
    bad(
      "a range that hides an event",
      inputOf(bundleOf({ events: rangeIndexes().slice(0, -1) }, true)),
      "evidence_bundle_invalid",
    ),
    bad(
      "a bundle under a stranger's fingerprint",
      { ...inputOf(whole), roots: fingerprint.replace(/^../, "00") },
      "evidence_bundle_invalid",
    ),
    bad(
      "a bundle of another log",
      { ...inputOf(whole), vkey: formatVkey("ledger.other.test", rawEd25519Key(signer.publicKey)) },
      "checkpoint_untrusted",
    ),
    bad("a bundle with a flipped bit", inputOf(flipped(whole)), "evidence_bundle_malformed"),
    bad("a bundle that is cut off", inputOf(whole.slice(0, -1)), "evidence_bundle_malformed"),
    bad(
      "a bundle with a byte behind it",
      inputOf(Uint8Array.from([...whole, 0])),
      "evidence_bundle_malformed",
    ),
    bad("nothing", inputOf(new Uint8Array(0)), "evidence_bundle_malformed"),
  ];
}

function lies(): readonly (readonly [string, Lie, ErrorCode])[] {
  return [
    ["whose agent nobody let be", { log: { ticketBy: "stranger" } }, "evidence_bundle_invalid"],
    ["whose agent has another key", { log: { possessionBy: "stranger" } }, "evidence_bundle_invalid"],
    [
      "whose agent got more than was signed",
      { log: { scope: ["delete:everything"] } },
      "evidence_bundle_invalid",
    ],
    ["whose decision no server signed", { log: { decisionBy: "verifier" } }, "evidence_bundle_invalid"],
    [
      "whose decision names another chain",
      { log: { chain: ["owner:own_1", "agt_other", "agt_pay"] } },
      "evidence_bundle_invalid",
    ],
    ["whose outcome is somebody else's", { log: { outcomeBy: "agent" } }, "evidence_bundle_invalid"],
    ["whose intent another agent signed", { log: { intentBy: "stranger" } }, "evidence_bundle_invalid"],
    ["without the certificate of its server", { log: { hasServer: false } }, "evidence_bundle_invalid"],
    ["with an altered entry", { files: alterEntry }, "proof_invalid"],
    ["with the proof of another entry", { files: swapProofs }, "evidence_bundle_invalid"],
    ["without a checkpoint", { files: (files) => files.delete("checkpoint") }, "evidence_bundle_malformed"],
    ["with an entry that nobody names", { files: addEntry }, "evidence_bundle_malformed"],
    [
      "whose manifest names another tree",
      { manifest: { log: { vkey, size: 7, root: encodeBase64(new Uint8Array(32)) } } },
      "evidence_bundle_invalid",
    ],
    ["whose manifest counts wrong", { manifest: { entries: 7 } }, "evidence_bundle_invalid"],
    ["of another trust domain", { manifest: { trust_domain: "other.test" } }, "evidence_bundle_invalid"],
    ["whose manifest a verifier signed", { signedBy: verifier }, "evidence_bundle_invalid"],
    [
      "whose event has another name",
      { events: [{ event_id: "01990000-0000-7000-8000-000000000099", indexes: [4, 5, 6] }] },
      "evidence_bundle_invalid",
    ],
  ];
}

function bundleOf(lie: Lie, isRange = false): Uint8Array {
  const { entries } = makeLog(lie.log ?? {});
  const leaves = entries.map(leafHash);
  const size = entries.length;
  const root = rootOf(leaves);
  const note = issueCheckpoint({ origin, size, root }, signer);
  const all = entries.map((_, index) => index);
  const eventOf = all.filter((index) => makeLog(lie.log ?? {}).eventIndexes.includes(index));
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
  lie.files?.(files);
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
function rangeIndexes(): readonly EventIndexes[] {
  const { entries, eventIndexes, ids } = makeLog({});
  const rest = entries.map((_, index) => index).filter((index) => !eventIndexes.includes(index));
  const all = [
    { event_id: "01990000-0000-7000-8000-000000000001", indexes: eventIndexes },
    ...rest.map((index) => ({ event_id: ids[index] ?? "", indexes: [index] })),
  ];
  return all.sort((left, right) => (left.indexes[0] ?? 0) - (right.indexes[0] ?? 0));
}

function rangeEvents(): JsonObject[] {
  const row = (outcome: string, agent: string | null, owner: string | null, by: string[], stops: number) => ({
    outcome,
    agent,
    owner,
    authorized_by: by,
    stopped_by: stops,
  });
  return [
    row("success", null, null, [], 0),
    row("success", null, "own_1", [], 0),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
    row("success", null, null, [`ticket ${server.id}`], 0),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
  ];
}

function alterEntry(files: Map<string, Uint8Array>): void {
  const entry = Uint8Array.from(files.get(formatEntryPath(4)) ?? []);
  entry[entry.length - 10] = (entry[entry.length - 10] ?? 0) ^ 1;
  files.set(formatEntryPath(4), entry);
}

function swapProofs(files: Map<string, Uint8Array>): void {
  files.set(formatProofPath(4), files.get(formatProofPath(5)) ?? new Uint8Array(0));
}

function addEntry(files: Map<string, Uint8Array>): void {
  files.set(formatEntryPath(99), encodeUtf8("{}"));
}

function flipped(bundle: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bundle);
  copy[500] = (copy[500] ?? 0) ^ 1;
  return copy;
}

function inputOf(bundle: Uint8Array): JsonObject {
  return { bundle: encodeBase64(bundle), vkey, roots: trustText };
}
