/**
 * What `append` returns for one entry: its place, and the log's signed promise of it.
 */
import { type Acknowledgement, issueAcknowledgementAs } from "./acknowledgement.ts";
import type { Appended } from "./sequencer.ts";
import type { NoteSigner } from "./signed-note.ts";

/** An entry in its place. The promise is signed when it is first read: most entries are only ever counted. */
export class SequencedEntry implements Appended {
  readonly #promise: Acknowledgement;
  readonly #signer: NoteSigner;
  #note: string | null = null;

  constructor(promise: Acknowledgement, signer: NoteSigner) {
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
    this.#note ??= issueAcknowledgementAs(this.#promise, this.#signer);
    return this.#note;
  }
}
