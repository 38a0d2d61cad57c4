/**
 * Searches text that arrives in pieces inside of something else: the words of a model's answer, cut over events whose
 * bytes never hold the string that a reader puts together.
 *
 * A canary ends the answer when it is complete, like one in the bytes. So does a secret: what a piece holds of it cannot
 * be masked where its beginning has gone out, so pieces wait while what came last may be the beginning of one.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { CanaryStream, EchoRedactor } from "../broker/ports.ts";

/** Places that are continued at the same time; each has its own state of the search. */
const MAX_CHANNELS = 256;
/** A shorter beginning gives nothing of a secret away, and would hold up ordinary words. */
const MIN_BEGINNING_BYTES = 4;

/** What looks through the pieces of one answer. */
export interface TextSearch {
  readonly canaries: () => CanaryStream;
  /** Undefined without a secret. */
  readonly redactor: () => EchoRedactor | undefined;
  /** Throws when there are names. */
  readonly refuse: (names: readonly string[]) => Promise<void>;
}

interface Channel {
  readonly canaries: CanaryStream;
  readonly redactor: EchoRedactor | undefined;
  heldBytes: number;
}

/** Owns the state of each place. */
export class WatchedText {
  readonly #search: TextSearch;
  readonly #channels = new Map<string, Channel>();

  constructor(search: TextSearch) {
    this.#search = search;
  }

  /** Whether nothing that was pushed may be the beginning of a secret: what holds it may go on. */
  get isSettled(): boolean {
    return this.#channels.values().every(({ heldBytes }) => heldBytes < MIN_BEGINNING_BYTES);
  }

  /** @throws TrustWardenError `canary_found`, `upstream_answer_refused` for a secret in parts, or too many places. */
  async push(name: string, text: string): Promise<void> {
    const channel = this.#channels.get(name) ?? this.#open(name);
    const bytes = encodeUtf8(text);
    await this.#search.refuse(channel.canaries.push(bytes));
    if (channel.redactor === undefined) return;
    channel.heldBytes += bytes.length - channel.redactor.push(bytes).length;
    if (channel.redactor.echoes > 0) refused("a secret in parts");
  }

  #open(name: string): Channel {
    if (this.#channels.size >= MAX_CHANNELS) refused("too many places are written to at once");
    const { canaries, redactor } = this.#search;
    const channel = { canaries: canaries(), redactor: redactor(), heldBytes: 0 };
    this.#channels.set(name, channel);
    return channel;
  }
}

function refused(reason: string): never {
  throw new TrustWardenError("upstream_answer_refused", { reason });
}
