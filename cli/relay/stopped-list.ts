/**
 * Whom a relay may not serve although it never heard of their stop: read from the server's revocation lists, since what
 * happened before a relay started, or while it heard nothing, came to it by no push.
 *
 * A list counts for the epoch that was known when it was asked for: what is on it when a stop is answered stays there for as
 * long as the certificate. Until the list of an epoch is here, whoever comes is turned away; that fails closed.
 */
import { setTimeout } from "node:timers/promises";
import { parseCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parsePemBlocks } from "@trustwarden/core/pem.ts";
import { type RawAnswer, REVOCATION_LISTS_PATH } from "trustwarden/peer.ts";

/** Between two tries at a server that does not answer. */
const RETRY_MS = 500;

/** The server, over connections that prove it. */
interface ListSource {
  readonly readPublic: (target: string, headers: Readonly<Record<string, string>>) => Promise<RawAnswer>;
}

/**
 * Owns the list. Between calls: `#heldEpoch` is an epoch whose stops, and those of every one before, are in `#revoked` or
 * end with their certificates.
 */
export class StoppedList {
  readonly #server: ListSource;
  readonly #retryMs: number;
  #revoked: ReadonlySet<string> = new Set();
  #etag: string | undefined;
  #heldEpoch = -1;
  #wantedEpoch = -1;
  #reading: Promise<void> | undefined;
  #isClosed = false;
  /** Whoever waits for the list of an epoch; none of them is held yet. */
  readonly #waiting = new Set<{ readonly epoch: number; readonly resolve: () => void }>();

  constructor(server: ListSource, options: { readonly retryMs?: number } = {}) {
    this.#server = server;
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  /** Whether every stop up to an epoch that was asked for is known. */
  get isCurrent(): boolean {
    return this.#wantedEpoch >= 0 && this.#heldEpoch >= this.#wantedEpoch;
  }

  /** Whether this certificate is on the list. @param serialHex - as certificates have it. */
  has(serialHex: string): boolean {
    return this.#revoked.has(serialHex);
  }

  /** Has the list read until it is one of this epoch or later; one reading at a time. */
  want(epoch: number): void {
    this.#wantedEpoch = Math.max(this.#wantedEpoch, epoch);
    this.#reading ??= this.#readOn().finally(() => {
      this.#reading = undefined;
    });
  }

  /** Resolves when every stop up to what is wanted now is known; after `close` it may never. */
  whenCurrent(): Promise<void> {
    if (this.isCurrent) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add({ epoch: this.#wantedEpoch, resolve });
    return promise;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #readOn(): Promise<void> {
    while (!this.#isClosed && this.#heldEpoch < this.#wantedEpoch) {
      // Of now: what is wanted later, while the answer is on its way, is asked for again.
      const epoch = this.#wantedEpoch;
      if (await this.#tryRead()) this.#hold(epoch);
      else await setTimeout(this.#retryMs, undefined, { ref: false });
    }
  }

  #hold(epoch: number): void {
    this.#heldEpoch = epoch;
    for (const one of this.#waiting) {
      if (one.epoch > epoch) continue;
      this.#waiting.delete(one);
      one.resolve();
    }
  }

  async #tryRead(): Promise<boolean> {
    try {
      return await this.#read();
    } catch (error) {
      // Safe to go on: nobody new is served before it is read.
      if (error instanceof TrustWardenError) return false;
      throw error;
    }
  }

  async #read(): Promise<boolean> {
    const known = this.#etag === undefined ? {} : { "if-none-match": this.#etag };
    const { status, body, etag } = await this.#server.readPublic(REVOCATION_LISTS_PATH, known);
    if (status === 304) return true;
    if (status !== 200) return false;
    const lists = parsePemBlocks("X509 CRL", parseUtf8(body)).map(parseCertificateRevocationList);
    if (lists.length === 0) throw new TrustWardenError("crl_malformed", { reason: "no list" });
    this.#revoked = new Set(lists.flatMap(({ revoked }) => revoked.map(({ serialHex }) => serialHex)));
    this.#etag = etag;
    return true;
  }
}
