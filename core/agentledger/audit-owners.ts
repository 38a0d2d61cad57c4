/**
 * Whose keys sign for an owner, as the log tells it: a file's key, or the passkeys of the person who it is.
 *
 * An event of an owner or of a person carries the key, and for a passkey its credential and the host that it is bound to.
 * Order is everything: what a recovery ended signs nothing that comes later in the log.
 */
import { encodeBase64url, parseBase64 } from "../bytes.ts";
import { type PublicKey, parseP256PublicKey, sha256 } from "../crypto.ts";
import type { UnverifiedEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { JsonObject } from "../json.ts";
import type { OwnerKey, Passkey } from "../passkey.ts";

/** Changes of a person after which none of its passkeys of before counts. */
const ENDINGS: readonly unknown[] = ["recover", "end"];

/** Owns the keys of owners in one log; lives for one audit. */
export class OwnerKeys {
  readonly #ofFile = new Map<string, PublicKey>();
  /** By owner, by the `keyid` of what they sign. */
  readonly #passkeys = new Map<string, Map<string, Passkey & { readonly credential: string }>>();

  /** Takes an allowed event of an owner or person; call in the order of the log. @throws TrustWardenError `record_malformed`. */
  add({ kind, subject, details, chain }: ControlRecord): void {
    if (kind === "owner" && subject !== null) {
      if (this.#ofFile.has(subject) || this.#passkeys.has(subject))
        throw invalid("an owner registered twice");
      if (details.credential_id === undefined) this.#ofFile.set(subject, keyOf(details).publicKey);
      else this.#addPasskey(subject, details);
    } else if (kind === "person") {
      const owner = chain[0]?.replace(/^owner:/, "");
      if (owner !== undefined) this.#change(owner, details);
    }
  }

  /**
   * The key that must have signed a document for it to be the owner's.
   *
   * @throws TrustWardenError `record_malformed` when the log knows of none.
   */
  keyFor(owner: unknown, envelope: UnverifiedEnvelope): OwnerKey {
    if (envelope.assertion === null) return this.keyOfFile(owner);
    const key = this.#passkeys.get(String(owner))?.get(envelope.unverifiedKeyid);
    if (key === undefined) throw invalid("a document by a passkey that was not the owner's");
    return key;
  }

  /** Of documents that no passkey signs. @throws TrustWardenError `record_malformed`. */
  keyOfFile(owner: unknown): PublicKey {
    const key = this.#ofFile.get(String(owner));
    if (key === undefined) throw invalid("a document of an owner whom nobody registered");
    return key;
  }

  #change(owner: string, details: JsonObject): void {
    if (ENDINGS.includes(details.change)) this.#passkeys.get(owner)?.clear();
    if (details.spki !== undefined) this.#addPasskey(owner, details);
    else if (details.credential_id !== undefined) this.#removePasskey(owner, details.credential_id);
  }

  #addPasskey(owner: string, details: JsonObject): void {
    const { publicKey, keyid } = keyOf(details);
    const { rp_id: rpId, credential_id: credential } = details;
    const known = this.#passkeys.get(owner) ?? new Map();
    this.#passkeys.set(owner, known);
    const place = { rpId: typeof rpId === "string" ? rpId : null, origin: null };
    known.set(keyid, { publicKey, ...place, credential: String(credential) });
  }

  #removePasskey(owner: string, credential: unknown): void {
    const known = this.#passkeys.get(owner) ?? new Map();
    for (const [keyid, passkey] of known) if (passkey.credential === credential) known.delete(keyid);
  }
}

function keyOf({ spki }: JsonObject): { readonly publicKey: PublicKey; readonly keyid: string } {
  if (typeof spki !== "string") throw invalid("an owner without a key");
  const bytes = parseBase64(spki);
  return { publicKey: parseP256PublicKey(bytes), keyid: encodeBase64url(sha256(bytes)) };
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
