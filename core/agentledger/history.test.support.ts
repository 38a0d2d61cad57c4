/** A small log by its leaves alone, and its forks: for tests of who watches logs. */
import { encodeUtf8 } from "../bytes.ts";
import { formatSubmission } from "./add-checkpoint.ts";
import { issueCheckpoint } from "./checkpoint.ts";
import { consistencyRanges } from "./consistency-proof.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { EMPTY_ROOT, leafHash, rootOf } from "./merkle.ts";
import { formatVkey, rawEd25519Key } from "./signed-note.ts";

export const HISTORY_ORIGIN = "ledger.acme.test";
const LEAVES = 400;
const signer = createTestLogSigner(1);
/** Key of the log of every history here. */
export const HISTORY_VKEY = formatVkey(HISTORY_ORIGIN, rawEd25519Key(signer.publicKey));

/** Checkpoints and proofs of one log; with `forkAt`, other leaves from there on, under the same key. */
export function createHistory(forkAt = Number.POSITIVE_INFINITY) {
  const leaves = Array.from({ length: LEAVES }, (_, index) =>
    leafHash(encodeUtf8(index < forkAt ? `entry ${index}` : `other ${index}`)),
  );
  const rootAt = (size: number) => (size === 0 ? EMPTY_ROOT : rootOf(leaves.slice(0, size)));
  const note = (size: number) =>
    issueCheckpoint({ origin: HISTORY_ORIGIN, size, root: rootAt(size) }, signer);
  const proof = (from: number, to: number) =>
    consistencyRanges(from, to).map(({ start, end }) => rootOf(leaves.slice(start, end)));
  return {
    note,
    proof,
    /** What a witness is sent that knows `from`. */
    submission: (from: number, to: number) =>
      formatSubmission({ oldSize: from, proof: proof(from, to), checkpoint: note(to) }),
  };
}
