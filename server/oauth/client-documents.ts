/**
 * Fetches the documents of clients that are named by a URL (CIMD): from origins that the operator names, or from any
 * public one, and never for somebody who has not proven an SVID before.
 *
 * The address that the name leads to is checked and then connected to (`attest/safe-fetch.ts`); redirects are not
 * followed; a document is kept for five minutes, a failure never.
 *
 * @see draft-ietf-oauth-client-id-metadata-document-02 §5, §8; ATTACKS.md B12
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import {
  type ClientDocument,
  parseClientDocument,
  parseClientDocumentUrl,
} from "@trustwarden/core/client-document.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { SafeFetch } from "../attest/safe-fetch.ts";
import type { OpenFetch } from "../attest/token-source.ts";
import type { ClientDocumentsConfig } from "./config.ts";

const MAX_BYTES = 8192;
const KEPT_SECONDS = 300;
const MAX_KEPT = 256;
/** Agents choose these addresses, and each fetch is a call of ours to a place of theirs. */
const MAX_FETCHES_A_MINUTE = 60;

interface Kept {
  readonly document: ClientDocument;
  /** Unix seconds. */
  readonly fetchedAt: number;
}

/** Owns the documents that were read lately. */
export class ClientDocuments {
  readonly #origins: ReadonlyMap<string, SafeFetch>;
  readonly #openPublic: OpenFetch | null;
  readonly #kept = new Map<string, Kept>();
  #minute = { startedAt: 0, fetches: 0 };

  constructor({ origins, anyPublic }: ClientDocumentsConfig, openFetch: OpenFetch) {
    this.#origins = new Map(origins.map((origin) => [new URL(origin.url).origin, openFetch(origin)]));
    this.#openPublic = anyPublic ? openFetch : null;
  }

  /** Whether any are read. */
  get isServed(): boolean {
    return this.#origins.size > 0 || this.#openPublic !== null;
  }

  /**
   * The document at a URL.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError `client_document_refused`, or `rate_limited`.
   */
  async find(text: string, now: number): Promise<ClientDocument> {
    const { origin } = parseClientDocumentUrl(text);
    const kept = this.#kept.get(text);
    const age = now - (kept?.fetchedAt ?? Number.NEGATIVE_INFINITY);
    if (kept !== undefined && age >= 0 && age < KEPT_SECONDS) return kept.document;
    const fetch = this.#origins.get(origin) ?? this.#openPublic?.({ url: text, allowPrivate: false });
    if (fetch === undefined) throw refused("an origin that is not configured");
    this.#count(now);
    const document = await read(fetch, text);
    this.#keep(text, { document, fetchedAt: now });
    return document;
  }

  #count(now: number): void {
    const age = now - this.#minute.startedAt;
    if (age < 0 || age >= 60) this.#minute = { startedAt: now, fetches: 0 };
    if (this.#minute.fetches >= MAX_FETCHES_A_MINUTE) throw new TrustWardenError("rate_limited");
    this.#minute.fetches += 1;
  }

  /** The map is in order of fetching; the oldest goes. */
  #keep(text: string, kept: Kept): void {
    this.#kept.delete(text);
    this.#kept.set(text, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
  }
}

async function read(fetch: SafeFetch, url: string): Promise<ClientDocument> {
  try {
    const { status, body } = await fetch({
      url,
      maxBytes: MAX_BYTES,
      headers: { accept: "application/json" },
    });
    if (status !== 200) throw refused("another status than 200");
    return parseClientDocument(parseJsonObject(parseUtf8(body)), url);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code === "client_document_refused") throw cause;
    // Where the name led to, or what was answered, is of no concern to who asked.
    throw refused(String(cause.details.reason ?? cause.code), cause);
  }
}

function refused(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("client_document_refused", { reason }, { cause });
}
