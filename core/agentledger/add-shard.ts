/**
 * How a witness learns that the next shard of a log has another key: it is shown the last leaf of the log, which names that key, with
 * the proof of it in the checkpoint that the witness itself has cosigned last.
 *
 * It sees no leaves otherwise and goes by keys (C2SP tlog-witness), so this is a request of ours, which other witnesses do not know.
 * It gives nobody more than the log's key gave: whoever could have the witness cosign such a last leaf could have had it cosign a
 * shard without. And it takes something away: a log that has ended grows no more, and its key begins nothing any more.
 *
 * @see docs/decisions/0103
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { TLOG_SIZE_TYPE } from "./add-checkpoint.ts";
import { parseCheckpointText, verifyCheckpoint } from "./checkpoint.ts";
import { originOfNote } from "./cosignature.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import { encodeShardEnd, isComingShard, isShardSuccessor, parseShardEnd } from "./shard.ts";
import type { ShardLog } from "./sharded-log.ts";
import { parseNote, parseVkey } from "./signed-note.ts";
import { formatTlogProof, parseTlogProof, type UnverifiedTlogProof } from "./tlog-proof.ts";
import type { WitnessAnswer, WitnessedLog } from "./witness.ts";

/** Where a witness is told. */
export const ADD_SHARD = "/add-shard";
const NEXT = /^next (.+)\n\n/;
const PLAIN = "text/plain; charset=utf-8";

/** A key for the next shard, and the proof that the end of a log names it; nothing is verified. */
export interface Announcement {
  readonly vkey: string;
  readonly proof: UnverifiedTlogProof;
}

/** What comes of one: the key to remember for the log that ended, durable before anybody sees the answer; null for none. */
export interface AnnouncementStep {
  readonly answer: WitnessAnswer;
  readonly next: string | null;
}

/** Text of an announcement. */
export function formatAnnouncement({ vkey, proof }: Announcement): string {
  return `next ${vkey}\n\n${formatTlogProof(proof)}`;
}

/** @throws TrustWardenError `proof_malformed`. */
export function parseAnnouncement(text: string): Announcement {
  const [line = "", vkey = ""] = NEXT.exec(text) ?? [];
  if (line === "") throw new TrustWardenError("proof_malformed", { reason: "next" });
  return { vkey, proof: parseTlogProof(text.slice(line.length)) };
}

/** Origin of the log that is said to have ended. @throws TrustWardenError `checkpoint_malformed`. */
export function endedOrigin({ proof }: Announcement): string {
  return originOfNote(proof.checkpoint);
}

/** The end of a log that grows no more, as it is announced. @throws TrustWardenError `ledger_corrupt`. */
export async function announceEnd(
  log: Pick<ShardLog, "checkpoint" | "proveInclusion">,
  vkey: string,
): Promise<Announcement> {
  const checkpoint = log.checkpoint();
  const { size } = parseCheckpointText(parseNote(checkpoint).unverifiedText);
  const proof = await log.proveInclusion(size - 1, size);
  return { vkey, proof: { index: size - 1, proof, checkpoint } };
}

/**
 * Decides on an announcement; takes this step and the durable write of `next` as one, as with a submission.
 *
 * @param options.log - that it is about, as the witness knows it; undefined for one that it does not.
 * @param options.remembered - the note that was remembered last for that log.
 * @param options.nowMs - Unix milliseconds.
 */
export function decideAnnouncement(
  { vkey, proof: { index, proof, checkpoint } }: Announcement,
  options: {
    readonly log: WitnessedLog | undefined;
    readonly remembered: string | null;
    readonly nowMs: number;
  },
): AnnouncementStep {
  const { log, remembered, nowMs } = options;
  if (log === undefined) return refused(404, "unknown log");
  try {
    const head = verifyCheckpoint(checkpoint, log.vkey);
    const last = remembered === null ? null : parseCheckpointText(parseNote(remembered).unverifiedText);
    // Only what this witness has put its own name to: whoever shows it another tree has to have that cosigned first.
    if (last === null || last.size !== head.size) return behind(last?.size ?? 0);
    if (!isEqualBytes(last.root, head.root)) return refused(422, "another root for the same size");
    if (index !== head.size - 1) return refused(422, "not the last entry");
    const leaf = leafHash(encodeShardEnd(vkey));
    verifyInclusion({ index, size: head.size, leaf, proof, root: head.root });
    requireNextShard(head.origin, vkey, nowMs);
    return { answer: { status: 200, contentType: PLAIN, body: "followed\n" }, next: vkey };
  } catch (error) {
    // Safe: every refusal is an answer, and nothing is remembered.
    if (!(error instanceof TrustWardenError)) throw error;
    return refusedFor(error);
  }
}

function refusedFor({ code }: TrustWardenError): AnnouncementStep {
  if (code === "checkpoint_untrusted") return refused(403, "not signed by the log's key");
  return code === "proof_invalid" ? refused(422, "the log does not end so") : refused(400, "malformed");
}

/** @throws TrustWardenError `checkpoint_malformed`, `proof_invalid`. */
function requireNextShard(origin: string, vkey: string, nowMs: number): void {
  const { name } = parseVkey(vkey);
  // Parses it as a reader of the end would: a key that signs no logs is none of its.
  const isEnd = parseShardEnd(encodeShardEnd(vkey)) === vkey;
  const isNext = isEnd && isShardSuccessor(origin, name);
  if (!isNext || isComingShard(name.slice(name.lastIndexOf("/") + 1), nowMs))
    throw new TrustWardenError("proof_invalid", { reason: "no next shard" });
}

function behind(size: number): AnnouncementStep {
  return { answer: { status: 409, contentType: TLOG_SIZE_TYPE, body: `${size}\n` }, next: null };
}

function refused(status: WitnessAnswer["status"], reason: string): AnnouncementStep {
  return { answer: { status, contentType: PLAIN, body: `${reason}\n` }, next: null };
}
