/**
 * The private keys of the authority: makes them, hands them to who signs, and destroys them when they are done with.
 *
 * A key is durable before any state names it. A key that no state names was left by an interrupted step and is removed
 * at the next start; nothing was ever signed with it. One that was left in a token stays there, and signs nothing either.
 * A root's key in a cloud KMS is made and destroyed by its operator: here it is only found and asked.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  type AuthorityKind,
  type AuthoritySlot,
  slotIdOf,
} from "@trustwarden/core/agentid/authority-slots.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { RootSigner } from "@trustwarden/core/signer.ts";
import { findKmsKey, type KmsPlace, openKmsSigner } from "../signer/aws-kms.ts";
import { createTokenKey, destroyTokenKey, openTokenSigner } from "../signer/pkcs11.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import { readSealedFile, type SealedFile, writeSealedFile } from "../signer/sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../signer/software.ts";
import type { UnsealKey } from "../signer/unseal-key.ts";
import type { SigningKey, TokenAccess } from "../store/authority-ports.ts";

const KEY_FILE = /^(root|intermediate|jwt|wit)-([0-9a-f]{40})\.key$/;
const KINDS: readonly AuthorityKind[] = ["root", "intermediate", "jwt", "wit"];

/** What names a key: its slot, or as much of one as there is before the slot. */
type KeyName = Pick<AuthoritySlot, "id" | "kind" | "custody" | "keyRef">;

/** A key that was just made. */
export type MadeKey = Pick<AuthoritySlot, "spki" | "custody" | "keyRef">;

/** Owns the key files of one directory. */
export class KeyRing {
  readonly #directory: string;
  readonly #unsealKey: UnsealKey;
  readonly #random: Random;
  /** Where new keys are made, when they are not made in files. */
  readonly token: TokenAccess | null;
  readonly #kms: KmsPlace | null;

  constructor(options: {
    readonly directory: string;
    readonly unsealKey: UnsealKey;
    readonly random: Random;
    readonly token: TokenAccess | null;
    /** Where new roots have their key, and those of before theirs. */
    readonly kms: KmsPlace | null;
  }) {
    this.#directory = options.directory;
    this.#unsealKey = options.unsealKey;
    this.#random = options.random;
    this.token = options.token;
    this.#kms = options.kms;
  }

  /** A new key, durable when this resolves. @throws TrustWardenError `signer_unavailable`, `config_invalid`. */
  async create(kind: AuthorityKind): Promise<MadeKey> {
    if (kind === "root" && this.#kms !== null) {
      const { arn, spki } = await findKmsKey(this.#kms, this.#kms.keyId);
      return { spki, custody: "aws-kms", keyRef: arn };
    }
    if (this.token !== null) {
      const { id, spki } = createTokenKey(this.token, this.#random);
      return { spki, custody: "pkcs11", keyRef: id };
    }
    const pkcs8 = createPrivateKeyPkcs8("ES256");
    const spki = encodeSpki(createSoftwareSigner(pkcs8).publicKey);
    writeSealedFile(this.#fileOf({ kind, id: slotIdOf(spki) }), pkcs8);
    return { spki, custody: "sealed", keyRef: null };
  }

  /** An online key, for the thread that signs with it. @throws TrustWardenError `seal_broken`, `file_mode_too_open`. */
  signingKey(name: KeyName): SigningKey {
    if (name.custody === "pkcs11") return { kind: "pkcs11", ...this.#inToken(name) };
    return { kind: "sealed", pkcs8: readSealedFile(this.#fileOf(name)) };
  }

  /** A key as it lies in its file, for the other servers of the store; undefined for one that is in no file. */
  sealedBytes(name: KeyName): Uint8Array | undefined {
    return name.custody === "sealed" ? readPrivateFile(this.#fileOf(name).path) : undefined;
  }

  /** Every online key that is in a file, by the id of its slot. */
  signingKeys(): Readonly<Record<string, SigningKey>> {
    const names = this.#names().filter(({ kind }) => kind !== "root");
    return Object.fromEntries(names.map((name) => [name.id, this.signingKey(name)]));
  }

  /** @throws TrustWardenError `authority_conflict` for a key that is not here, `signer_unavailable`. */
  async rootSigner(name: KeyName): Promise<RootSigner> {
    if (name.custody === "aws-kms") return this.#inKms(name);
    if (name.custody === "pkcs11") {
      const { place, id } = this.#inToken(name);
      const { publicKey, sign } = openTokenSigner(place, id);
      return { publicKey, sign: async (data) => sign(data) };
    }
    const file = this.#fileOf(name);
    if (!existsSync(file.path)) {
      throw new TrustWardenError("authority_conflict", { id: name.id, reason: "the root's key is not here" });
    }
    const { publicKey, sign } = createSoftwareSigner(readSealedFile(file));
    return { publicKey, sign: async (data) => sign(data) };
  }

  destroy(name: KeyName): void {
    if (name.custody === "aws-kms") return;
    if (name.custody === "pkcs11") {
      const { place, id } = this.#inToken(name);
      destroyTokenKey(place, id);
      return;
    }
    rmSync(this.#fileOf(name).path, { force: true });
  }

  /** Removes the keys that no slot names. @returns how many there were. */
  removeUnknown(slots: readonly AuthoritySlot[]): number {
    const unknown = this.#names().filter(({ id }) => !slots.some((slot) => slot.id === id));
    for (const name of unknown) this.destroy(name);
    return unknown.length;
  }

  #inToken({ id, keyRef }: KeyName): { readonly place: TokenAccess; readonly id: string } {
    if (this.token === null || keyRef === null) {
      throw new TrustWardenError("signer_unavailable", { id, reason: "no token is configured" });
    }
    return { place: this.token, id: keyRef };
  }

  async #inKms({ id, keyRef }: KeyName): Promise<RootSigner> {
    if (this.#kms === null || keyRef === null) {
      throw new TrustWardenError("signer_unavailable", { id, reason: "no KMS is configured" });
    }
    const signer = await openKmsSigner(this.#kms, keyRef);
    if (slotIdOf(encodeSpki(signer.publicKey)) !== id) {
      throw new TrustWardenError("signer_unavailable", { id, reason: "KMS has another key under this name" });
    }
    return signer;
  }

  #names(): readonly KeyName[] {
    return readdirSync(this.#directory).flatMap((file) => {
      const [, found, id] = KEY_FILE.exec(file) ?? [];
      const kind = KINDS.find((known) => known === found);
      return id === undefined || kind === undefined
        ? []
        : [{ id, kind, custody: "sealed", keyRef: null } as const];
    });
  }

  #fileOf({ kind, id }: Pick<KeyName, "id" | "kind">): SealedFile {
    const path = join(this.#directory, `${kind}-${id}.key`);
    return { path, purpose: `${kind}-key`, unsealKey: this.#unsealKey };
  }
}
