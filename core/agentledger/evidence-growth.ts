/**
 * That the log of an evidence bundle was not rewritten since an earlier checkpoint: `checkpoint.prev`, as somebody held it,
 * and in `consistency.txt` the proof that the tree of its shard in the bundle grew out of it.
 *
 * From the shard of the earlier checkpoint on every shard of the bundle has to begin with exactly the tree that the one
 * before has here, so that what was held of an ended shard is a prefix of everything behind it.
 *
 * @see RFC 6962 section 2.1.2; docs/decisions/0072
 */
import { encodeBase64, isEqualBytes, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Checkpoint, parseProofHash, verifyCheckpoint } from "./checkpoint.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { originOfNote } from "./cosignature.ts";
import type { OpenedBundle } from "./evidence-bundle.ts";
import { parseShardStart } from "./shard.ts";

export const EARLIER_FILE = "checkpoint.prev";
export const GROWTH_FILE = "consistency.txt";

const HEADER = "trustwarden.dev/consistency-proof@v1";
const SIZES = /^sizes ([1-9]\d{0,15}) ([1-9]\d{0,15})$/;
/** More than a tree of 2^53 entries needs. */
const MAX_HASHES = 110;
const MAX_CHARS = 8192;

/** Two sizes of one log and the hashes between them, as written; nothing is verified. */
interface UnverifiedConsistencyProof {
  readonly oldSize: number;
  readonly newSize: number;
  readonly proof: readonly Uint8Array[];
}

/** What a bundle shows to have grown into its trees. */
export interface EarlierCheckpoint extends Checkpoint {
  /** Whether it is the one that the auditor holds; else somebody has to compare it. */
  readonly isYours: boolean;
}

/** A tree of the bundle, and where its shard begins. */
interface Head {
  readonly first: number;
  readonly vkey: string;
  readonly checkpoint: Checkpoint;
}

/** Text of a proof. */
export function formatConsistencyProof({ oldSize, newSize, proof }: UnverifiedConsistencyProof): string {
  const hashes = proof.map((hash) => `${encodeBase64(hash)}\n`).join("");
  return `${HEADER}\nsizes ${oldSize} ${newSize}\n${hashes}`;
}

/**
 * The earlier checkpoint that a bundle grew out of; null without one.
 *
 * @param trees.heads - oldest first; their beginnings and keys are proven already.
 * @param trees.held - the checkpoint that the auditor holds; null without one.
 * @throws TrustWardenError `evidence_bundle_invalid` for another tree than the auditor holds, or shards that do not connect;
 *   `checkpoint_malformed`, `checkpoint_untrusted`, `proof_malformed`, `proof_invalid`.
 */
export function verifyGrowth(
  { files, entries }: Pick<OpenedBundle, "files" | "entries">,
  { heads, held }: { readonly heads: readonly Head[]; readonly held: string | null },
): EarlierCheckpoint | null {
  const [note, text] = [files.get(EARLIER_FILE), files.get(GROWTH_FILE)];
  if (note === undefined && text === undefined) return null;
  if (note === undefined || text === undefined) throw invalid("a checkpoint or its proof is missing");
  const given = parseUtf8(note);
  const at = heads.findIndex(({ checkpoint }) => checkpoint.origin === originOfNote(given));
  const [head, ...later] = heads.slice(Math.max(0, at));
  if (at < 0 || head === undefined) throw invalid("its shard is not here");
  const earlier = verifyCheckpoint(given, head.vkey);
  const { oldSize, newSize, proof } = parseConsistencyProof(parseUtf8(text));
  const { size, root } = head.checkpoint;
  if (oldSize !== earlier.size || newSize !== size) throw invalid("a proof of other trees");
  verifyConsistency({ oldSize, oldRoot: earlier.root, newSize, newRoot: root, proof });
  let before = head;
  for (const one of later) {
    const start = parseShardStart(entries.get(one.first) ?? new Uint8Array());
    if (start === null || !isOfTree(start.note, before))
      throw invalid("a shard after it does not begin with the tree before");
    before = one;
  }
  const isYours = held !== null;
  if (isYours && !isOfTree(held, { vkey: head.vkey, checkpoint: earlier }))
    throw invalid("another tree than you hold");
  return { ...earlier, isYours };
}

/** @throws TrustWardenError `proof_malformed`. */
function parseConsistencyProof(text: string): UnverifiedConsistencyProof {
  const [header, sizes = "", ...lines] = text.split("\n");
  const [, oldSize, newSize] = SIZES.exec(sizes) ?? [];
  const isForm = text.length <= MAX_CHARS && header === HEADER && lines.pop() === "";
  if (!isForm || oldSize === undefined || newSize === undefined || lines.length > MAX_HASHES)
    throw new TrustWardenError("proof_malformed", { reason: "form" });
  return { oldSize: Number(oldSize), newSize: Number(newSize), proof: lines.map(parseProofHash) };
}

/** @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted` for a note of that log which its key did not sign. */
function isOfTree(note: string, { vkey, checkpoint }: Pick<Head, "vkey" | "checkpoint">): boolean {
  if (originOfNote(note) !== checkpoint.origin) return false;
  const { size, root } = verifyCheckpoint(note, vkey);
  return size === checkpoint.size && isEqualBytes(root, checkpoint.root);
}

function invalid(detail: string): TrustWardenError {
  return new TrustWardenError("evidence_bundle_invalid", { reason: "earlier checkpoint", detail });
}
