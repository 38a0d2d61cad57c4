/**
 * What `append` returns for one entry: its place, and the log's signed promise of it.
 */
import type { Signer } from "../signer.ts";
import { type Acknowledgement, issueAcknowledgement } from "./acknowledgement.ts";
import type { Appended } from "./sequencer.ts";

/** An entry in its place. The promise is signed when it is first read: most entries are only ever counted. */
export class SequencedEntry implements Appended {
  readonly #promise: Acknowledgement;
  readonly #signer: Signer;
  #note: string | null = null;

  constructor(promise: Acknowledgement, signer: Signer) {
    this.#promise = promise;
    this.#signer = signer;
  }

  get index(): number {
    return this.#promise.index;
  }

  get leafHash(): Uint8Array {
    return this.#promise.leafHash;
  }

  get acknowledgement(): string {
    this.#note ??= issueAcknowledgement(this.#promise, this.#signer);
    return this.#note;
  }
}
