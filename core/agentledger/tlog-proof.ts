/**
 * The proof of one entry as one text that verifies offline, years later: index, inclusion proof, checkpoint.
 *
 * Whoever verifies brings the entry, the log's key and the policy; the `extra` line is not under any signature and is
 * never read.
 *
 * @see C2SP tlog-proof v1
 */
import { encodeBase64 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { parseProofHash } from "./checkpoint.ts";
import { verifyWitnessedCheckpoint, type WitnessedCheckpoint } from "./cosignature.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import type { TlogPolicy } from "./tlog-policy.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
const INDEX = /^index (0|[1-9]\d{0,15})$/;
const EXTRA = /^extra [A-Za-z0-9+/]*={0,2}$/;
/** A path in a tree of 2^63 entries. */
const MAX_HASHES = 63;
const MAX_PROOF_CHARS = 196_608;

/** The parts of a proof; nothing is verified. */
export interface UnverifiedTlogProof {
  readonly index: number;
  readonly proof: readonly Uint8Array[];
  /** Signed note, verbatim. */
  readonly checkpoint: string;
}

/** What a proof proves. */
export interface ProvenEntry extends WitnessedCheckpoint {
  readonly index: number;
}

/** Text of a proof. */
export function formatTlogProof({ index, proof, checkpoint }: UnverifiedTlogProof): string {
  const hashes = proof.map((hash) => `${encodeBase64(hash)}\n`).join("");
  return `${HEADER}\nindex ${index}\n${hashes}\n${checkpoint}`;
}

/** @throws TrustWardenError `proof_malformed`. */
export function parseTlogProof(text: string): UnverifiedTlogProof {
  const end = text.indexOf("\n\n");
  if (end < 0 || text.length > MAX_PROOF_CHARS) throw malformed("blank line");
  const [header, ...lines] = text.slice(0, end).split("\n");
  if (header !== HEADER) throw malformed("header");
  if (lines[0]?.startsWith("extra ")) {
    if (!EXTRA.test(lines[0])) throw malformed("extra");
    lines.shift();
  }
  const [indexLine = "", ...hashes] = lines;
  const index = Number(INDEX.exec(indexLine)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(index)) throw malformed("index");
  if (hashes.length > MAX_HASHES) throw malformed("hashes");
  return { index, proof: hashes.map(parseProofHash), checkpoint: text.slice(end + 2) };
}

/**
 * Proves that the log holds an entry, under the caller's policy.
 *
 * @throws TrustWardenError `proof_malformed`, `proof_invalid`, `checkpoint_malformed`, `checkpoint_untrusted` when no
 *   log of the policy signed, or `checkpoint_unwitnessed` when too few of its witnesses did.
 */
export function verifyTlogProof(
  text: string,
  { entry, policy }: { readonly entry: Uint8Array; readonly policy: TlogPolicy },
): ProvenEntry {
  const { index, proof, checkpoint: note } = parseTlogProof(text);
  const { checkpoint, cosignatures } = verifyWitnessedCheckpoint(note, policy);
  verifyInclusion({ index, size: checkpoint.size, leaf: leafHash(entry), proof, root: checkpoint.root });
  return { index, checkpoint, cosignatures };
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("proof_malformed", { reason });
}
