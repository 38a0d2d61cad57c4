/**
 * A document of somebody else's, fetched and kept for a while.
 *
 * It is fresh for ten minutes. Whoever misses something in it may have it asked for again, but not more often than twice a
 * minute, so that strangers with made-up names cannot make this server hammer its source. When the source cannot be
 * reached, the last document is used for an hour and then not at all: whoever withdraws something must be heard some day.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { unavailable } from "./refusal.ts";

const FRESH_SECONDS = 600;
const STALE_SECONDS = 3600;
const RETRY_SECONDS = 30;

/** Lives as long as whoever needs the document; owns it and when it was asked for. */
export class Refreshed<Document> {
  readonly #fetch: () => Promise<Document>;
  #kept: { readonly document: Document; readonly fetchedAt: number } | undefined;
  #attemptedAt: number | undefined;
  #running: Promise<void> | undefined;

  constructor(fetch: () => Promise<Document>) {
    this.#fetch = fetch;
  }

  /**
   * The document, asked for again when it is not fresh.
   *
   * @param nowSeconds - Unix seconds.
   * @throws TrustWardenError `attestation_unavailable` without any that may be used.
   */
  async get(nowSeconds: number): Promise<Document> {
    if (!this.#isYoungerThan(FRESH_SECONDS, nowSeconds)) await this.#tryRefresh(nowSeconds);
    return this.#usable(nowSeconds);
  }

  /** The document, asked for again also when it is fresh. @throws TrustWardenError `attestation_unavailable`. */
  async renew(nowSeconds: number): Promise<Document> {
    await this.#tryRefresh(nowSeconds);
    return this.#usable(nowSeconds);
  }

  /** The document, while it may be used. A clock that went back makes it old, never young. */
  #usable(nowSeconds: number): Document {
    if (this.#kept === undefined || !this.#isYoungerThan(STALE_SECONDS, nowSeconds)) {
      throw unavailable("the issuer's documents cannot be fetched");
    }
    return this.#kept.document;
  }

  #isYoungerThan(seconds: number, nowSeconds: number): boolean {
    const age = nowSeconds - (this.#kept?.fetchedAt ?? Number.NEGATIVE_INFINITY);
    return age >= 0 && age < seconds;
  }

  /** Asks, unless that was done a moment ago; joins a question that is under way. A failure leaves the document as it was. */
  async #tryRefresh(nowSeconds: number): Promise<void> {
    const since = nowSeconds - (this.#attemptedAt ?? Number.NEGATIVE_INFINITY);
    if (this.#running === undefined && since >= 0 && since < RETRY_SECONDS) return;
    if (this.#running === undefined) {
      this.#attemptedAt = nowSeconds;
      this.#running = this.#refresh(nowSeconds).finally(() => {
        this.#running = undefined;
      });
    }
    try {
      await this.#running;
    } catch (error) {
      // Whether the old document still serves is decided by its age, in `#usable`; nothing is allowed by this failure.
      if (!(error instanceof TrustWardenError)) throw error;
    }
  }

  async #refresh(nowSeconds: number): Promise<void> {
    this.#kept = { document: await this.#fetch(), fetchedAt: nowSeconds };
  }
}
