/**
 * The live identities of this process, by SPIFFE ID.
 *
 * `AgentIdentity.create({ parent: orchestrator.id })` names a parent by text. A text proves nothing, so it counts only
 * for an identity whose key is in this very process; this list is how it is found, and the one thing the SDK keeps
 * outside an object. It holds capabilities and is exported to nobody outside the package.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Something that lives under an id for a time. */
interface Live {
  readonly id: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Identities of one process; ids are unique by their instance part. */
export class LiveIdentities<T extends Live> {
  readonly #byId = new Map<string, T>();

  /** Also lets go of those that ended without being closed. @param now - Unix seconds. */
  add(identity: T, now: number): void {
    for (const [id, { expiresAt }] of this.#byId) {
      if (now >= expiresAt) this.#byId.delete(id);
    }
    this.#byId.set(identity.id, identity);
  }

  remove(identity: T): void {
    this.#byId.delete(identity.id);
  }

  /**
   * A live identity by its id, or itself.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError `parent_proof_missing` unless it is alive in this process.
   */
  get(identity: string | T, now: number): T {
    const id = typeof identity === "string" ? identity : identity.id;
    const found = this.#byId.get(id);
    if (found === undefined || now >= found.expiresAt) {
      throw new TrustWardenError("parent_proof_missing", { parent: id.slice(0, 256) });
    }
    return found;
  }
}
