/**
 * One signature to check, and the batches in which checks cross to another thread: bytes and places, no objects.
 *
 * Pure, so that the server's thread and the others do the same.
 */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { isP256Signature, type PublicKey, parseP256PublicKey } from "@trustwarden/core/crypto.ts";

const SIGNATURE_BYTES = 64;
/** Numbers of a check in `CheckBatch.places`: its key, and where its bytes end. */
const PLACE = 2;
/** Certificates whose keys are kept; half a kilobyte each. */
const MAX_KEYS = 8192;

/** A certificate's key, under the certificate's digest. */
export interface CertifiedKey {
  /** base64url SHA-256 of the certificate; it stands for exactly these bytes. */
  readonly certificate: string;
  readonly spki: Uint8Array;
}

/** What has to be signed by whom. */
export interface SignatureCheck extends CertifiedKey {
  /** What was signed, in two parts as they lie about: they are put together once, where they are checked or packed. */
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
  /** 64 bytes r||s; any other length is a bad signature. */
  readonly signature: Uint8Array;
}

/** Checks, packed. */
export interface CheckBatch {
  readonly keys: readonly CertifiedKey[];
  /** Of each check: the place of its key, and where its bytes end in `bytes`. */
  readonly places: Uint32Array<ArrayBuffer>;
  /** Of each check: the signature, then what was signed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Owns imported keys by the digest of their certificate: importing one costs several checks. */
export class KeyCache {
  readonly #keys = new Map<string, PublicKey>();

  /** @throws TrustWardenError `public_key_refused`. */
  import({ certificate, spki }: CertifiedKey): PublicKey {
    const known = this.#keys.get(certificate);
    if (known !== undefined) return known;
    const key = parseP256PublicKey(spki);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size >= MAX_KEYS && oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.set(certificate, key);
    return key;
  }
}

/** Whether each signature is good. */
export function checkSignatures(checks: readonly SignatureCheck[], keys: KeyCache): readonly boolean[] {
  return checks.map((check) => {
    const key = importIfKey(check, keys);
    return key !== null && isP256Signature(key, concatBytes(check.head, check.payload), check.signature);
  });
}

/** Null for what is no key: it has signed nothing, and its checks are refused. */
function importIfKey(key: CertifiedKey, keys: KeyCache): PublicKey | null {
  try {
    return keys.import(key);
  } catch {
    // Safe: whoever asks takes null for a bad signature.
    return null;
  }
}

/** The checks of signatures of the right length as a batch. */
export function packChecks(checks: readonly SignatureCheck[]): CheckBatch {
  const keys: CertifiedKey[] = [];
  const placeOfKey = new Map<string, number>();
  const places = new Uint32Array(PLACE * checks.length);
  const bytes = new Uint8Array(checks.reduce((sum, check) => sum + bytesOf(check), 0));
  let end = 0;
  for (const [index, check] of checks.entries()) {
    const { certificate, spki, head, payload, signature } = check;
    if (signature.length !== SIGNATURE_BYTES) throw new Error("a packed signature has 64 bytes");
    let key = placeOfKey.get(certificate);
    if (key === undefined) {
      key = keys.push({ certificate, spki }) - 1;
      placeOfKey.set(certificate, key);
    }
    bytes.set(signature, end);
    bytes.set(head, end + SIGNATURE_BYTES);
    bytes.set(payload, end + SIGNATURE_BYTES + head.length);
    end += bytesOf(check);
    places[PLACE * index] = key;
    places[PLACE * index + 1] = end;
  }
  return { keys, places, bytes };
}

function bytesOf({ head, payload }: SignatureCheck): number {
  return SIGNATURE_BYTES + head.length + payload.length;
}

/** The verdicts on a batch, 1 for a good signature, in its order. */
export function checkBatch({ keys, places, bytes }: CheckBatch, cache: KeyCache): Uint8Array<ArrayBuffer> {
  const verdicts = new Uint8Array(places.length / PLACE);
  const imported = keys.map((key) => importIfKey(key, cache));
  let start = 0;
  for (let index = 0; index < verdicts.length; index += 1) {
    const key = imported[places[PLACE * index] ?? -1];
    const end = places[PLACE * index + 1] ?? 0;
    if (key === undefined) throw new Error("a check names a key of its batch");
    const signature = bytes.subarray(start, start + SIGNATURE_BYTES);
    const signed = bytes.subarray(start + SIGNATURE_BYTES, end);
    verdicts[index] = key !== null && isP256Signature(key, signed, signature) ? 1 : 0;
    start = end;
  }
  return verdicts;
}
