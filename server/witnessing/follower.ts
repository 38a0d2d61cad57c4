/**
 * One witness's way after the log: what it is thought to know, what it is sent next, and when.
 *
 * A witness that fails is asked again later and later; one that is slow is not asked twice at once. Neither holds up
 * the others.
 */
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { requireContinued, type WitnessedLogSource } from "./own-history.ts";
import { requireOwnLine, type WitnessClient } from "./witness-client.ts";

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** A published checkpoint to be cosigned. */
export interface PublishedHead {
  readonly note: string;
  readonly size: number;
}

/** Owns what is thought of one witness. */
export class WitnessFollower {
  readonly name: string;
  readonly #client: WitnessClient;
  readonly #log: WitnessedLogSource;
  /** Size of the checkpoint that it cosigned last, as far as known. */
  #known = 0;
  #cosigned: string | null = null;
  #isBusy = false;
  #failures = 0;
  #retryAtMs = 0;

  constructor(client: WitnessClient, log: WitnessedLogSource) {
    this.name = client.witness.name;
    this.#client = client;
    this.#log = log;
  }

  /** Whether it should be sent this checkpoint now. @param monoMs - monotonic milliseconds. */
  isDue(note: string, monoMs: number): boolean {
    return !this.#isBusy && this.#cosigned !== note && monoMs >= this.#retryAtMs;
  }

  /**
   * Has it cosign a checkpoint; the lines to add, or null when it knows a newer one of ours already.
   *
   * @throws TrustWardenError `data_rolled_back` when it proves to have seen what this log does not hold;
   *   `witnesses_unreachable` or `checkpoint_untrusted` for an attempt that failed: it is due again later.
   */
  async cosign(head: PublishedHead, monoMs: number): Promise<string | null> {
    this.#isBusy = true;
    try {
      const lines = await this.#ask(head);
      this.#failures = 0;
      this.#cosigned = head.note;
      return lines;
    } catch (error) {
      this.#failures += 1;
      this.#retryAtMs = monoMs + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
      throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  async #ask({ note, size }: PublishedHead): Promise<string | null> {
    // Twice: the first answer may only be that it knows another checkpoint than was thought.
    for (let attempt = 0; attempt < 2 && this.#known <= size; attempt += 1) {
      const oldSize = this.#known;
      const proof = oldSize === 0 ? [] : await this.#log.proveConsistency(oldSize, size);
      const answer = await this.#client.submit({ oldSize, proof, checkpoint: note });
      if (answer.kind === "cosigned") {
        const lines = requireOwnLine(this.#client.witness, { note, answered: answer.lines });
        this.#known = size;
        return lines;
      }
      if (answer.kind === "refused") return this.#dispute(answer.status);
      this.#known = await this.#believe(answer.size);
    }
    if (this.#known > size) return null;
    // It named one size, was proven to from there, and named another: that is no answer.
    throw new TrustWardenError("witnesses_unreachable", { witness: this.name, status: 409 });
  }

  /** The size that it says it knows; one beyond the log has to be proven by a note. */
  async #believe(size: number): Promise<number> {
    if (size <= verifyCheckpoint(this.#log.checkpoint(), this.#log.vkey).size) return size;
    return this.#dispute(409);
  }

  /** A refusal that should not be: if it can show why, this log is not what was signed. */
  async #dispute(status: number): Promise<never> {
    this.#known = 0;
    const { name } = this;
    const { origin } = verifyCheckpoint(this.#log.checkpoint(), this.#log.vkey);
    const note = await this.#client.readLatest(origin);
    if (note !== null) await requireContinued(this.#log, { note, witness: name });
    throw new TrustWardenError("witnesses_unreachable", { witness: name, status });
  }
}
