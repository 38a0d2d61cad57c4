/**
 * Whose keys sign for an owner, as the log tells it: a file's key, or the passkeys of the person who it is.
 *
 * An event of an owner carries a file's key, or the first passkey of the person who it is; those of that person follow.
 */
import type { PublicKey } from "../crypto.ts";
import type { UnverifiedEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { OwnerKey } from "../passkey.ts";
import { KnownPasskeys, readLoggedKey } from "./audit-passkeys.ts";

/** Owns the keys of owners in one log; lives for one audit. */
export class OwnerKeys {
  readonly #ofFile = new Map<string, PublicKey>();
  readonly #passkeys = new KnownPasskeys();

  /** Takes an allowed event of an owner or person; call in the order of the log. @throws TrustWardenError `record_malformed`. */
  add({ kind, subject, details, chain }: ControlRecord): void {
    if (kind === "owner" && subject !== null) {
      if (this.#ofFile.has(subject) || this.#passkeys.has(subject))
        throw invalid("an owner registered twice");
      const { publicKey } = readLoggedKey(details);
      if (details.credential_id === undefined) this.#ofFile.set(subject, publicKey);
      else this.#passkeys.follow(subject, details);
    } else if (kind === "person") {
      const owner = chain[0]?.replace(/^owner:/, "");
      if (owner !== undefined) this.#passkeys.follow(owner, details);
    }
  }

  /**
   * The key that must have signed a document for it to be the owner's.
   *
   * @throws TrustWardenError `record_malformed` when the log knows of none.
   */
  keyFor(owner: unknown, envelope: UnverifiedEnvelope): OwnerKey {
    if (envelope.assertion === null) return this.keyOfFile(owner);
    const key = this.#passkeys.findByKeyid(String(owner), envelope.unverifiedKeyid);
    if (key === undefined) throw invalid("a document by a passkey that was not the owner's");
    return key;
  }

  /** Of documents that no passkey signs. @throws TrustWardenError `record_malformed`. */
  keyOfFile(owner: unknown): PublicKey {
    const key = this.#ofFile.get(String(owner));
    if (key === undefined) throw invalid("a document of an owner whom nobody registered");
    return key;
  }
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
