/**
 * Key-encryption keys of the secrets broker where several servers share a store: what one of them makes the others take in, and
 * what one destroys the others let go.
 *
 * They are handed over as notes: the bytes of the sealed file, which only a server with the unseal key opens. A key is in the
 * notes before anything is wrapped under it, so that no server has to know a secret that it cannot open.
 *
 * @see docs/decisions/0102
 */
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Notes } from "@trustwarden/core/notes.ts";
import type { KeyEncryption } from "../broker/ports.ts";
import type { KeyEncryptionKeys, SealedKey } from "../signer/key-encryption.ts";
import { askTogether } from "./sharing.ts";

const KIND = "secret-key";
const FORMS = ["key", "ref"] as const;

/** Owns nothing: keys are where they lie, and what is handed over is in the notes. */
export class SharedSecretKeys implements KeyEncryption {
  readonly #own: KeyEncryptionKeys;
  readonly #notes: Notes;
  readonly #catchUp: () => Promise<void>;
  readonly #isUsed: (id: string) => boolean;
  readonly #follow = askTogether(() => this.#bringTogether());

  constructor(options: {
    readonly own: KeyEncryptionKeys;
    readonly notes: Notes;
    /** Returns when this server has everything that was committed before. */
    readonly catchUp: () => Promise<void>;
    /** Whether anything that this server knows of is under a key. */
    readonly isUsed: (id: string) => boolean;
  }) {
    this.#own = options.own;
    this.#notes = options.notes;
    this.#catchUp = options.catchUp;
    this.#isUsed = options.isUsed;
  }

  ids(): readonly string[] {
    return this.#own.ids();
  }

  async create(): Promise<string> {
    const prepared = await this.#own.prepare();
    await this.#give(prepared);
    this.#own.take(prepared);
    return prepared.id;
  }

  async remove(id: string): Promise<void> {
    const note = await this.#notes.read(KIND, id);
    if (note !== undefined) await this.#notes.keep({ ...note, kind: KIND, body: null });
    await this.#own.remove(id);
  }

  async wrap(...given: Parameters<KeyEncryption["wrap"]>): Promise<Uint8Array> {
    if (!this.ids().includes(given[0])) await this.follow();
    return this.#own.wrap(...given);
  }

  async unwrap(...given: Parameters<KeyEncryption["unwrap"]>): Promise<Uint8Array> {
    if (!this.ids().includes(given[0])) await this.follow();
    return this.#own.unwrap(...given);
  }

  /**
   * Takes in what others made, gives what only this server has, and lets go what was destroyed. Asked before anything is sealed, and
   * after: a key that was in use all the same is given again.
   *
   * @throws TrustWardenError `store_unavailable`, `seal_broken`.
   */
  follow(): Promise<void> {
    return this.#follow();
  }

  async #bringTogether(): Promise<void> {
    await this.#catchUp();
    const given = (await this.#notes.readAll(KIND)).map(parseNote);
    const ids = new Set(given.map(({ id }) => id));
    for (const key of given) if (!this.ids().includes(key.id)) this.#own.take(key);
    for (const id of this.ids().filter((one) => !ids.has(one))) {
      if (this.#isUsed(id) || id === this.ids().at(-1)) await this.#give(this.#own.sealedKey(id));
      else this.#own.forget(id);
    }
  }

  /** What is there already under its name is the same key. */
  async #give({ id, form, sealed }: SealedKey): Promise<void> {
    const body = `${form} ${encodeBase64url(sealed)}`;
    await this.#notes.keep({ kind: KIND, name: id, revision: 0, body });
  }
}

function parseNote({ name: id, body }: { readonly name: string; readonly body: string }): SealedKey {
  const [word = "", text = ""] = body.split(" ");
  const form = FORMS.find((known) => known === word);
  if (form === undefined) throw new TrustWardenError("seal_broken", { reason: "a note of no key" });
  return { id, form, sealed: parseBase64url(text) };
}
