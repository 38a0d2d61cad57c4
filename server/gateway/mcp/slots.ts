/**
 * Who holds how many of something that the machine has few of: processes of stdio servers, sessions.
 *
 * Nobody can take all: an instance has a limit of its own, and an owner may hold as many as are still free. One owner
 * alone gets half of them, two get a third each, and whoever has none finds one free however greedy the others are,
 * without anything being taken away from anybody.
 *
 * @see Choudhury and Hahne, dynamic queue length thresholds, for the rule of the free rest
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** For whom a slot is held. */
export interface SlotHolder {
  readonly instanceId: string;
  readonly ownerId: string;
}

/** Owns the counts; every slot that was taken is given back once. */
export class Slots {
  readonly #total: number;
  readonly #perInstance: number;
  readonly #owners = new Map<string, number>();
  readonly #instances = new Map<string, number>();
  #taken = 0;

  constructor(limits: { readonly total: number; readonly perInstance: number }) {
    this.#total = limits.total;
    this.#perInstance = limits.perInstance;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes a slot.
   *
   * @returns what gives it back; a second call of it does nothing.
   * @throws TrustWardenError `mcp_slots_exhausted`.
   */
  take({ instanceId, ownerId }: SlotHolder): () => void {
    const ofInstance = this.#instances.get(instanceId) ?? 0;
    const ofOwner = this.#owners.get(ownerId) ?? 0;
    if (ofInstance >= this.#perInstance) throw exhausted("instance", this.#perInstance);
    if (ofOwner >= this.#total - this.#taken) throw exhausted("owner", ofOwner);
    this.#instances.set(instanceId, ofInstance + 1);
    this.#owners.set(ownerId, ofOwner + 1);
    this.#taken += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#taken -= 1;
      lessen(this.#instances, instanceId);
      lessen(this.#owners, ownerId);
    };
  }
}

function lessen(counts: Map<string, number>, key: string): void {
  const left = (counts.get(key) ?? 0) - 1;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}

function exhausted(of: "instance" | "owner", limit: number): TrustWardenError {
  return new TrustWardenError("mcp_slots_exhausted", { of, limit });
}
