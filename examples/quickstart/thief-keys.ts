/**
 * Keys and certificates in loot: whatever parses, wherever it starts, and every 32 bytes that could be a bare private
 * key of one of the public keys that were found.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Loot } from "./thief-loot.ts";

const PEM = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g;
const SEQUENCE = 0x30;
const INTEGER = 0x02;
/** Around a bare 32-byte scalar: PKCS#8 of a P-256 key without its public half. */
const P256_PREFIX = Buffer.from(
  "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420",
  "hex",
);
/** Around a bare 32-byte seed: PKCS#8 of an Ed25519 key. */
const ED25519_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const KEY_BYTES = 32;

/** What parsed. */
export interface KeyLoot {
  readonly certificates: readonly X509Certificate[];
  /** Keys that parsed as such (PEM or DER). */
  readonly privateKeys: readonly KeyObject[];
  /** Bare 32-byte values that are the private key of a public key or certificate in the loot. */
  readonly bareKeys: readonly KeyObject[];
  /** How many 32-byte values were tried as a private key. */
  readonly bareValues: number;
}

/** Parses all loot. */
export function findKeys({ blobs, strings }: Loot): KeyLoot {
  const certificates = new Map<string, X509Certificate>();
  const privateKeys = new Map<string, KeyObject>();
  const publicKeys = new Set<string>();
  for (const blob of [...blobs, ...pemBlocks(blobs, strings)]) {
    for (const candidate of derCandidates(blob)) {
      const certificate = attempt(() => new X509Certificate(candidate));
      if (certificate !== undefined) certificates.set(certificate.fingerprint256, certificate);
      const key = parsePrivateKey(candidate);
      if (key !== undefined) privateKeys.set(fingerprint(key), key);
      const spki = attempt(() => createPublicKey({ key: candidate, format: "der", type: "spki" }));
      if (spki !== undefined) publicKeys.add(fingerprint(spki));
    }
  }
  for (const certificate of certificates.values()) publicKeys.add(fingerprint(certificate.publicKey));
  const bare = blobs.filter((blob) => blob.length === KEY_BYTES);
  return {
    certificates: [...certificates.values()],
    privateKeys: [...privateKeys.values()],
    bareKeys: bare.flatMap(bareKeysOf).filter((key) => publicKeys.has(fingerprint(key))),
    bareValues: bare.length,
  };
}

/** DER bytes of every PEM block in the bytes and in the strings. */
function pemBlocks(blobs: readonly Buffer[], strings: ReadonlySet<string>): readonly Buffer[] {
  const texts = [...blobs.map((blob) => blob.toString("latin1")), ...strings];
  return texts.flatMap((text) =>
    [...text.matchAll(PEM)].map(([block]) => Buffer.from(block.replace(/-----[A-Z ]+-----/g, ""), "base64")),
  );
}

/** A private key in either of the two encodings that are in use. */
function parsePrivateKey(key: Buffer): KeyObject | undefined {
  return (
    attempt(() => createPrivateKey({ key, format: "der", type: "pkcs8" })) ??
    attempt(() => createPrivateKey({ key, format: "der", type: "sec1" }))
  );
}

/** Each place in the bytes where a certificate, a private key or a public key of our size could start. */
function* derCandidates(bytes: Buffer): Generator<Buffer> {
  for (let at = bytes.indexOf(SEQUENCE); at >= 0; at = bytes.indexOf(SEQUENCE, at + 1)) {
    const end = endOfSequence(bytes, at);
    if (end !== undefined) yield bytes.subarray(at, end);
  }
}

/** End of a DER SEQUENCE that fits into the bytes and begins as a key or a certificate does. */
function endOfSequence(bytes: Buffer, at: number): number | undefined {
  const first = bytes[at + 1] ?? 0;
  const lengthBytes = first < 0x80 ? 0 : first - 0x80;
  if (lengthBytes > 2) return undefined;
  const length =
    lengthBytes === 0
      ? first
      : at + 2 + lengthBytes <= bytes.length
        ? bytes.readUIntBE(at + 2, lengthBytes)
        : 0;
  const content = at + 2 + lengthBytes;
  const inner = bytes[content];
  const isPlausible = length >= 40 && (inner === SEQUENCE || inner === INTEGER);
  return isPlausible && content + length <= bytes.length ? content + length : undefined;
}

function bareKeysOf(value: Buffer): readonly KeyObject[] {
  return [P256_PREFIX, ED25519_PREFIX].flatMap((prefix) => {
    const key = attempt(() =>
      createPrivateKey({ key: Buffer.concat([prefix, value]), format: "der", type: "pkcs8" }),
    );
    return key === undefined ? [] : [key];
  });
}

/** The public half, as a name for the key. */
function fingerprint(key: KeyObject): string {
  const publicKey = key.type === "public" ? key : createPublicKey(key);
  return publicKey.export({ type: "spki", format: "der" }).toString("base64");
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    // Most bytes are no key; that is what is being found out.
    return undefined;
  }
}
