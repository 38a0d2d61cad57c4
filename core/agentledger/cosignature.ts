/**
 * Witness cosignatures: that an independent party saw this checkpoint at a time and found it consistent with all it
 * saw before. Making one is the last step of a witness (`witness.ts`); everybody else only checks.
 *
 * @see C2SP tlog-cosignature, cosignature/v1 (Ed25519)
 */
import { concatBytes, encodeUtf8 } from "../bytes.ts";
import { isEd25519Signature } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { type Checkpoint, verifyCheckpoint } from "./checkpoint.ts";
import { isShardOrigin, vkeyFor } from "./shard.ts";
import {
  ALGORITHM_COSIGNATURE,
  formatSignatureLine,
  type NoteKey,
  type NoteSigner,
  parseNote,
  signaturesOf,
} from "./signed-note.ts";
import { isQuorum, type TlogPolicy } from "./tlog-policy.ts";

const TIMESTAMP_BYTES = 8;
const SIGNATURE_BYTES = 64;

/** One witness's statement. */
export interface Cosignature {
  /** Key name of the witness. */
  readonly witness: string;
  /** Unix seconds; the checkpoint existed by then. */
  readonly cosignedAt: number;
}

/** A checkpoint, and who vouches for it. */
export interface WitnessedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly cosignatures: readonly Cosignature[];
}

/**
 * The line that a witness adds to a checkpoint that it has accepted and remembers.
 *
 * @param text - the note's text, up to and with its last newline.
 * @param cosignedAt - Unix seconds.
 */
export function issueCosignature(
  text: string,
  { name, keyId, signer }: NoteSigner,
  cosignedAt: number,
): string {
  if (!Number.isSafeInteger(cosignedAt) || cosignedAt <= 0) throw new Error("not a time");
  const time = new Uint8Array(TIMESTAMP_BYTES);
  new DataView(time.buffer).setBigUint64(0, BigInt(cosignedAt));
  const signature = concatBytes(time, signer.sign(signedBytes(text, cosignedAt)));
  return formatSignatureLine({ name, keyId, signature });
}

/**
 * The checkpoint of a note that satisfies a policy: signed by one of its logs, and by a quorum of its witnesses. Under
 * `quorum none` the log's own word is enough.
 *
 * @param key - vkey of the log, where the chain of shards has led to another one than the policy names.
 * @throws TrustWardenError `checkpoint_malformed`; `checkpoint_untrusted` for a log that the policy does not name and
 *   for a bad line of one that it does; `checkpoint_unwitnessed`.
 */
export function verifyWitnessedCheckpoint(
  note: string,
  policy: TlogPolicy,
  key?: string,
): WitnessedCheckpoint {
  const checkpoint = verifyCheckpoint(note, key ?? vkeyUnder(policy, originOfNote(note)));
  const witnesses = policy.witnesses.map((witness) => ({
    name: witness.name,
    cosignatures: verifyCosignatures(note, [witness.key]),
  }));
  const present = witnesses.filter(({ cosignatures }) => cosignatures.length > 0).map(({ name }) => name);
  if (!isQuorum(policy, new Set(present))) {
    throw new TrustWardenError("checkpoint_unwitnessed", { cosignatures: present.length });
  }
  return { checkpoint, cosignatures: witnesses.flatMap(({ cosignatures }) => cosignatures) };
}

/** The log that a note says to be of; nothing is verified. */
export function originOfNote(note: string): string {
  return note.split("\n", 1)[0] ?? "";
}

/**
 * The key of a log under a policy: one that names a ledger is about all its shards of the same key.
 *
 * @param changed - key that the chain of shards has led to, of the ledger's name; the policy's own unless given.
 * @throws TrustWardenError `checkpoint_untrusted`.
 */
export function vkeyUnder({ logs }: TlogPolicy, origin: string, changed?: string): string {
  const named = logs.find(({ key }) => key.name === origin);
  if (named !== undefined) return named.vkey;
  const ledger = logs.find(({ key }) => isShardOrigin(key.name, origin));
  if (ledger === undefined)
    throw new TrustWardenError("checkpoint_untrusted", { reason: "no log of the policy" });
  return vkeyFor(changed ?? ledger.vkey, origin);
}

/**
 * The cosignatures that known witnesses put on a note, one a witness.
 *
 * @throws TrustWardenError `checkpoint_malformed`, or `checkpoint_untrusted` when a known witness's line is bad.
 */
export function verifyCosignatures(note: string, witnesses: readonly NoteKey[]): readonly Cosignature[] {
  const { unverifiedText, signatures } = parseNote(note);
  return witnesses.flatMap((witness) => {
    if (witness.algorithm !== ALGORITHM_COSIGNATURE)
      throw new TrustWardenError("checkpoint_malformed", { reason: "witness key" });
    const times = signaturesOf(signatures, witness).map(({ signature }) =>
      verifyOne(unverifiedText, signature, witness),
    );
    return times.length === 0 ? [] : [{ witness: witness.name, cosignedAt: Math.min(...times) }];
  });
}

function verifyOne(text: string, blob: Uint8Array, { publicKey }: NoteKey): number {
  if (blob.length !== TIMESTAMP_BYTES + SIGNATURE_BYTES)
    throw new TrustWardenError("checkpoint_malformed", { reason: "cosignature length" });
  const time = Number(new DataView(blob.buffer, blob.byteOffset).getBigUint64(0));
  const signature = blob.subarray(TIMESTAMP_BYTES);
  if (!Number.isSafeInteger(time) || !isEd25519Signature(publicKey, signedBytes(text, time), signature)) {
    throw new TrustWardenError("checkpoint_untrusted", { reason: "bad cosignature" });
  }
  return time;
}

function signedBytes(text: string, time: number): Uint8Array {
  return encodeUtf8(`cosignature/v1\ntime ${time}\n${text}`);
}
