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
import { type Checkpoint, parseHash, verifyCheckpoint } from "./checkpoint.ts";
import { type Cosignature, verifyCosignatures } from "./cosignature.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import { parseVkey } from "./signed-note.ts";

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

/** Whose word counts: the log's, and that of so many of these witnesses. */
export interface TlogPolicy {
  /** vkey of the log. */
  readonly log: string;
  /** vkeys of cosignature keys. */
  readonly witnesses: readonly string[];
  /** How many of them; 0 accepts an unwitnessed checkpoint. */
  readonly quorum: number;
}

/** What a proof proves. */
export interface ProvenEntry {
  readonly index: number;
  readonly checkpoint: Checkpoint;
  readonly cosignatures: readonly Cosignature[];
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
 * @throws TrustWardenError `proof_malformed`, `proof_invalid`, `checkpoint_malformed`, or `checkpoint_untrusted` when
 *   the log or too few witnesses signed.
 */
export function verifyTlogProof(
  text: string,
  { entry, policy }: { readonly entry: Uint8Array; readonly policy: TlogPolicy },
): ProvenEntry {
  const { index, proof, checkpoint: note } = parseTlogProof(text);
  const checkpoint = verifyCheckpoint(note, policy.log);
  const cosignatures = verifyCosignatures(note, policy.witnesses.map(parseVkey));
  if (cosignatures.length < policy.quorum) {
    throw new TrustWardenError("checkpoint_untrusted", {
      reason: "too few witnesses",
      cosignatures: cosignatures.length,
    });
  }
  verifyInclusion({ index, size: checkpoint.size, leaf: leafHash(entry), proof, root: checkpoint.root });
  return { index, checkpoint, cosignatures };
}

function parseProofHash(line: string): Uint8Array {
  try {
    return parseHash(line);
  } catch (cause) {
    throw new TrustWardenError("proof_malformed", { reason: "hash" }, { cause });
  }
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("proof_malformed", { reason });
}
