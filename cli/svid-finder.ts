/**
 * Finds the SVID that signed a record among the ledger's own issue, renew and start events, and proves it against the
 * trust bundle as of the record's time.
 *
 * The event that carries a certificate needs no proof of its own here: the certificate chain is the proof.
 */
import { parseSpiffeId, type TrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { eventAnswer, eventPage } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url, parseBase64 } from "@trustwarden/core/bytes.ts";
import { sha256 as digestOf, type PublicKey } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";
import { type Client, formatTarget } from "./client.ts";

/** An instance renews every half hour for at most its lifetime; a page holds 500 events. */
const MAX_PAGES = 20;

/** An SVID whose chain is proven. */
export interface ProvenSvid {
  readonly spiffeId: string;
  readonly sha256: string;
  readonly publicKey: PublicKey;
}

/** Which SVID is wanted, and who probably holds it. */
export interface SvidQuestion {
  /** base64url SHA-256 of the leaf. */
  readonly sha256: string;
  /** SPIFFE IDs to look under first; empty for the server's own. */
  readonly hints: readonly string[];
  /** Unix seconds at which it must have been valid. */
  readonly at: number;
}

/** Owns a cache of the chains seen; lives for one command. */
export class SvidFinder {
  readonly #client: Client;
  readonly #bundles: ReadonlyMap<TrustDomain, TrustBundle>;
  readonly #serverId: string;
  /** Unverified chains by the digest of their leaf. */
  readonly #chains = new Map<string, readonly Uint8Array[]>();
  readonly #looked = new Set<string>();

  /**
   * @param options.bundles - of our trust domain, and of the federated ones whose agents act here.
   * @param options.serverId - SPIFFE ID of the server; it keeps it over restarts.
   */
  constructor(options: {
    readonly client: Client;
    readonly bundles: ReadonlyMap<TrustDomain, TrustBundle>;
    readonly serverId: string;
  }) {
    this.#client = options.client;
    this.#bundles = options.bundles;
    this.#serverId = options.serverId;
  }

  /** Our trust domain: only its servers speak for this deployment. */
  get trustDomain(): TrustDomain {
    return trustDomainOf(parseSpiffeId(this.#serverId));
  }

  /**
   * @throws TrustWardenError `svid_untrusted` when the ledger does not hold it or its chain does not verify, and the
   *   other `svid_` codes.
   */
  async find({ sha256, hints, at }: SvidQuestion): Promise<ProvenSvid> {
    const searches = [
      ...hints.flatMap((agent) => ["issue", "renew"].map((kind) => ({ kind, agent }))),
      { kind: "start", agent: undefined },
      { kind: "renew", agent: this.#serverId },
    ];
    for (const search of searches) {
      if (this.#chains.has(sha256)) break;
      await this.#collect(search, sha256);
    }
    const chain = this.#chains.get(sha256);
    if (chain === undefined)
      throw new TrustWardenError("svid_untrusted", {
        why: "the ledger does not hold the signer's SVID",
        sha256,
      });
    const { id, leaf } = verifyX509Svid(chain, this.#bundles, at);
    return { spiffeId: id, sha256: leaf.sha256, publicKey: leaf.publicKey };
  }

  /** Reads the events of one search until the wanted SVID is found. */
  async #collect(
    search: { readonly kind: string; readonly agent: string | undefined },
    wanted: string,
  ): Promise<void> {
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const target = formatTarget("/v1/events", { ...search, cursor, limit: 500 });
      const { events, next_cursor } = await this.#client.get(target, eventPage);
      for (const { event_id } of events) {
        await this.#read(event_id);
        if (this.#chains.has(wanted)) return;
      }
      if (next_cursor === null) return;
      cursor = next_cursor;
    }
  }

  async #read(eventId: string): Promise<void> {
    if (this.#looked.has(eventId)) return;
    this.#looked.add(eventId);
    const { records } = await this.#client.get(`/v1/events/${encodeURIComponent(eventId)}`, eventAnswer);
    for (const { entry } of records) {
      const chain = parseChain(entry);
      const leaf = chain[0];
      if (leaf !== undefined) this.#chains.set(encodeBase64url(digestOf(leaf)), chain);
    }
  }
}

/** The certificates that a control record embeds; empty for any other record. */
function parseChain(entry: string): readonly Uint8Array[] {
  const envelope = parseEnvelope(entry);
  if (envelope.payloadType !== payloadTypeOf("control")) return [];
  const { details } = parseUnverifiedPayload(envelope);
  const chain = isJsonObject(details) ? membersOf(details) : [];
  return chain.map(parseBase64);
}

function membersOf(details: JsonObject): readonly string[] {
  const { svid_chain: chain } = details;
  return Array.isArray(chain) ? chain.filter((item) => typeof item === "string") : [];
}
