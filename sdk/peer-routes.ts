/**
 * The route tables of the services that an agent visits, read once per origin.
 *
 * The document is believed only from a peer whose own SVID is a verifier of the agent's trust domain, and only about
 * that very peer; from then on connections to this origin are accepted from that id alone.
 */
import { parseSpiffeId, pathOf, type SpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  parseRoutesDocument,
  ROUTES_PATH,
  type RoutesDocument,
  type RouteTable,
} from "@trustwarden/core/route-table.ts";
import { openHttps, readBody } from "./https-request.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { createPeerCheckedAgent, peerChainOfMessage } from "./tls.ts";
import type { TrustServer } from "./trust-server.ts";

const MAX_DOCUMENT_BYTES = 262_144;
const MAX_ORIGINS = 64;
const TIMEOUT_MS = 10_000;

/** A service that proved to be a verifier of our trust domain. */
export interface PeerRoutes {
  readonly verifier: SpiffeId;
  readonly table: RouteTable;
}

/** Remembers the tables; one a process and server. */
export class PeerRoutesCache {
  readonly #server: TrustServer;
  readonly #runtime: Runtime;
  /** By origin, oldest first. A failed read is not kept. */
  readonly #known = new Map<string, Promise<PeerRoutes>>();

  constructor(options: { readonly server: TrustServer; readonly runtime: Runtime }) {
    this.#server = options.server;
    this.#runtime = options.runtime;
  }

  /**
   * The table of an origin.
   *
   * @throws TrustWardenError `peer_untrusted`, `server_unreachable`.
   */
  async get(origin: URL): Promise<PeerRoutes> {
    const known = this.#known.get(origin.origin) ?? this.#remember(origin);
    try {
      return await known;
    } catch (error) {
      this.forget(origin);
      throw error;
    }
  }

  /** Forgets an origin, so that the next visit reads its table again: the service has a new identity. */
  forget(origin: URL): void {
    this.#known.delete(origin.origin);
  }

  #remember(origin: URL): Promise<PeerRoutes> {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_ORIGINS && oldest !== undefined) this.#known.delete(oldest);
    const reading = this.#read(origin);
    this.#known.set(origin.origin, reading);
    return reading;
  }

  async #read(origin: URL): Promise<PeerRoutes> {
    const agent = createPeerCheckedAgent({
      bundle: () => this.#server.bundle,
      acceptPeer: (id) => this.#isVerifier(id),
      runtime: this.#runtime,
    });
    try {
      const call = { agent, origin, method: "GET", target: ROUTES_PATH, headers: {}, timeoutMs: TIMEOUT_MS };
      const message = await openHttps(call);
      const chain = peerChainOfMessage(message);
      const { id } = verifyX509Svid(chain, this.#server.bundles, nowSeconds(this.#runtime));
      const body = await readBody(message, { maxBytes: MAX_DOCUMENT_BYTES, timeoutMs: TIMEOUT_MS });
      if (message.statusCode !== 200) throw new TrustWardenError("route_unknown", { origin: origin.origin });
      return requireAbout(id, parseRoutesDocument(parseUtf8(body)));
    } finally {
      agent.destroy();
    }
  }

  #isVerifier(id: SpiffeId): boolean {
    return trustDomainOf(id) === this.#server.trustDomain && pathOf(id).startsWith("/trustwarden/verifier/");
  }
}

/** The name in a verifier's id, `/trustwarden/verifier/<name>/inst-<id>`. */
export function verifierNameOf(id: SpiffeId): string | undefined {
  return pathOf(id).split("/")[3];
}

function requireAbout(peer: SpiffeId, { verifier, table }: RoutesDocument): PeerRoutes {
  if (parseSpiffeId(verifier) !== peer) {
    throw new TrustWardenError("peer_untrusted", { reason: "routes of another service", peer });
  }
  return { verifier: peer, table };
}
