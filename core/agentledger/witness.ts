/**
 * What a witness does with a submission: whether the checkpoint continues the one it remembers, and if not, with which
 * status it says so.
 *
 * Pure. Whoever runs it remembers one note per log, and takes this step and the durable write of `remember` as one:
 * between reading `remembered` and writing, nobody else may write, or two submissions could roll the witness back.
 *
 * @see C2SP tlog-witness, add-checkpoint; docs/decisions/0030-witnesses.md for one status
 */
import { encodeHex, encodeUtf8, isEqualBytes } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { parseSubmission, type Submission, TLOG_SIZE_TYPE } from "./add-checkpoint.ts";
import { type Checkpoint, parseCheckpointText, verifyCheckpoint } from "./checkpoint.ts";
import { verifyConsistency } from "./consistency-proof.ts";
import { issueCosignature, originOfNote } from "./cosignature.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import { type NoteKey, type NoteSigner, ownNoteOf, parseNote } from "./signed-note.ts";

/** A log that a witness follows. */
export interface WitnessedLog {
  readonly vkey: string;
  readonly key: NoteKey;
}

/** A submission whose log is known and did sign. */
export interface SignedSubmission extends Submission {
  readonly head: Checkpoint;
  /** Text of the checkpoint's note and one signature of the log: lines of strangers are not kept. */
  readonly text: string;
  readonly note: string;
}

/** An answer of the protocol. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly contentType: string;
  readonly body: string;
}

/** What comes of a submission. */
export type WitnessStep =
  | {
      readonly kind: "accepted";
      readonly answer: WitnessAnswer;
      /** To be durable, in place of `remembered`, before anybody sees the answer. */
      readonly remember: string;
    }
  | {
      readonly kind: "refused";
      readonly answer: WitnessAnswer;
      readonly contradiction: Contradiction | null;
    };

/**
 * Two notes of one log that cannot both be true: the one remembered and the one submitted. Of a log that has ended, a longer one; what shows
 * that it ended is the announcement that was taken.
 */
type Contradiction = readonly [string, string];

/** Name under which a witness shows what it remembers of a log: hex SHA-256 of the origin. */
export function originHash(origin: string): string {
  return encodeHex(sha256(encodeUtf8(origin)));
}

/**
 * Reads a submission and finds the log that signed it; or the answer to one that is nobody's.
 *
 * @param logs - by origin.
 */
export function readSubmission(
  body: string,
  logs: Pick<ReadonlyMap<string, WitnessedLog>, "get">,
): SignedSubmission | WitnessAnswer {
  try {
    const submission = parseSubmission(body);
    const { unverifiedText } = parseNote(submission.checkpoint);
    // The origin before the rest: what an unknown log signs is not for us to read.
    const log = logs.get(originOfNote(unverifiedText));
    if (log === undefined) return plain(404, "unknown log");
    const head = verifyCheckpoint(submission.checkpoint, log.vkey);
    return { ...submission, head, text: unverifiedText, note: ownNoteOf(submission.checkpoint, log.key) };
  } catch (error) {
    // Safe to go on: every refusal is an answer of the protocol, and nothing was remembered.
    if (!(error instanceof TrustWardenError)) throw error;
    return error.code === "checkpoint_untrusted"
      ? plain(403, "not signed by the log's key")
      : plain(400, "malformed");
  }
}

/**
 * Decides on a submission.
 *
 * @param options.remembered - the note that was remembered last for this log; null for none.
 * @param options.now - Unix seconds, for the cosignature.
 */
export function decideSubmission(
  submission: SignedSubmission,
  options: {
    readonly remembered: string | null;
    readonly witness: NoteSigner;
    readonly now: number;
    /** Whether what is remembered ends with the end of the log: then whatever is longer convicts it. */
    readonly hasEnded?: boolean;
  },
): WitnessStep {
  const { head, oldSize, text, note } = submission;
  const { remembered, witness, now, hasEnded = false } = options;
  const last = remembered === null ? null : parseCheckpointText(parseNote(remembered).unverifiedText);
  const lastSize = last?.size ?? 0;
  if (oldSize > head.size) return refused(plain(400, "old size beyond the checkpoint"));
  const beyond: Contradiction | null = hasEnded && head.size > lastSize ? [remembered ?? "", note] : null;
  if (oldSize !== lastSize) {
    return refused({ status: 409, contentType: TLOG_SIZE_TYPE, body: `${lastSize}\n` }, beyond);
  }
  if (head.size === lastSize && last !== null && !isEqualBytes(head.root, last.root)) {
    return refused(plain(422, "another root for the same size"), [remembered ?? "", note]);
  }
  if (beyond !== null) return refused(plain(422, "the log has ended"), beyond);
  if (!isContinued(submission, last)) return refused(plain(422, "the proof does not show a continuation"));
  const line = issueCosignature(text, witness, now);
  return {
    kind: "accepted",
    answer: { status: 200, contentType: "text/plain; charset=utf-8", body: line },
    remember: note + line,
  };
}

function isContinued({ head, proof }: SignedSubmission, last: Checkpoint | null): boolean {
  try {
    // Size 0 has one root; otherwise an empty log could be cosigned under a root that no entry leads to.
    if (head.size === 0 && !isEqualBytes(head.root, EMPTY_ROOT)) return false;
    verifyConsistency({
      oldSize: last?.size ?? 0,
      oldRoot: last?.root ?? EMPTY_ROOT,
      newSize: head.size,
      newRoot: head.root,
      proof,
    });
    return true;
  } catch (error) {
    // Safe to go on: this is the refusal, and the caller answers with it.
    if (!(error instanceof TrustWardenError)) throw error;
    return false;
  }
}

function refused(answer: WitnessAnswer, contradiction: Contradiction | null = null): WitnessStep {
  return { kind: "refused", answer, contradiction };
}

function plain(status: WitnessAnswer["status"], reason: string): WitnessAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body: `${reason}\n` };
}
