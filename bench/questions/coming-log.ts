/** A log behind whose made-up entries signed ones come in, so many a second, while somebody asks. */
import type { EntrySource, QueryIndex } from "@trustwarden/core/agentledger/query-index.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { createDomain } from "../domain.ts";
import { RecordWriter } from "../records.ts";

const TICK_MS = 20;
/** Signed beforehand, since signing takes the processor from what is measured. */
const READY_SECONDS = 60;

/** Owns what came in. */
export class ComingLog implements EntrySource {
  readonly #before: number;
  readonly #last: Uint8Array;
  readonly #perSecond: number;
  readonly #writer = new RecordWriter(createDomain());
  readonly #entries: Uint8Array[] = [];
  #come = 0;

  /** @param options.last - what every entry of before is read as. */
  constructor(options: { readonly size: number; readonly last: Uint8Array; readonly perSecond: number }) {
    this.#before = options.size;
    this.#last = options.last;
    this.#perSecond = options.perSecond;
    this.#sign(options.perSecond * READY_SECONDS);
  }

  get size(): number {
    return this.#before + this.#come;
  }

  async readEntry(index: number): Promise<Uint8Array> {
    return this.#entries[index - this.#before] ?? this.#last;
  }

  /** Lets entries come in. @returns ends it. */
  begin(index: Pick<QueryIndex, "observe">): () => void {
    const startedMs = performance.now();
    const timer = setInterval(() => {
      const due = Math.floor(((performance.now() - startedMs) * this.#perSecond) / 1000);
      this.#sign(due);
      for (; this.#come < due; this.#come += 1) {
        const entry = this.#entries[this.#come];
        if (entry !== undefined) index.observe(this.size, entry);
      }
    }, TICK_MS);
    return () => clearInterval(timer);
  }

  /** Intents and decisions, in turns. */
  #sign(count: number): void {
    while (this.#entries.length < count) {
      const intent = this.#writer.nextIntent();
      this.#entries.push(encodeUtf8(intent.envelope), this.#writer.decide(intent));
    }
  }
}
