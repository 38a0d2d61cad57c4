/**
 * Hears of a stop while something runs: agents hold no lease, so they look at the revocation list for as long.
 *
 * One question a server, however many calls run; none while none does. A list that cannot be read stops nothing: the next
 * action is refused by whoever decides about it.
 */
import { parseCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parsePemBlocks } from "@trustwarden/core/pem.ts";
import type { Runtime } from "./runtime.ts";
import type { RawAnswer } from "./server-answer.ts";

/** With the answer's own time well below the second in which a stop is to be felt. */
const POLL_MS = 300;
/** All lists that say which SVIDs are revoked, PEM. */
export const REVOCATION_LISTS_PATH = "/v1/crl.pem";

/** A server as the watch sees it: its answer carries the list's `etag`. */
interface ListSource {
  readonly readPublic: (target: string, headers: Readonly<Record<string, string>>) => Promise<RawAnswer>;
  readonly runtime: Pick<Runtime, "notify">;
}

interface Watched {
  /** Serial number of the SVID at hand, hex. */
  readonly serialHex: () => string;
  readonly onStop: () => void;
}

/** Owns the one timer of a server, which runs while something is watched and does not keep the process alive. */
export class StopWatch {
  readonly #server: ListSource;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;
  #etag: string | undefined;
  #revoked: ReadonlySet<string> = new Set();

  constructor(server: ListSource) {
    this.#server = server;
  }

  /** Calls `onStop` once when the instance of this SVID is stopped. @returns ends the watch. */
  watch(serialHex: () => string, onStop: () => void): () => void {
    const watched = { serialHex, onStop };
    this.#watched.add(watched);
    if (this.#timer === undefined) this.#schedule();
    return () => void this.#watched.delete(watched);
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.#ask(), POLL_MS);
    this.#timer.unref();
  }

  async #ask(): Promise<void> {
    try {
      if (this.#watched.size > 0) await this.#look();
    } finally {
      this.#timer = undefined;
      if (this.#watched.size > 0) this.#schedule();
    }
  }

  async #look(): Promise<void> {
    try {
      await this.#read();
    } catch (error) {
      // Safe to go on: it is asked again, and a stopped agent is refused whatever it does next.
      if (!(error instanceof TrustWardenError)) throw error;
    }
    const stopped = [...this.#watched].filter(({ serialHex }) => this.#revoked.has(serialHex()));
    for (const watched of stopped) {
      this.#watched.delete(watched);
      this.#tell(watched);
    }
  }

  /** Never throws: a listener that fails keeps no other from hearing. */
  #tell({ onStop }: Watched): void {
    try {
      onStop();
    } catch (error) {
      const details = { reason: error instanceof Error ? error.name : "unknown" };
      this.#server.runtime.notify({ code: "internal", what: "A listener for a stop failed.", details });
    }
  }

  async #read(): Promise<void> {
    const known = this.#etag === undefined ? {} : { "if-none-match": this.#etag };
    const { status, body, etag } = await this.#server.readPublic(REVOCATION_LISTS_PATH, known);
    if (status !== 200) return;
    const lists = parsePemBlocks("X509 CRL", parseUtf8(body)).map(parseCertificateRevocationList);
    this.#revoked = new Set(lists.flatMap(({ revoked }) => revoked.map(({ serialHex }) => serialHex)));
    this.#etag = etag;
  }
}
