/**
 * Signed notes with Ed25519 keys, and the verifier keys ("vkeys") that name them.
 *
 * The text is opaque here; `checkpoint.ts` and `acknowledgement.ts` say what it means. Signatures of unknown keys are
 * ignored, a bad signature of the known key rejects the whole note.
 *
 * @see C2SP signed-note v1.1
 */
import { concatBytes, encodeBase64, encodeHex, encodeUtf8, isEqualBytes, parseBase64 } from "../bytes.ts";
import { encodeSpki, isEd25519Signature, type PublicKey, parseEd25519PublicKey, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";

/** Signature type of plain Ed25519 notes. */
export const ALGORITHM_ED25519 = 0x01;
/** Signature type of a witness's timestamped cosignature. */
export const ALGORITHM_COSIGNATURE = 0x04;

/** Longer than 16 post-quantum signatures; the specification requires at least 16 signatures to be taken. */
const MAX_NOTE_CHARS = 131_072;
const MAX_SIGNATURES = 64;

const KEY_ID_BYTES = 4;
const ED25519_KEY_BYTES = 32;
const SIGNATURE_PREFIX = "\u2014 ";
// biome-ignore lint/suspicious/noControlCharactersInRegex: the specification forbids exactly these characters.
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;
const KEY_NAME = /^[^\s+\u0085]+$/u;

/** One signature line, not yet checked. */
export interface UnverifiedNoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** A note taken apart, nothing checked. */
export interface UnverifiedNote {
  /** Ends in a newline. */
  readonly unverifiedText: string;
  readonly signatures: readonly UnverifiedNoteSignature[];
}

/** A key that can check notes, with the name it must sign under. */
export interface NoteKey {
  readonly name: string;
  readonly algorithm: number;
  readonly keyId: Uint8Array;
  readonly publicKey: PublicKey;
}

/** A key that signs notes, under its name. */
export interface NoteSigner {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signer: Signer;
}

/** The vkey text of an Ed25519 key, a log's unless told: `<name>+<hex key id>+<base64(algorithm || key)>`. */
export function formatVkey(
  name: string,
  publicKeyRaw: Uint8Array,
  algorithm: typeof ALGORITHM_ED25519 | typeof ALGORITHM_COSIGNATURE = ALGORITHM_ED25519,
): string {
  const typed = concatBytes(Uint8Array.of(algorithm), publicKeyRaw);
  return `${name}+${encodeHex(keyIdOf(name, typed))}+${encodeBase64(typed)}`;
}

/**
 * The key that a vkey names.
 *
 * @throws TrustWardenError `checkpoint_malformed` when the text, its key id or its algorithm is off, or the key is of
 *   small order (under such a key one signature fits many texts).
 */
export function parseVkey(vkey: string): NoteKey {
  const [name, hex, base64] = splitVkey(vkey);
  const typed = parseBase64Field(base64);
  const algorithm = typed[0];
  const raw = typed.subarray(1);
  if (
    (algorithm !== ALGORITHM_ED25519 && algorithm !== ALGORITHM_COSIGNATURE) ||
    raw.length !== ED25519_KEY_BYTES
  ) {
    throw malformed("vkey algorithm");
  }
  const keyId = keyIdOf(name, typed);
  if (encodeHex(keyId) !== hex) throw malformed("vkey key id");
  requireLargeOrder(raw);
  return { name, algorithm, keyId, publicKey: parseEd25519PublicKey(raw) };
}

/** The 32 raw bytes of an Ed25519 public key. */
export function rawEd25519Key(publicKey: PublicKey): Uint8Array {
  return encodeSpki(publicKey).slice(-ED25519_KEY_BYTES);
}

/** The signing side of a note key. Finding the key id costs as much as a signature: make it once. */
export function createNoteSigner({
  name,
  signer,
  algorithm = ALGORITHM_ED25519,
}: {
  readonly name: string;
  readonly signer: Signer;
  /** A witness's key is another one than a log's, even over the same bytes. */
  readonly algorithm?: typeof ALGORITHM_ED25519 | typeof ALGORITHM_COSIGNATURE;
}): NoteSigner {
  requireKeyName(name);
  if (signer.algorithm !== "Ed25519") throw new Error("notes are signed with Ed25519");
  const typed = concatBytes(Uint8Array.of(algorithm), rawEd25519Key(signer.publicKey));
  return { name, keyId: keyIdOf(name, typed), signer };
}

/** Signs a text that ends in a newline; the note has this one signature. */
export function issueNote(text: string, { name, keyId, signer }: NoteSigner): string {
  if (!text.endsWith("\n") || CONTROL.test(text))
    throw new Error("a note's text ends in a newline and has no controls");
  const signature = signer.sign(encodeUtf8(text));
  return `${text}\n${formatSignatureLine({ name, keyId, signature })}`;
}

/** A signature as it stands under a note, with its newline. */
export function formatSignatureLine({ name, keyId, signature }: UnverifiedNoteSignature): string {
  return `${SIGNATURE_PREFIX}${name} ${encodeBase64(concatBytes(keyId, signature))}\n`;
}

/**
 * Text and signature lines of an untrusted note.
 *
 * @throws TrustWardenError `checkpoint_malformed`.
 */
export function parseNote(note: string): UnverifiedNote {
  if (note.length > MAX_NOTE_CHARS) throw malformed("too long");
  if (CONTROL.test(note) || !note.isWellFormed()) throw malformed("control character");
  const separator = note.lastIndexOf("\n\n");
  if (separator < 0 || !note.endsWith("\n")) throw malformed("no signature block");
  const lines = note.slice(separator + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw malformed("too many signatures");
  return { unverifiedText: note.slice(0, separator + 1), signatures: lines.map(parseSignatureLine) };
}

/**
 * The text of a note that the key signed.
 *
 * @throws TrustWardenError `checkpoint_malformed`, or `checkpoint_untrusted` when the key did not sign it.
 */
export function verifyNote(note: string, key: NoteKey): string {
  if (key.algorithm !== ALGORITHM_ED25519) throw malformed("vkey algorithm");
  const { unverifiedText, signatures } = parseNote(note);
  const own = signaturesOf(signatures, key);
  if (own.length === 0)
    throw new TrustWardenError("checkpoint_untrusted", { reason: "not signed by the key" });
  const data = encodeUtf8(unverifiedText);
  if (!own.every(({ signature }) => isEd25519Signature(key.publicKey, data, signature))) {
    throw new TrustWardenError("checkpoint_untrusted", { reason: "bad signature" });
  }
  return unverifiedText;
}

/**
 * A note with one signature of one key, as whoever has that key issued it: without what others put below, and without what
 * anybody can repeat. Nothing is verified.
 *
 * @throws TrustWardenError `checkpoint_malformed`.
 */
export function ownNoteOf(note: string, key: NoteKey): string {
  const { unverifiedText, signatures } = parseNote(note);
  const own = signaturesOf(signatures, key).slice(0, 1).map(formatSignatureLine).join("");
  return `${unverifiedText}\n${own}`;
}

/** The signature lines that claim to be of this key: the same name and key id. */
export function signaturesOf(
  signatures: readonly UnverifiedNoteSignature[],
  key: NoteKey,
): readonly UnverifiedNoteSignature[] {
  return signatures.filter(({ name, keyId }) => name === key.name && isEqualBytes(keyId, key.keyId));
}

/** @throws TrustWardenError `checkpoint_malformed` unless the name is non-empty without spaces or plus. */
export function requireKeyName(name: string): void {
  if (!KEY_NAME.test(name) || CONTROL.test(name)) throw malformed("key name");
}

function splitVkey(vkey: string): readonly [string, string, string] {
  // The base64 part may itself contain a plus, so only the first two separate.
  const first = vkey.indexOf("+");
  const second = vkey.indexOf("+", first + 1);
  if (first < 0 || second < 0) throw malformed("vkey");
  const name = vkey.slice(0, first);
  requireKeyName(name);
  return [name, vkey.slice(first + 1, second), vkey.slice(second + 1)];
}

function keyIdOf(name: string, typed: Uint8Array): Uint8Array {
  return sha256(concatBytes(encodeUtf8(`${name}\n`), typed)).slice(0, KEY_ID_BYTES);
}

function parseSignatureLine(line: string): UnverifiedNoteSignature {
  const [name, base64, ...rest] = line.slice(SIGNATURE_PREFIX.length).split(" ");
  if (!line.startsWith(SIGNATURE_PREFIX) || name === undefined || base64 === undefined || rest.length > 0) {
    throw malformed("signature line");
  }
  requireKeyName(name);
  const blob = parseBase64Field(base64);
  if (blob.length <= KEY_ID_BYTES) throw malformed("signature length");
  return { name, keyId: blob.subarray(0, KEY_ID_BYTES), signature: blob.subarray(KEY_ID_BYTES) };
}

function parseBase64Field(text: string): Uint8Array {
  try {
    return parseBase64(text);
  } catch (cause) {
    throw new TrustWardenError("checkpoint_malformed", { reason: "base64" }, { cause });
  }
}

/**
 * y coordinates (little-endian hex, sign bit cleared) of the eight points of small order, and of the encodings of 0
 * and 1 that exceed the field prime.
 */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

function requireLargeOrder(raw: Uint8Array): void {
  const y = raw.slice();
  y[31] = (y[31] ?? 0) & 0x7f;
  if (SMALL_ORDER_Y.has(encodeHex(y))) throw malformed("small-order key");
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("checkpoint_malformed", { reason });
}
