/**
 * Witness cosignatures: that an independent party saw this checkpoint at a time and found it consistent with all it
 * saw before. Only checking; witnesses are programs of others.
 *
 * @see C2SP tlog-cosignature, cosignature/v1 (Ed25519)
 */
import { encodeUtf8 } from "../bytes.ts";
import { isEd25519Signature } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { ALGORITHM_COSIGNATURE, type NoteKey, parseNote, signaturesOf } from "./signed-note.ts";

const TIMESTAMP_BYTES = 8;
const SIGNATURE_BYTES = 64;

/** One witness's statement. */
export interface Cosignature {
  /** Key name of the witness. */
  readonly witness: string;
  /** Unix seconds; the checkpoint existed by then. */
  readonly cosignedAt: number;
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
  const data = encodeUtf8(`cosignature/v1\ntime ${time}\n${text}`);
  if (!Number.isSafeInteger(time) || !isEd25519Signature(publicKey, data, blob.subarray(TIMESTAMP_BYTES))) {
    throw new TrustWardenError("checkpoint_untrusted", { reason: "bad cosignature" });
  }
  return time;
}
