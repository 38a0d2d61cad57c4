/**
 * Where a lease is asked for: at the server's stop listener, or at relays, one after the other.
 *
 * A relay is known by its SVID, as the server is, and one that was stopped is not gone back to. With relays the server
 * itself is never asked: ten thousand verifiers that lost their relays would be too many for it.
 *
 * @see docs/guides/relays.md
 */
import type { TLSSocket } from "node:tls";
import {
  instanceIdOf,
  pathOf,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { parseOrigin } from "./first-contact.ts";
import type { Runtime } from "./runtime.ts";
import { connectToPeer, type PeerCheck } from "./tls.ts";

/** Where relays have their identities. */
const RELAYS = "/trustwarden/relay/";
/** A deployment has a handful. */
const MAX_RELAYS = 64;

/** Whether an id is that of a relay of this trust domain. */
export function isRelayId(id: SpiffeId, trustDomain: TrustDomain): boolean {
  return trustDomainOf(id) === trustDomain && pathOf(id).startsWith(RELAYS);
}

/**
 * Refuses relays that could not be used, before a ticket is spent on a verifier that would follow them.
 *
 * @throws TrustWardenError `config_invalid` for more than 64, `server_untrusted` for an origin that is none.
 */
export function requireRelays(relays: readonly string[]): void {
  if (relays.length > MAX_RELAYS)
    throw new TrustWardenError("config_invalid", { field: "relays", count: relays.length, max: MAX_RELAYS });
  for (const relay of relays) parseOrigin(relay);
}

/** Knows which place comes next, and whom to take for it. */
export class LeasePlaces {
  /** Whether these are relays, which know the server's word only at second hand. */
  readonly areRelays: boolean;
  readonly #urls: readonly URL[];
  readonly #refused = new Set<string>();
  readonly #peer: PeerCheck;
  #next: number;
  /** Of the relay that the latest connection proved. */
  #relay: string | undefined;
  /** Where we are followers. */
  #settled: { readonly next: number; readonly relay: string | undefined } | undefined;

  /**
   * @param options.relays - origins; the server's `stopUrl` when there is none.
   * @throws TrustWardenError as `requireRelays`.
   */
  constructor(options: {
    readonly stopUrl: string;
    readonly relays: readonly string[];
    readonly path: string;
    readonly peer: PeerCheck;
    readonly runtime: Runtime;
  }) {
    const { stopUrl, relays, path, peer, runtime } = options;
    requireRelays(relays);
    this.areRelays = relays.length > 0;
    const origins = this.areRelays ? relays : [stopUrl];
    this.#urls = origins.map((origin) => new URL(path, parseOrigin(origin)));
    // Not all verifiers of a fleet begin at the same relay.
    this.#next = (runtime.random(1)[0] ?? 0) % this.#urls.length;
    const acceptPeer = this.areRelays ? (id: SpiffeId) => this.#acceptRelay(id, peer) : peer.acceptPeer;
    this.#peer = { ...peer, acceptPeer, runtime };
  }

  /** Where to connect now. */
  get url(): URL {
    const url = this.#urls[this.#next];
    if (url === undefined) throw new Error("there is at least one place");
    return url;
  }

  /** Connects to where it is time to. @param done - once, when the peer is accepted, or with what is wrong. */
  connect(done: (error: Error | null) => void): TLSSocket {
    const { hostname, port } = this.url;
    return connectToPeer({ host: hostname, port }, this.#peer, done);
  }

  /** The latest connection is the one that is followed from now on. */
  settle(): void {
    this.#settled = { next: this.#next, relay: this.#relay };
  }

  /** Whoever was asked meanwhile does not count; we are where we were. */
  goBack(): void {
    if (this.#settled === undefined) return;
    this.#next = this.#settled.next;
    this.#relay = this.#settled.relay;
  }

  /** After a connection failed or ended, or was silent for long. */
  moveOn(): void {
    this.#next = (this.#next + 1) % this.#urls.length;
    this.#relay = undefined;
  }

  /** Whether the relay at hand was stopped by this; then it is not gone back to. */
  refuseStopped(targets: readonly RevocationTarget[]): boolean {
    const relay = this.#relay;
    if (relay === undefined || !targets.some(({ kind, id }) => kind === "instance" && id === relay))
      return false;
    this.#refused.add(relay);
    return true;
  }

  #acceptRelay(id: SpiffeId, { bundle }: PeerCheck): boolean {
    const instanceId = instanceIdOf(id);
    if (instanceId === undefined || !isRelayId(id, bundle().trustDomain)) return false;
    if (this.#refused.has(instanceId)) return false;
    this.#relay = instanceId;
    return true;
  }
}
