/**
 * Envelope encryption of one version of a secret: AES-256-GCM under a data key of its own, which is wrapped by a
 * key-encryption key.
 *
 * Both are bound to what the version is: deployment, secret, number, kind, and everything in its settings: upstreams
 * with their origins, agents, and how it goes out. A ciphertext in another row, under other settings or in another
 * deployment does not open, so whoever can write the database cannot send a secret anywhere else (F12).
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concatBytes, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { encodeCanonicalJson } from "@trustwarden/core/json.ts";
import type { SealedVersion } from "../store/broker-ports.ts";
import type { KeyEncryption } from "./ports.ts";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a version is bound to. */
export interface Binding {
  readonly trustDomain: string;
  /** SPIFFE ID of the server, which lives as long as its data directory. */
  readonly deployment: string;
  readonly secretId: string;
  readonly name: string;
  readonly kind: string;
  readonly version: number;
  /** Canonical JSON. */
  readonly settings: string;
}

/** What seals and opens. */
export interface EnvelopeKeys {
  readonly keys: KeyEncryption;
  readonly random: Random;
}

/** Seals a value under a new data key. @throws TrustWardenError `secret_unavailable`. */
export async function sealVersion(
  value: string,
  binding: Binding,
  { keys, random }: EnvelopeKeys,
): Promise<SealedVersion> {
  const keyId = currentKeyOf(keys);
  const dataKey = random(KEY_BYTES);
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, dataKey, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(contextOf(binding, "value"));
  const ciphertext = Buffer.concat([
    nonce,
    cipher.update(value, "utf8"),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  const wrappedKey = await keys.wrap(keyId, { key: dataKey, context: contextOf(binding, "data-key") });
  dataKey.fill(0);
  return { version: binding.version, keyId, wrappedKey, ciphertext: new Uint8Array(ciphertext) };
}

/** @throws TrustWardenError `secret_unavailable` when it does not open. */
export async function openVersion(
  sealed: SealedVersion,
  binding: Omit<Binding, "version">,
  { keys }: Pick<EnvelopeKeys, "keys">,
): Promise<string> {
  const bound = { ...binding, version: sealed.version };
  const dataKey = await unwrap(sealed, bound, keys);
  try {
    return parseUtf8(decrypt(sealed.ciphertext, dataKey, contextOf(bound, "value")));
  } catch (cause) {
    throw unopened(bound, cause);
  } finally {
    dataKey.fill(0);
  }
}

/** The same data key under the key-encryption key in use. @throws TrustWardenError `secret_unavailable`. */
export async function rewrapVersion(
  sealed: SealedVersion,
  binding: Omit<Binding, "version">,
  { keys }: Pick<EnvelopeKeys, "keys">,
): Promise<Pick<SealedVersion, "keyId" | "wrappedKey">> {
  const bound = { ...binding, version: sealed.version };
  const dataKey = await unwrap(sealed, bound, keys);
  const keyId = currentKeyOf(keys);
  const wrappedKey = await keys.wrap(keyId, { key: dataKey, context: contextOf(bound, "data-key") });
  dataKey.fill(0);
  return { keyId, wrappedKey };
}

async function unwrap(sealed: SealedVersion, binding: Binding, keys: KeyEncryption): Promise<Uint8Array> {
  try {
    return await keys.unwrap(sealed.keyId, {
      key: sealed.wrappedKey,
      context: contextOf(binding, "data-key"),
    });
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "secret_unavailable") throw cause;
    throw unopened(binding, cause);
  }
}

function decrypt(ciphertext: Uint8Array, dataKey: Uint8Array, context: Uint8Array): Uint8Array {
  const nonce = ciphertext.subarray(0, NONCE_BYTES);
  const tag = ciphertext.subarray(-TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, dataKey, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(context).setAuthTag(tag);
  const opened = decipher.update(ciphertext.subarray(NONCE_BYTES, -TAG_BYTES));
  return new Uint8Array(Buffer.concat([opened, decipher.final()]));
}

function contextOf(binding: Binding, part: "value" | "data-key"): Uint8Array {
  return concatBytes(encodeUtf8("trustwarden-secret-v1\n"), encodeCanonicalJson({ ...binding, part }));
}

function currentKeyOf(keys: KeyEncryption): string {
  const id = keys.ids().at(-1);
  if (id === undefined) throw new TrustWardenError("secret_unavailable", { reason: "no key-encryption key" });
  return id;
}

function unopened({ name, version }: Binding, cause: unknown): TrustWardenError {
  const reason = "the ciphertext is not of this secret, version, scope and deployment, or was altered";
  return new TrustWardenError("secret_unavailable", { name, version, reason }, { cause });
}
