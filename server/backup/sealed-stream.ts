/**
 * A backup's bytes on their way into a file and out of it again: frames of AES-256-GCM, numbered, the last one marked, so that
 * nothing can be changed, exchanged, left out or cut off unnoticed.
 *
 * The key is agreed between a key that is made for this file and thrown away, and the recipient's X25519 key, whose private half is
 * not on the machine that makes backups. Without a recipient the key is known to everybody: the frames then only show damage.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";

const CIPHER = "aes-256-gcm";
const MAGIC = "trustwarden-backup-v1";
const FRAME_BYTES = 1_048_576;
const TAG_BYTES = 16;
const LENGTH_BYTES = 4;
const MAX_HEADER_BYTES = 512;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;

/** Whether a frame is the last; authenticated with it. */
const MORE = encodeUtf8("more");
const LAST = encodeUtf8("last");

/** Makes a recipient: the public half is for the machine that makes backups, the private one for nowhere near it. */
export function createRecipient(): { readonly publicPem: string; readonly privatePem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("x25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return { publicPem: publicKey, privatePem: privateKey };
}

/** @throws TrustWardenError `config_invalid` for anything but a public X25519 key in PEM. */
export function parseRecipient(pem: string): KeyObject {
  return requireX25519(() => {
    if (pem.includes("PRIVATE KEY")) throw new Error("a private key does not belong here");
    return createPublicKey(pem);
  });
}

/** @throws TrustWardenError `config_invalid` for anything but a private X25519 key in PEM. */
export function parseRecipientKey(pem: string): KeyObject {
  return requireX25519(() => createPrivateKey(pem));
}

function requireX25519(parse: () => KeyObject): KeyObject {
  try {
    const key = parse();
    if (key.asymmetricKeyType === "x25519") return key;
  } catch {
    // The cause could carry the text of a key.
  }
  throw new TrustWardenError("config_invalid", { setting: "recipient", reason: "not an X25519 key in PEM" });
}

/** Writes frames; owns the file until `close`, which makes it durable. */
export class SealedWriter {
  readonly #path: string;
  readonly #file: number;
  readonly #key: Uint8Array;
  /** The frame that is being filled: a full one waits until something follows it, since the last one is marked. */
  readonly #frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
  #filled = 0;
  #frames = 0;

  /** @param path - of a file that must not exist. @param recipient - null for nobody. */
  constructor(path: string, recipient: KeyObject | null) {
    this.#path = path;
    this.#file = openSync(path, "wx", 0o600);
    const ephemeral = recipient === null ? null : generateKeyPairSync("x25519");
    const epk =
      ephemeral === null
        ? null
        : encodeBase64url(ephemeral.publicKey.export({ type: "spki", format: "der" }));
    const header = encodeUtf8(`${formatCanonicalJson({ format: MAGIC, epk })}\n`);
    const shared =
      ephemeral === null || recipient === null
        ? new Uint8Array(KEY_BYTES)
        : diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient });
    this.#key = deriveKey(shared, header);
    writeAll(this.#file, header);
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const place = this.#place();
      const part = bytes.subarray(at, at + place.length);
      place.set(part);
      this.#filled += part.length;
      at += part.length;
    }
  }

  /** Has the bytes of a file put where they are sealed: exactly so many. @returns false when the file had fewer. */
  writeFrom(descriptor: number, count: number): boolean {
    for (let left = count; left > 0; ) {
      const place = this.#place();
      const read = readSync(descriptor, place, 0, Math.min(left, place.length), null);
      if (read === 0) return false;
      this.#filled += read;
      left -= read;
    }
    return true;
  }

  /** Writes what waits as the last frame and puts the file on the disk. */
  close(): void {
    this.#seal(LAST);
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  /** Reads the file again, once it is closed: only who wrote it can, and whoever has the recipient's key. */
  reopen(): SealedReader {
    return new SealedReader(this.#path, { key: this.#key });
  }

  /** Where the next bytes go; never empty. */
  #place(): Uint8Array {
    if (this.#filled === FRAME_BYTES) this.#seal(MORE);
    return this.#frame.subarray(this.#filled);
  }

  #seal(mark: Uint8Array): void {
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(this.#frames), { authTagLength: TAG_BYTES });
    cipher.setAAD(mark);
    const sealed = cipher.update(this.#frame.subarray(0, this.#filled));
    // This cipher keeps no bytes back, so that nothing is left to be appended but the tag.
    cipher.final();
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(sealed.length + TAG_BYTES);
    for (const part of [length, sealed, cipher.getAuthTag()]) writeAll(this.#file, part);
    this.#frames += 1;
    this.#filled = 0;
  }
}

/** Reads frames in order; gives bytes only of frames that were proven. */
export class SealedReader {
  readonly #file: number;
  readonly #key: Uint8Array;
  /** A frame as it lies in the file; each is read into the same memory. */
  readonly #sealed = Buffer.allocUnsafeSlow(FRAME_BYTES + TAG_BYTES);
  #plain: Uint8Array = new Uint8Array(0);
  #frames = 0;
  #isEnded = false;

  /**
   * @param opener - the recipient's private key, null for a backup without a recipient, or the key of the file itself.
   * @throws TrustWardenError `backup_malformed`.
   */
  constructor(path: string, opener: KeyObject | { readonly key: Uint8Array } | null) {
    this.#file = openSync(path, "r");
    try {
      const header = this.#readHeader();
      this.#key = opener !== null && "key" in opener ? opener.key : openKey(header, opener);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** Exactly so many bytes. @throws TrustWardenError `backup_malformed`. */
  read(count: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let left = count; left > 0; ) {
      const part = this.readSome(left);
      left -= part.length;
      parts.push(part);
    }
    return parts.length === 1 ? (parts[0] ?? new Uint8Array(0)) : Buffer.concat(parts);
  }

  /** What is at hand, one byte at least and so many at most: for whoever passes a file on. @throws as `read` does. */
  readSome(atMost: number): Uint8Array {
    if (this.#plain.length === 0) this.#open();
    const part = this.#plain.subarray(0, atMost);
    this.#plain = this.#plain.subarray(part.length);
    return part;
  }

  /** @throws TrustWardenError `backup_malformed` when there is more, or less, than was read. */
  end(): void {
    if (this.#plain.length > 0 || !this.#isEnded || readSync(this.#file, Buffer.alloc(1), 0, 1, null) > 0)
      throw malformed("it does not end where it says");
  }

  close(): void {
    closeSync(this.#file);
  }

  #open(): void {
    if (this.#isEnded) throw malformed("it ends too early");
    const length = this.#take(LENGTH_BYTES).readUInt32BE();
    if (length < TAG_BYTES || length > FRAME_BYTES + TAG_BYTES) throw malformed("length of a frame");
    const sealed = this.#fill(this.#sealed.subarray(0, length));
    const opened = this.#unseal(sealed, MORE);
    this.#isEnded = opened === null;
    this.#plain = opened ?? this.#unseal(sealed, LAST) ?? refuseFrame();
    this.#frames += 1;
    if (this.#plain.length === 0 && !this.#isEnded) throw malformed("an empty frame");
    if (this.#plain.length === 0) throw malformed("it ends too early");
  }

  #unseal(sealed: Buffer, mark: Uint8Array): Uint8Array | null {
    const decipher = createDecipheriv(CIPHER, this.#key, nonceOf(this.#frames), { authTagLength: TAG_BYTES });
    decipher.setAAD(mark).setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      const plain = decipher.update(sealed.subarray(0, -TAG_BYTES));
      // Proves the tag. This cipher keeps no bytes back, so that nothing is left to be appended.
      return decipher.final().length === 0 ? plain : null;
    } catch {
      // The other mark is tried, and then it is refused.
      return null;
    }
  }

  #take(count: number): Buffer {
    return this.#fill(Buffer.alloc(count));
  }

  /** Whole or not at all. */
  #fill(bytes: Buffer): Buffer {
    for (let read = 0; read < bytes.length; ) {
      const got = readSync(this.#file, bytes, read, bytes.length - read, null);
      if (got === 0) throw malformed("it ends too early");
      read += got;
    }
    return bytes;
  }

  #readHeader(): Uint8Array {
    const bytes: number[] = [];
    while (bytes.at(-1) !== 0x0a) {
      if (bytes.length >= MAX_HEADER_BYTES) throw malformed("no header");
      bytes.push(this.#take(1)[0] ?? 0);
    }
    return Uint8Array.from(bytes);
  }
}

function openKey(header: Uint8Array, recipientKey: KeyObject | null): Uint8Array {
  const publicKey = parseHeader(header);
  if (publicKey === null) return deriveKey(new Uint8Array(KEY_BYTES), header);
  if (recipientKey === null) throw malformed("it is sealed to a recipient");
  return deriveKey(diffieHellman({ privateKey: recipientKey, publicKey }), header);
}

function parseHeader(header: Uint8Array): KeyObject | null {
  try {
    const { format, epk } = parseJsonObject(parseUtf8(header).trimEnd());
    if (format !== MAGIC) throw new Error("another format");
    if (epk === null) return null;
    const key = createPublicKey({
      key: Buffer.from(parseBase64url(String(epk))),
      type: "spki",
      format: "der",
    });
    if (key.asymmetricKeyType !== "x25519") throw new Error("another kind of key");
    return key;
  } catch (cause) {
    throw new TrustWardenError("backup_malformed", { reason: "no header" }, { cause });
  }
}

/** The header is bound in: it names the key that was made for this file. */
function deriveKey(shared: Uint8Array, header: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", shared, header, encodeUtf8(MAGIC), KEY_BYTES));
}

/** Each file has a key of its own, so that counting never repeats a nonce under it. */
function nonceOf(frame: number): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(frame), NONCE_BYTES - 8);
  return nonce;
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

function refuseFrame(): never {
  throw malformed("wrong key or altered bytes");
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("backup_malformed", { reason });
}
