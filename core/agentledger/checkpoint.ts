/**
 * Checkpoints: the log's signed statement of its size and root.
 *
 * @see C2SP tlog-checkpoint; key name == origin and no extension lines, as C2SP tlog-tiles recommends
 */
import { encodeBase64, parseBase64 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { HASH_BYTES } from "./merkle.ts";
import { createNoteSigner, issueNote, parseVkey, requireKeyName, verifyNote } from "./signed-note.ts";

/** What the log commits to. */
export interface Checkpoint {
  /** Name of the log, such as `ledger.acme.test/2026q4`. */
  readonly origin: string;
  /** Number of entries. */
  readonly size: number;
  /** Merkle root over them. */
  readonly root: Uint8Array;
}

const DECIMAL = /^(?:0|[1-9]\d{0,15})$/;

/**
 * Refuses an origin that other implementations could read differently.
 *
 * @throws TrustWardenError `checkpoint_malformed` for spaces, a plus, a scheme or a trailing slash.
 */
export function requireOrigin(origin: string): void {
  requireKeyName(origin);
  if (origin.includes("://") || origin.endsWith("/")) {
    throw new TrustWardenError("checkpoint_malformed", { reason: "origin" });
  }
}

/**
 * Signs a checkpoint under the origin as key name.
 *
 * @throws TrustWardenError `checkpoint_malformed` for an unusable origin.
 */
export function issueCheckpoint({ origin, size, root }: Checkpoint, signer: Signer): string {
  requireOrigin(origin);
  if (!Number.isSafeInteger(size) || size < 0 || root.length !== HASH_BYTES)
    throw new Error("not a tree head");
  return issueNote(`${origin}\n${size}\n${encodeBase64(root)}\n`, createNoteSigner({ name: origin, signer }));
}

/**
 * The checkpoint of a note that the log's key signed; its origin is the key's name.
 *
 * @throws TrustWardenError `checkpoint_malformed`, or `checkpoint_untrusted` for another key or origin.
 */
export function verifyCheckpoint(note: string, vkey: string): Checkpoint {
  const key = parseVkey(vkey);
  const checkpoint = parseCheckpointText(verifyNote(note, key));
  // One key could serve two logs; a checkpoint of the other one proves nothing here.
  if (checkpoint.origin !== key.name) {
    throw new TrustWardenError("checkpoint_untrusted", { reason: "other origin" });
  }
  return checkpoint;
}

/** @throws TrustWardenError `checkpoint_malformed` unless the text is exactly three lines. */
export function parseCheckpointText(text: string): Checkpoint {
  const [origin = "", sizeText = "", rootText = "", end, ...extra] = text.split("\n");
  if (end !== "" || extra.length > 0) throw new TrustWardenError("checkpoint_malformed", { reason: "lines" });
  requireOrigin(origin);
  const size = Number(sizeText);
  if (!DECIMAL.test(sizeText) || !Number.isSafeInteger(size)) {
    throw new TrustWardenError("checkpoint_malformed", { reason: "size" });
  }
  return { origin, size, root: parseHash(rootText) };
}

/** A line of a proof, in whichever of its formats. @throws TrustWardenError `proof_malformed`. */
export function parseProofHash(line: string): Uint8Array {
  try {
    return parseHash(line);
  } catch (cause) {
    throw new TrustWardenError("proof_malformed", { reason: "hash" }, { cause });
  }
}

/** @throws TrustWardenError `checkpoint_malformed` unless the text is the padded base64 of one hash. */
export function parseHash(base64: string): Uint8Array {
  let hash: Uint8Array;
  try {
    hash = parseBase64(base64);
  } catch (cause) {
    throw new TrustWardenError("checkpoint_malformed", { reason: "hash" }, { cause });
  }
  if (hash.length !== HASH_BYTES)
    throw new TrustWardenError("checkpoint_malformed", { reason: "hash length" });
  return hash;
}
