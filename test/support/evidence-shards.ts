/**
 * Bundles of a ledger that has turned to its next shard, and what a forger could make of them: whoever carries the file,
 * the operator, who signs the manifest anew, and an operator who has the log's key too and writes other logs.
 */
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import {
  CHECKPOINT_FILE,
  EVENTS_FILE,
  formatEntryPath,
  formatEventList,
  formatProofPath,
  formatShardCheckpointPath,
  formatShardRangePath,
  openEvidenceBundle,
} from "@trustwarden/core/agentledger/evidence-bundle.ts";
import { inclusionRanges } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { formatRangeProof, outerRanges } from "@trustwarden/core/agentledger/range-proof.ts";
import {
  encodeShardEnd,
  encodeShardStart,
  parseShardStart,
  type ShardStart,
  verifyShardCheckpoint,
  vkeyFor,
} from "@trustwarden/core/agentledger/shard.ts";
import { formatVkey, parseVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { askDecision, outcomeOf, parseAnswer, parseDecision, visitIntent } from "./actors.ts";
import { type BundleStory, createBundleStory } from "./evidence.ts";
import { type Forgery, type ManifestKey, resign, swap } from "./evidence-forgeries.ts";
import { forgersLog, forgersVkey } from "./evidence-presented.ts";
import { send, sendAdmin } from "./http.ts";
import type { TestServer } from "./server.ts";

type Files = Map<string, Uint8Array>;

/** A bundle's story over two shards. */
export interface ShardedStory extends BundleStory {
  /** Decided in the first shard, with its outcome in the second. */
  readonly bridged: string;
  /** Decided in the second shard. */
  readonly laterIndex: number;
  readonly laterPromise: string;
  /** Position of the second shard's entry 0. */
  readonly first: number;
  /** A checkpoint of the first shard from before it ended. */
  readonly early: string;
}

/** Ends the current shard of a server's ledger. */
export async function turnLedger({ adminSocket }: Pick<TestServer, "adminSocket">, body: object = {}) {
  const asked = { method: "POST", target: "/v1/ledger/turns", body: JSON.stringify(body) };
  return parseAnswer(turnAnswer, await sendAdmin(adminSocket, asked));
}

/** One more decision of a story; what its agent and its service got. */
export async function decideAgain({ server, parent, verifier }: BundleStory, seq: number) {
  const intent = visitIntent(parent, verifier, { seq });
  return parseDecision(await askDecision(server, { caller: verifier, agent: parent, intent }));
}

/** The story of `createBundleStory`, with one action that begins before a turn and ends after it, and one behind. */
export async function createShardedStory(server?: TestServer): Promise<ShardedStory> {
  const story = await createBundleStory(server);
  const { verifier } = story;
  const { receipt } = await decideAgain(story, 1);
  const early = (await send(story.server.url, { target: "/ledger/checkpoint" })).text;
  const { first } = await turnLedger(story.server);
  const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt) });
  const asked = { method: "POST", target: "/v1/outcomes", body };
  const { status, text } = await send(story.server.url, asked, verifier.tls);
  if (status !== 200) throw new Error(`${status} ${text}`);
  const later = (await decideAgain(story, 2)).receipt;
  return {
    ...story,
    bridged: receipt.event_id,
    laterIndex: later.decision_index,
    laterPromise: later.acknowledgement,
    first,
    early,
  };
}

/** A time range over two shards, as whoever carries it or the operator could change it without the log's key. */
export function shardForgeries(bytes: Uint8Array, key: ManifestKey): readonly Forgery[] {
  const first = laterFirstOf(bytes);
  const { list, entries, unverifiedManifest } = openEvidenceBundle(bytes);
  const forge = (name: string, change: Parameters<typeof resign>[2]): Forgery => ({
    name,
    bytes: resign(bytes, key, change),
  });
  const [older, newer] = [formatShardCheckpointPath(0), formatShardCheckpointPath(first)];
  const last = Math.max(...entries.keys());
  return [
    forge("the first shard's checkpoint left out", (files) => files.delete(older)),
    forge("the second shard's checkpoint left out", (files) => files.delete(newer)),
    forge("both left out, as if it were one log", (files) => {
      files.delete(older);
      files.delete(newer);
    }),
    forge("the shards in each other's place", (files) => swap(files, older, newer)),
    forge("the first shard's checkpoint as the newest", (files) =>
      files.set(CHECKPOINT_FILE, files.get(older) ?? new Uint8Array()),
    ),
    forge("a second shard that begins one earlier", (files) => move(files, first, first - 1)),
    forge("a second shard that begins one later", (files) => move(files, first, first + 1)),
    forge("the second shard a second time, further on", (files) => {
      files.set(formatShardCheckpointPath(last + 1), files.get(newer) ?? new Uint8Array());
    }),
    forge("the proof of the shard's beginning left out", (files) => files.delete(formatProofPath(first))),
    forge("the shard's beginning left out", (files, manifest) => {
      files.delete(formatEntryPath(first));
      files.delete(formatProofPath(first));
      const support = list.support.filter((index) => index !== first);
      files.set(EVENTS_FILE, encodeUtf8(formatEventList({ ...list, support })));
      manifest.entries = entries.size - 1;
    }),
    forge("an entry of the second shard where its beginning is", (files) =>
      swap(files, formatEntryPath(first), formatEntryPath(last)),
    ),
    forge("an entry of the one shard in the place of one of the other", (files) =>
      swap(files, formatEntryPath(first - 2), formatEntryPath(last)),
    ),
    forge("range proofs of each other's shard", (files) =>
      swap(files, formatShardRangePath(0), formatShardRangePath(first)),
    ),
    forge("no proof of the range in the first shard", (files) => files.delete(formatShardRangePath(0))),
    forge("no proof of the range in the second shard", (files) => files.delete(formatShardRangePath(first))),
    forge("a range that goes further", (_files, manifest) => {
      manifest.range = { start: unverifiedManifest.range?.start ?? 0, end: last + 2 };
    }),
    forge("a range that ends with the first shard", (_files, manifest) => {
      manifest.range = { start: 0, end: first };
    }),
  ];
}

/** The same bundle from logs of a forger's, nothing wrong with it: what the forgeries below differ from. */
export function relogged(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  return relogShards(bytes, key, {});
}

/** Key of a second shard that has one of its own. */
const laterLog = createTestLogSigner(18);

/** As `relogged`, with another key for the second shard, which the end of the first one names. */
export function rekeyed(bytes: Uint8Array, key: ManifestKey): Uint8Array {
  return relogShards(bytes, key, { later: laterLog });
}

/** Another key for the second shard that the first one does not name, or not so: none of it is a change of key. */
export function keyForgeries(bytes: Uint8Array, key: ManifestKey): readonly Forgery[] {
  const { unverifiedManifest } = openEvidenceBundle(bytes);
  const { name: ledger } = parseVkey(unverifiedManifest.log.vkey);
  const last = laterFirstOf(bytes) - 1;
  const forge = (name: string, how: Relog): Forgery => ({ name, bytes: relogShards(bytes, key, how) });
  const named = (name: string, end: (vkey: string) => string) =>
    forge(name, { later: laterLog, end: (vkey) => encodeShardEnd(end(vkey)) });
  const strangers = rawEd25519Key(createTestLogSigner(19).publicKey);
  const honest = rekeyed(bytes, key);
  const { list, entries } = openEvidenceBundle(honest);
  return [
    named("another key, and an end that names the old one", (vkey) =>
      vkeyFor(forgersVkey(unverifiedManifest.log.vkey), parseVkey(vkey).name),
    ),
    named("another key than the end names", (vkey) => formatVkey(parseVkey(vkey).name, strangers)),
    named("an end that names the key for an earlier shard", (vkey) => vkeyFor(vkey, `${ledger}/2001q1`)),
    named("an end that names the key for a later shard", (vkey) => vkeyFor(vkey, `${ledger}/9999q4`)),
    named("an end that names the key for the ledger itself", (vkey) => vkeyFor(vkey, ledger)),
    named("an end that names the key for another ledger", (vkey) =>
      vkeyFor(vkey, "ledger.other.test/2026q4"),
    ),
    forge("the old key, and an end that names another", {
      end: (vkey) => encodeShardEnd(formatVkey(parseVkey(vkey).name, strangers)),
    }),
    forge("an end that names no key", {
      later: laterLog,
      end: () => encodeUtf8("trustwarden.dev/shard-end@v1\nnext nobody\n"),
    }),
    forge("a beginning whose final checkpoint is signed by the key that came after it", {
      later: laterLog,
      write: (start) =>
        encodeShardStart({
          ...start,
          note: issueCheckpoint(
            verifyShardCheckpoint(start.note, forgersVkey(unverifiedManifest.log.vkey)),
            laterLog,
          ),
        }),
    }),
    {
      name: "the end that names the key left out",
      bytes: resign(honest, key, (files, manifest) => {
        files.delete(formatEntryPath(last));
        files.delete(formatProofPath(last));
        const support = list.support.filter((index) => index !== last);
        files.set(EVENTS_FILE, encodeUtf8(formatEventList({ ...list, support })));
        manifest.entries = entries.size - 1;
      }),
    },
    {
      name: "an end that names another key and is not in the tree",
      bytes: resign(honest, key, (files) =>
        files.set(formatEntryPath(last), encodeShardEnd(formatVkey(`${ledger}/9999q4`, strangers))),
      ),
    },
  ];
}

/** The bundle with more lines on the checkpoints of its shards, in all their proofs. */
export function cosignedShards(
  bytes: Uint8Array,
  key: ManifestKey,
  cosignerOf: (first: number) => (note: string) => string,
): Uint8Array {
  return resign(bytes, key, (files) => {
    for (const first of [0, laterFirstOf(bytes)]) {
      const path = formatShardCheckpointPath(first);
      const note = parseUtf8(files.get(path) ?? new Uint8Array());
      const cosigned = note + cosignerOf(first)(note);
      for (const [name, content] of files)
        if (/^(checkpoint|shards\/\d+\.checkpoint|proofs\/.*)$/.test(name))
          files.set(name, encodeUtf8(parseUtf8(content).replace(note, cosigned)));
    }
  });
}

/** What an operator can write at the beginning of a shard who has the log's key. */
export function hiddenShardForgeries(bytes: Uint8Array, key: ManifestKey): readonly Forgery[] {
  const { log } = openEvidenceBundle(bytes).unverifiedManifest;
  const vkey = forgersVkey(log.vkey);
  const { name: ledger } = parseVkey(vkey);
  const forge = (name: string, write: (start: ShardStart) => ShardStart): Forgery => ({
    name,
    bytes: relogShards(bytes, key, { write: (start) => encodeShardStart(write(start)) }),
  });
  const ending = (start: ShardStart, change: { origin?: string; size?: number; root?: Uint8Array }) => {
    const head = verifyShardCheckpoint(start.note, vkey);
    return { ...start, note: issueCheckpoint({ ...head, ...change }, forgersLog) };
  };
  return [
    forge("a shard behind another tree", (start) => ending(start, { root: new Uint8Array(32).fill(7) })),
    forge("a shard behind more entries than there were", (start) => ending(start, { size: start.first + 1 })),
    forge("a shard behind fewer entries than there were", (start) =>
      ending(start, { size: start.first - 1 }),
    ),
    forge("a shard behind nothing", (start) => ending(start, { size: 0 })),
    forge("a shard behind a later one", (start) => ending(start, { origin: `${ledger}/9999q4`, size: 1 })),
    forge("a shard behind one that is not there", (start) =>
      ending(start, { origin: `${ledger}/2001q1`, size: start.first - 1 }),
    ),
    forge("a shard behind another ledger", (start) => ending(start, { origin: "ledger.other.test" })),
    forge("a shard behind a checkpoint that nobody signed", (start) => ({
      ...start,
      note: start.note.replace(/\n\d+\n/, (size) => `${size.slice(0, -1)}0\n`),
    })),
    forge("a shard that says another place", (start) => ({ ...start, first: start.first + 1 })),
    {
      name: "a shard without a beginning",
      bytes: relogShards(bytes, key, { write: () => encodeShardEnd(vkey) }),
    },
  ];
}

/** What is other in a forger's logs than in honest ones of one key. */
interface Relog {
  /** Entry 0 of the second shard. */
  readonly write?: (start: ShardStart) => Uint8Array;
  /** Last entry of the first. @param vkey - of the second. */
  readonly end?: (vkey: string) => Uint8Array;
  /** Signs the second. */
  readonly later?: Signer;
}

/** The bundle as it would be had the forger's logs held its entries, with another end of the first or beginning of the second. */
function relogShards(
  bytes: Uint8Array,
  key: ManifestKey,
  { write = encodeShardStart, end = encodeShardEnd, later: laterSigner = forgersLog }: Relog,
): Uint8Array {
  const { files: before, entries, list, unverifiedManifest } = openEvidenceBundle(bytes);
  const { log, range } = unverifiedManifest;
  const [first, vkey] = [laterFirstOf(bytes), forgersVkey(log.vkey)];
  const originOf = (path: string) => parseUtf8(before.get(path) ?? new Uint8Array()).split("\n", 1)[0] ?? "";
  const later = originOf(formatShardCheckpointPath(first));
  const changed = new Map(entries);
  const isNew = !changed.has(first - 1);
  changed.set(first - 1, end(formatVkey(later, rawEd25519Key(laterSigner.publicKey))));
  return resign(bytes, key, (files, manifest) => {
    if (isNew) {
      files.set(formatProofPath(first - 1), new Uint8Array());
      const support = [...list.support, first - 1].sort((left, right) => left - right);
      files.set(EVENTS_FILE, encodeUtf8(formatEventList({ ...list, support })));
      manifest.entries = changed.size;
    }
    const old = { first: 0, size: first, origin: originOf(formatShardCheckpointPath(0)), signer: forgersLog };
    const { note } = prove(files, { ...old, entries: changed, range });
    changed.set(first, write({ first, note }));
    const newest = prove(files, {
      first,
      size: log.size,
      origin: later,
      signer: laterSigner,
      entries: changed,
      range,
    });
    files.set(CHECKPOINT_FILE, encodeUtf8(newest.note));
    for (const [index, entry] of changed) files.set(formatEntryPath(index), entry);
    manifest.log = { vkey, size: log.size, root: encodeBase64(newest.root) };
  });
}

/** Writes the checkpoint of a forger's log, and its proofs; leaves that the bundle does not show are of anything. */
function prove(
  files: Files,
  {
    first,
    size,
    origin,
    signer,
    entries,
    range,
  }: {
    readonly first: number;
    readonly size: number;
    readonly origin: string;
    readonly signer: Signer;
    readonly entries: ReadonlyMap<number, Uint8Array>;
    readonly range: { readonly start: number; readonly end: number } | null;
  },
): { readonly note: string; readonly root: Uint8Array } {
  const leaves = Array.from({ length: size }, (_, index) =>
    leafHash(entries.get(first + index) ?? new Uint8Array(1)),
  );
  const root = rootOf(leaves);
  const note = issueCheckpoint({ origin, size, root }, signer);
  const hashes = (ranges: readonly { readonly start: number; readonly end: number }[]) =>
    ranges.map(({ start, end }) => rootOf(leaves.slice(start, end)));
  files.set(formatShardCheckpointPath(first), encodeUtf8(note));
  for (let index = 0; index < size; index += 1) {
    if (!files.has(formatProofPath(first + index))) continue;
    const proof = hashes(inclusionRanges(index, size));
    files.set(
      formatProofPath(first + index),
      encodeUtf8(formatTlogProof({ index, proof, checkpoint: note })),
    );
  }
  if (range !== null) {
    const part = { start: Math.max(0, range.start - first), end: Math.min(size, range.end - first) };
    const proof = hashes(outerRanges(part, size));
    files.set(formatShardRangePath(first), encodeUtf8(formatRangeProof({ ...part, proof })));
  }
  return { note, root };
}

/** Position at which the second shard of a bundle begins. */
function laterFirstOf(bytes: Uint8Array): number {
  for (const [index, entry] of openEvidenceBundle(bytes).entries)
    if (parseShardStart(entry) !== null) return index;
  throw new Error("a bundle over two shards");
}

function move(files: Files, from: number, to: number): void {
  for (const path of [formatShardCheckpointPath, formatShardRangePath]) {
    const content = files.get(path(from));
    files.delete(path(from));
    if (content !== undefined) files.set(path(to), content);
  }
}
