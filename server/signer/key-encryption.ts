/**
 * Key-encryption keys of the secrets broker, each in its own custody: a sealed file beside the unseal key and outside the
 * data directory, a hardware token, or a cloud's KMS.
 *
 * A key wraps the data keys of secrets and nothing else. Whoever has the data directory, or a row of it, has nothing
 * that opens (attacks F12 and L1). Rotation makes the next key where the configuration says by then; the old one goes
 * when no data key is under it. So keys of several custodies stand side by side while a deployment moves.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { encodeHex, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import type { KmsPlace } from "./aws-kms.ts";
import { findKmsWrappingKey, unwrapInKms, wrapInKms } from "./aws-kms-wrapping.ts";
import type { TokenPlace } from "./pkcs11.ts";
import {
  createTokenWrappingKey,
  destroyTokenWrappingKey,
  unwrapInToken,
  wrapInToken,
} from "./pkcs11-wrapping.ts";
import { createPrivateDirectory, readPrivateFile, writePrivateFile } from "./private-file.ts";
import { openSealedBytes, readSealedFile, sealBytes } from "./sealed-file.ts";
import { UnsealKey } from "./unseal-key.ts";

const KEY_BYTES = 32;
const PURPOSES = { key: "key-encryption-key", ref: "key-encryption-reference" } as const;
const NAME_BYTES = 8;
/** `.key` is the key itself, `.ref` says where it is. */
const FILE = /^(?<id>kek_(?<number>\d{8})_[0-9a-f]{16})\.(?<form>key|ref)$/;

/** A data key, wrapped or not, and what it is bound to. */
export interface KeyInContext {
  readonly key: Uint8Array;
  /** Authenticated but not stored. */
  readonly context: Uint8Array;
}

/** Where the keys lie, and what seals them. */
export interface KeyEncryptionPlace {
  /** Outside the data directory; made when the first key is. */
  readonly directory: string;
  readonly unsealKey: UnsealKey;
  readonly random: Random;
  /** Where the next key is made. */
  readonly custody: Custody;
  /** Null where the configuration names none; keys in it do not open then. */
  readonly token: TokenPlace | null;
  readonly kms: KmsPlace | null;
}

/** A key, or the way to one, as the bytes of its sealed file: whoever has no unseal key has nothing. */
export interface SealedKey {
  readonly id: string;
  readonly form: "key" | "ref";
  readonly sealed: Uint8Array;
}

const CUSTODIES = ["sealed", "pkcs11", "aws-kms"] as const;
/** Where a key is. */
export type Custody = (typeof CUSTODIES)[number];

/** A key that is here, or the way to it. */
type Held =
  | { readonly custody: "sealed"; readonly key: UnsealKey }
  | { readonly custody: "pkcs11" | "aws-kms"; readonly name: string };

/** Owns the opened keys and the ways to the others; they cannot be read back, printed or serialised. */
export class KeyEncryptionKeys {
  readonly #place: KeyEncryptionPlace;
  readonly #keys = new Map<string, Held>();

  /** Asks neither token nor KMS. @throws TrustWardenError `seal_broken`, `file_mode_too_open`. */
  constructor(place: KeyEncryptionPlace) {
    this.#place = place;
    for (const { id, form } of filesIn(place.directory)) this.#keys.set(id, this.#open(id, form));
  }

  /** From the oldest to the one in use. */
  ids(): readonly string[] {
    return [...this.#keys.keys()].toSorted();
  }

  /**
   * Makes the next key, durably; from now on it is the one in use. Its number and no clock says that it is later.
   *
   * @returns its id.
   * @throws TrustWardenError `secret_unavailable` when the token or KMS cannot be asked, `config_invalid`.
   */
  async create(): Promise<string> {
    const prepared = await this.prepare();
    this.take(prepared);
    return prepared.id;
  }

  /** The next key, which nothing is under before it was taken. @throws TrustWardenError as `create`. */
  async prepare(): Promise<SealedKey> {
    const { form, bytes } = await available(() => this.#make());
    const latest = Number(FILE.exec(`${this.ids().at(-1)}.key`)?.groups?.number ?? 0);
    const id = `kek_${String(latest + 1).padStart(8, "0")}_${encodeHex(this.#place.random(NAME_BYTES))}`;
    return { id, form, sealed: sealBytes(this.#fileOf(id, form), bytes) };
  }

  /** Lays a key beside the others, durably. @throws TrustWardenError `seal_broken` for one that is not of this deployment. */
  take({ id, form, sealed }: SealedKey): void {
    if (!FILE.test(`${id}.${form}`)) throw new TrustWardenError("seal_broken", { reason: "no key's name" });
    const held = this.#hold(form, openSealedBytes(sealed, this.#fileOf(id, form)));
    createPrivateDirectory(this.#place.directory);
    writePrivateFile(this.#fileOf(id, form).path, sealed);
    this.#keys.set(id, held);
  }

  /** A key as it lies here. @throws TrustWardenError `secret_unavailable` for one that does not. */
  sealedKey(id: string): SealedKey {
    const form = this.#get(id).custody === "sealed" ? "key" : "ref";
    return { id, form, sealed: readPrivateFile(this.#fileOf(id, form).path) };
  }

  /** Destroys a key: what is under it never opens again. One in a KMS is its operator's, and only forgotten. */
  async remove(id: string): Promise<void> {
    const held = this.#keys.get(id);
    if (held?.custody === "pkcs11")
      await available(async () => destroyTokenWrappingKey(this.#token(), held.name));
    this.forget(id);
  }

  /** Takes the file of a key away that somebody else destroyed. */
  forget(id: string): void {
    this.#keys.delete(id);
    for (const form of ["key", "ref"]) rmSync(join(this.#place.directory, `${id}.${form}`), { force: true });
  }

  /** @throws TrustWardenError `secret_unavailable` for a key that is not here, or whose token or KMS cannot be asked. */
  async wrap(id: string, { key, context }: KeyInContext): Promise<Uint8Array> {
    const held = this.#get(id);
    const { random } = this.#place;
    return available(async () => {
      switch (held.custody) {
        case "sealed":
          return held.key.seal({ plaintext: key, context });
        case "pkcs11":
          return wrapInToken(this.#token(), held.name, { key, context, random });
        case "aws-kms":
          return wrapInKms(this.#kms(), held.name, { key, context });
      }
    });
  }

  /** @throws TrustWardenError as `wrap`, `seal_broken` for another context. */
  async unwrap(id: string, { key, context }: KeyInContext): Promise<Uint8Array> {
    const held = this.#get(id);
    return available(async () => {
      switch (held.custody) {
        case "sealed":
          return held.key.open({ sealed: key, context });
        case "pkcs11":
          return unwrapInToken(this.#token(), held.name, { key, context });
        case "aws-kms":
          return unwrapInKms(this.#kms(), held.name, { key, context });
      }
    });
  }

  async #make(): Promise<{ readonly form: "key" | "ref"; readonly bytes: Uint8Array }> {
    const { custody, random } = this.#place;
    switch (custody) {
      case "sealed":
        return { form: "key", bytes: random(KEY_BYTES) };
      case "pkcs11":
        return reference(custody, createTokenWrappingKey(this.#token(), random));
      case "aws-kms": {
        const kms = this.#kms();
        return reference(custody, await findKmsWrappingKey(kms, kms.keyId));
      }
    }
  }

  #token(): TokenPlace {
    return this.#place.token ?? notConfigured("pkcs11");
  }

  #kms(): KmsPlace {
    return this.#place.kms ?? notConfigured("aws-kms");
  }

  #get(id: string): Held {
    const key = this.#keys.get(id);
    if (key === undefined) {
      throw new TrustWardenError("secret_unavailable", { reason: "the key-encryption key is not here", id });
    }
    return key;
  }

  #open(id: string, form: "key" | "ref"): Held {
    return this.#hold(form, readSealedFile(this.#fileOf(id, form)));
  }

  #hold(form: "key" | "ref", bytes: Uint8Array): Held {
    if (form === "key") return { custody: "sealed", key: new UnsealKey(bytes, this.#place.random) };
    const fields = new Fields(parseJsonObject(parseUtf8(bytes)), "seal_broken");
    const found = { custody: fields.oneOf("custody", ["pkcs11", "aws-kms"]), name: fields.text("name") };
    fields.end();
    return found;
  }

  #fileOf(id: string, form: "key" | "ref") {
    const { directory, unsealKey } = this.#place;
    return { path: join(directory, `${id}.${form}`), purpose: PURPOSES[form], unsealKey };
  }
}

function reference(custody: Custody, name: string): { readonly form: "ref"; readonly bytes: Uint8Array } {
  return { form: "ref", bytes: encodeUtf8(formatCanonicalJson({ custody, name })) };
}

/** A token or KMS that does not answer is a secret that cannot be had; why stays in the details. */
async function available<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code !== "signer_unavailable") throw cause;
    throw new TrustWardenError("secret_unavailable", cause.details, { cause });
  }
}

function notConfigured(custody: Custody): never {
  throw new TrustWardenError("secret_unavailable", {
    custody,
    reason: "secretKeys does not name it any more",
  });
}

/** What an interrupted write left behind has another name and was never used. */
function filesIn(directory: string): readonly { readonly id: string; readonly form: "key" | "ref" }[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const { id, form } = FILE.exec(name)?.groups ?? {};
    return id === undefined ? [] : [{ id, form: form === "ref" ? ("ref" as const) : ("key" as const) }];
  });
}
