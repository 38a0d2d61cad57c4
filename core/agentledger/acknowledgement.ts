/**
 * Acknowledgements: the log's signed promise that an entry is durable at an index and will be in every later tree.
 *
 * A promise that the log does not keep is evidence against it, so it is signed with the same key as checkpoints.
 * Signed note over four lines: `<origin>/ack`, index, base64 leaf hash, Unix time. The first line differs from every
 * checkpoint's origin (which has no such suffix for this key), so that neither can be read as the other.
 */
import { encodeBase64 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { parseHash } from "./checkpoint.ts";
import { HASH_BYTES } from "./merkle.ts";
import {
  createNoteSigner,
  issueNote,
  type NoteKey,
  type NoteSigner,
  parseNote,
  parseVkey,
  verifyNote,
} from "./signed-note.ts";

/** What the log promises. */
export interface Acknowledgement {
  readonly origin: string;
  readonly index: number;
  readonly leafHash: Uint8Array;
  /** When the entry was durable, Unix seconds. */
  readonly acknowledgedAt: number;
}

const SUFFIX = "/ack";
const DECIMAL = /^(?:0|[1-9]\d{0,15})$/;

/** Signs the promise; it leaves only when the entry is durable in the write-ahead log. */
export function issueAcknowledgement(acknowledgement: Acknowledgement, signer: Signer): string {
  return issueAcknowledgementAs(acknowledgement, createNoteSigner({ name: acknowledgement.origin, signer }));
}

/** `issueAcknowledgement` with a signer that is at hand already: twice as fast. */
export function issueAcknowledgementAs(acknowledgement: Acknowledgement, signer: NoteSigner): string {
  const { origin, index, leafHash, acknowledgedAt } = acknowledgement;
  if (origin !== signer.name) throw new Error("a log promises under its own name");
  if (leafHash.length !== HASH_BYTES) throw new Error("not a leaf hash");
  return issueNote(`${origin}${SUFFIX}\n${index}\n${encodeBase64(leafHash)}\n${acknowledgedAt}\n`, signer);
}

/**
 * The promise that the log's key signed.
 *
 * @param vkey - text, or parsed already: a key that is used again is checked a third faster.
 * @throws TrustWardenError `receipt_invalid`.
 */
export function verifyAcknowledgement(note: string, vkey: string | NoteKey): Acknowledgement {
  return asPromise(() => {
    const key = typeof vkey === "string" ? parseVkey(vkey) : vkey;
    const promised = parseText(verifyNote(note, key));
    if (promised.origin !== key.name)
      throw new TrustWardenError("receipt_invalid", { reason: "not an acknowledgement of this log" });
    return promised;
  });
}

/**
 * What a promise says; nothing is verified.
 *
 * @throws TrustWardenError `receipt_invalid` for what is no promise.
 */
export function parseUnverifiedAcknowledgement(note: string): Acknowledgement {
  return asPromise(() => parseText(parseNote(note).unverifiedText));
}

function asPromise(read: () => Acknowledgement): Acknowledgement {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("receipt_invalid", { reason: cause.code }, { cause });
  }
}

function parseText(text: string): Acknowledgement {
  const [first = "", index = "", hash = "", time = "", end, ...extra] = text.split("\n");
  if (!first.endsWith(SUFFIX) || end !== "" || extra.length > 0)
    throw new TrustWardenError("receipt_invalid", { reason: "no acknowledgement" });
  return {
    origin: first.slice(0, -SUFFIX.length),
    index: parseNumber(index),
    leafHash: parseHash(hash),
    acknowledgedAt: parseNumber(time),
  };
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (!DECIMAL.test(text) || !Number.isSafeInteger(value)) {
    throw new TrustWardenError("receipt_invalid", { reason: "number" });
  }
  return value;
}
