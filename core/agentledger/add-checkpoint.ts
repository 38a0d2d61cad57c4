/**
 * The one request that a log sends its witness: a checkpoint, and the proof that it grew out of the one that the
 * witness knows. And the one answer that is not a status alone: how far the witness is.
 *
 * @see C2SP tlog-witness, add-checkpoint
 */
import { encodeBase64 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { parseProofHash } from "./checkpoint.ts";

const OLD = /^old (0|[1-9]\d{0,15})$/;
const SIZE = /^(0|[1-9]\d{0,15})\n?$/;
/** A consistency proof in a tree of 2^63 entries. */
const MAX_HASHES = 63;

/** Content type of the answer that tells the size of the witness's latest checkpoint. */
export const TLOG_SIZE_TYPE = "text/x.tlog.size";
/** A checkpoint with the sixteen largest signatures there are, and its proof. */
export const MAX_SUBMISSION_BYTES = 131_072;

/** The parts of a submission; nothing is verified. */
export interface Submission {
  /** Size of the checkpoint that the witness is thought to know; 0 for none. */
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  /** Signed note, verbatim. */
  readonly checkpoint: string;
}

/** Text of a submission. */
export function formatSubmission({ oldSize, proof, checkpoint }: Submission): string {
  const hashes = proof.map((hash) => `${encodeBase64(hash)}\n`).join("");
  return `old ${oldSize}\n${hashes}\n${checkpoint}`;
}

/** @throws TrustWardenError `proof_malformed`. */
export function parseSubmission(text: string): Submission {
  const end = text.indexOf("\n\n");
  if (end < 0 || text.length > MAX_SUBMISSION_BYTES) throw malformed("blank line");
  const [oldLine = "", ...hashes] = text.slice(0, end).split("\n");
  const oldSize = Number(OLD.exec(oldLine)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(oldSize)) throw malformed("old size");
  if (hashes.length > MAX_HASHES) throw malformed("hashes");
  return { oldSize, proof: hashes.map(parseProofHash), checkpoint: text.slice(end + 2) };
}

/** The size in a witness's answer of status 409. @throws TrustWardenError `proof_malformed`. */
export function parseTlogSize(text: string): number {
  const size = Number(SIZE.exec(text)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(size)) throw malformed("size");
  return size;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("proof_malformed", { reason });
}
