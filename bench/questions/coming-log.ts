/** A log behind whose made-up entries signed ones come in while somebody asks. */
import type { EntrySource, QueryIndex } from "@trustwarden/core/agentledger/query-index.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { createDomain } from "../domain.ts";
import { RecordWriter } from "../records.ts";

/** Owns the entries that come in: intents and decisions, in turns, signed before anything is measured. */
export class ComingLog implements EntrySource {
  readonly #before: number;
  readonly #last: Uint8Array;
  readonly #entries: Uint8Array[] = [];
  #come = 0;

  /**
   * @param options.size - entries of before.
   * @param options.last - what each of them is read as.
   * @param options.count - entries that may come in.
   */
  constructor(options: { readonly size: number; readonly last: Uint8Array; readonly count: number }) {
    this.#before = options.size;
    this.#last = options.last;
    const writer = new RecordWriter(createDomain());
    while (this.#entries.length < options.count) {
      const intent = writer.nextIntent();
      this.#entries.push(encodeUtf8(intent.envelope), writer.decide(intent));
    }
  }

  get size(): number {
    return this.#before + this.#come;
  }

  async readEntry(index: number): Promise<Uint8Array> {
    return this.#entries[index - this.#before] ?? this.#last;
  }

  /** Lets the next entries come in. */
  comeIn(index: Pick<QueryIndex, "observe">, count: number): void {
    for (let left = count; left > 0; left -= 1) {
      const entry = this.#entries[this.#come];
      if (entry === undefined) throw new Error("so many entries were not signed");
      index.observe(this.size, entry);
      this.#come += 1;
    }
  }
}
