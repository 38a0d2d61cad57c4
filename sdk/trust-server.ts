/**
 * The TrustWarden server as a client sees it: proven on first contact (`first-contact.ts`), asked over checked
 * connections ever after.
 */
import type { IncomingMessage } from "node:http";
import type { Agent } from "node:https";
import type { Socket } from "node:net";
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import type { Certificate } from "@trustwarden/core/agentid/certificate.ts";
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import { ProvenIssuers } from "@trustwarden/core/agentid/proven-issuers.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  digestOfAuthorities,
  parseTrustBundle,
  type TrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import type { X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { FollowedKeys } from "@trustwarden/core/agentledger/followed-keys.ts";
import type { ListedShard } from "@trustwarden/core/agentledger/ledger-keys.ts";
import { nonceAnswer } from "@trustwarden/core/api/identity.ts";
import { type Discovery, discovery as discoverySchema, shardList } from "@trustwarden/core/api/ledger.ts";
import { encodeHex, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SigningLeaf } from "@trustwarden/core/intent.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { unwatch, type Watched, watch } from "./authority-watch.ts";
import { exchangeAgain } from "./exchange-again.ts";
import {
  type BroughtDiscovery,
  BUNDLE_PATH,
  type Contact,
  isServerId,
  makeContact,
  parseOrigin,
  readPinnedBundle,
  requireOwnDiscovery,
  type ServerAddress,
} from "./first-contact.ts";
import { HeldNonces, NONCE_HEADER } from "./held-nonces.ts";
import { openHttps, readBody } from "./https-request.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { hintsOf, parseAnswer, parseRefusal, type RawAnswer } from "./server-answer.ts";
import type { ServerCall } from "./server-call.ts";
import { StopWatch } from "./stop-watch.ts";
import { type CurrentSvid, createPeerCheckedAgent, type PeerCheck, peerChainOfMessage } from "./tls.ts";

/** Answers are one record or one page of them. */
const MAX_ANSWER_BYTES = 4_194_304;
/** Lists of revoked SVIDs grow: three of the largest, in PEM. */
const MAX_PUBLIC_BYTES = 57_000_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const READ_ATTEMPTS = 3;
/** Server SVIDs live an hour and are renewed at half life: more than this are of no use. */
const MAX_SERVER_SVIDS = 16;
const BUNDLES_PATH = "/v1/bundles";
const DISCOVERY_PATH = "/.well-known/trustwarden";

/** JSON bytes of a request body, canonical, so that what is signed is what is sent. */
export function encodeBody(body: JsonObject): Uint8Array {
  return encodeUtf8(formatCanonicalJson(body));
}

/**
 * Makes first contact.
 *
 * @throws TrustWardenError `server_untrusted` when the peer is not the one that the ticket pins, `server_unreachable`.
 */
export async function connectServer(address: ServerAddress, runtime: Runtime): Promise<TrustServer> {
  const origin = parseOrigin(address.url);
  const contact = await makeContact(origin, address, runtime);
  const server = new TrustServer({ origin, bundle: contact.bundle, contact, address, runtime });
  if (contact.discovery === undefined) await server.discover();
  else server.takeDiscovery(contact.discovery);
  return server;
}

/** Owns the anonymous connections and what is known of the server; shared by the identities of one process. */
export class TrustServer implements Watched {
  readonly address: ServerAddress;
  readonly trustDomain: TrustDomain;
  readonly bundles: BundleSource;
  readonly issuers: ProvenIssuers;
  readonly watchKey: string;
  readonly runtime: Runtime;
  readonly stops = new StopWatch(this);
  readonly #origin: URL;
  readonly #listeners = new Set<() => void>();
  readonly #anonymous: Agent;
  /** Proven server SVIDs by the digest of their leaf, oldest first. */
  readonly #svids = new Map<string, SigningLeaf>();
  readonly #learned = new WeakSet<Socket>();
  readonly #chains: ProvenChains;
  #bundle: TrustBundle;
  /** Of federated trust domains; empty for who receives no visits. Never our own. */
  #federated: ReadonlyMap<TrustDomain, TrustBundle> = new Map();
  #ledgerKeys: FollowedKeys | undefined;
  #discovery: Discovery | undefined;
  readonly #nonces = new HeldNonces();
  #holders = 0;

  constructor(options: {
    readonly origin: URL;
    readonly bundle: TrustBundle;
    /** First contact, when it was made just now: its connection and its proof are gone on with. */
    readonly contact?: Contact;
    readonly address: ServerAddress;
    readonly runtime: Runtime;
  }) {
    this.address = options.address;
    this.trustDomain = options.address.trustDomain;
    this.#origin = options.origin;
    this.#bundle = options.bundle;
    this.runtime = options.runtime;
    this.watchKey = [options.origin.origin, this.trustDomain, this.address.authoritiesSha256].join(" ");
    this.bundles = {
      get: (domain) => (domain === this.trustDomain ? this.#bundle : this.#federated.get(domain)),
    };
    const { contact } = options;
    this.issuers = contact?.issuers ?? new ProvenIssuers();
    this.#chains = new ProvenChains(this.bundles, this.issuers);
    contact?.peer.prove(this.peerCheck());
    this.#anonymous = contact?.peer.agent ?? this.createAgent();
    if (contact === undefined) return;
    this.#learned.add(contact.socket);
    this.#keepSvid(contact.svid);
  }

  /** The trust bundle, refreshed with each renewal and whenever the authority changes. */
  get bundle(): TrustBundle {
    return this.#bundle;
  }

  /** Chains of visitors, proven against the trust bundle at hand. */
  get chains(): ProvenChains {
    return this.#chains;
  }

  /** Keys of the ledger: the first is known since first contact, and others are followed from it. */
  get ledgerKeys(): FollowedKeys {
    if (this.#ledgerKeys === undefined) throw new Error("discovery is read on first contact");
    return this.#ledgerKeys;
  }

  /** What the server says of itself; known since first contact. */
  get discovery(): Discovery {
    if (this.#discovery === undefined) throw new Error("discovery is read on first contact");
    return this.#discovery;
  }

  /** Connections to this server only, anonymous or with an SVID. */
  createAgent(svid?: () => CurrentSvid): Agent {
    return createPeerCheckedAgent(this.peerCheck(svid));
  }

  /** That a peer is this server, by the bundle of the moment; and who we are, to it. */
  peerCheck(svid?: () => CurrentSvid): PeerCheck {
    return {
      svid,
      bundle: () => this.#bundle,
      issuers: this.issuers,
      acceptPeer: (id) => isServerId(id, this.trustDomain),
      refusal: "server_untrusted",
      runtime: this.runtime,
    };
  }

  /** Whether a URL is one of this server's two listeners. */
  isOwnOrigin({ origin }: URL): boolean {
    return origin === this.#origin.origin || origin === new URL(this.discovery.stop_url).origin;
  }

  /** Reads bundle and discovery again; the bundle's sequence never falls. */
  async refresh(): Promise<void> {
    this.#keepBundle(await this.#readBundle());
    await this.discover();
  }

  /** Reads discovery over a connection that is wanted anyway, and the bundle when the authority changed. */
  async refreshOver(agent: Agent): Promise<void> {
    await this.discover(agent);
    await this.#keepUp();
  }

  /** Reads discovery, and the bundle too when the authority changed; tells the listeners. */
  async readAuthority(): Promise<void> {
    const before = this.#bundle.sequence;
    await this.discover().catch((error: unknown) => this.#recover(error));
    await this.#keepUp();
    if (this.#bundle.sequence !== before) this.#tell();
  }

  /** Takes over what another instance for the same server and pin has read. */
  adoptAuthority(other: TrustServer): void {
    if (other.#bundle.sequence <= this.#bundle.sequence) return;
    this.#bundle = other.#bundle;
    this.#discovery = other.#discovery;
    this.#tell();
  }

  /** Hears of each change of the authority. @returns ends it. */
  onAuthority(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether the server asks for this SVID to be renewed now, because the key that signed it is being replaced. */
  mustRenew({ aki }: Pick<Certificate, "aki">): boolean {
    return aki !== undefined && this.discovery.authority.renew.includes(encodeHex(aki));
  }

  /**
   * Reads the bundles of federated trust domains, in place of those before: what the server trusts no more is gone.
   *
   * @throws TrustWardenError `server_unreachable`, `bundle_malformed`.
   */
  async refreshFederated(): Promise<void> {
    this.#federated = parseBundleMap(await this.readText(BUNDLES_PATH));
  }

  /** The own trust domain's bundle, then those of federated ones as they were last read. */
  knownBundles(): readonly TrustBundle[] {
    return [this.#bundle, ...this.#federated.values()];
  }

  /** Reads what the server says of itself. @throws TrustWardenError `server_untrusted` when that is another server. */
  async discover(agent?: Agent): Promise<void> {
    const atMs = this.runtime.monotonicMs();
    const call = { agent, method: "GET", target: DISCOVERY_PATH, schema: discoverySchema } as const;
    this.#keepDiscovery(await this.call(call), atMs);
  }

  /** The same, as first contact brought it. @throws TrustWardenError as `discover`. */
  takeDiscovery({ body, atMs }: BroughtDiscovery): void {
    this.#keepDiscovery(parseAnswer({ status: 200, body }, discoverySchema), atMs);
  }

  /** A nonce for one proof of possession: one that discovery or an answer brought just now, or another. */
  async takeNonce(): Promise<string> {
    const held = this.#nonces.take(this.runtime.monotonicMs());
    if (held !== undefined) return held;
    const { nonce } = await this.call({ method: "GET", target: "/v1/nonce", schema: nonceAnswer });
    return nonce;
  }

  /** One call. Reads are tried again, anything that acts is not. @throws TrustWardenError the server's code. */
  async call<T>(call: ServerCall<T>): Promise<T> {
    return parseAnswer(await this.#exchange(call), call.schema);
  }

  /** A public file as it came, whatever its status. */
  readPublic(target: string, headers: Readonly<Record<string, string>>): Promise<RawAnswer> {
    return this.#exchange({ method: "GET", target, headers, maxBytes: MAX_PUBLIC_BYTES });
  }

  /** Text of a public route. */
  async readText(target: string): Promise<string> {
    const answer = await this.#exchange({ method: "GET", target });
    if (answer.status !== 200) throw parseRefusal(answer);
    return parseUtf8(answer.body);
  }

  /**
   * The server's SVID with a digest; looks at a new connection when it is not known yet, since the server renews its
   * SVID while old connections stay.
   *
   * @throws TrustWardenError `receipt_invalid` when the server does not have it.
   */
  async findServerSvid(sha256: string): Promise<SigningLeaf> {
    if (!this.#svids.has(sha256)) await this.#learnFromNewConnection();
    const leaf = this.#svids.get(sha256);
    if (leaf === undefined) throw new TrustWardenError("receipt_invalid", { reason: "unknown signer" });
    return leaf;
  }

  /**
   * Runs a call that names the server in a signed intent, and once more with a new intent when it was refused and the
   * server turns out to have another id than before: it was started anew. A refused call has done nothing.
   */
  async withServerId<T>(call: (serverId: string) => Promise<T>): Promise<T> {
    const serverId = this.discovery.server_id;
    try {
      return await call(serverId);
    } catch (error) {
      if (!(error instanceof TrustWardenError) || error.details.status !== 401) throw error;
      await this.refresh();
      if (this.discovery.server_id === serverId) throw error;
      return call(this.discovery.server_id);
    }
  }

  /** Counts an identity that uses this server. */
  retain(): void {
    this.#holders += 1;
    if (this.#holders === 1) watch(this);
  }

  /** Closes the connections with the last identity. */
  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    unwatch(this);
    this.#anonymous.destroy();
  }

  async #readBundle(): Promise<TrustBundle> {
    return parseTrustBundle(await this.readText(BUNDLE_PATH), this.trustDomain);
  }

  async #readShards(): Promise<readonly ListedShard[]> {
    return (await this.call({ method: "GET", target: "/ledger/shards", schema: shardList })).shards;
  }

  async #keepUp(): Promise<void> {
    if (this.discovery.authority.sequence > this.#bundle.sequence) this.#keepBundle(await this.#readBundle());
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #keepDiscovery(discovery: Discovery, atMs: number): void {
    requireOwnDiscovery(discovery, this.trustDomain);
    this.#ledgerKeys ??= new FollowedKeys(discovery.log_vkey, () => this.#readShards());
    // A ledger has its first key for good. Who shows this process another one would have it forget what it has seen.
    if (this.#ledgerKeys.vkey !== discovery.log_vkey)
      throw new TrustWardenError("server_untrusted", { reason: "another ledger" });
    this.#nonces.keep(discovery.nonce, atMs);
    this.#discovery = discovery;
  }

  #keepBundle(bundle: TrustBundle): void {
    if (bundle.sequence >= this.#bundle.sequence) this.#bundle = bundle;
  }

  /**
   * A server whose root was replaced by force cannot be proven with the roots of before: the successions lead on from
   * them, as from a pin.
   */
  async #recover(error: unknown): Promise<void> {
    if (!(error instanceof TrustWardenError) || error.code !== "server_untrusted") throw error;
    const authoritiesSha256 = digestOfAuthorities(this.#bundle);
    this.#keepBundle(
      await readPinnedBundle(this.#origin, { ...this.address, authoritiesSha256 }, this.runtime),
    );
    await this.discover();
  }

  async #exchange(call: Omit<ServerCall<unknown>, "schema">): Promise<RawAnswer> {
    // What carries an intent is sent once, also when it only reads.
    const attempts = call.method === "GET" && call.headers === undefined ? READ_ATTEMPTS : 1;
    return exchangeAgain(() => this.#exchangeOnce(call), { attempts, runtime: this.runtime });
  }

  async #exchangeOnce(call: Omit<ServerCall<unknown>, "schema">): Promise<RawAnswer> {
    const { listener = "main", method, target, body } = call;
    const { timeoutMs = DEFAULT_TIMEOUT_MS, maxBytes = MAX_ANSWER_BYTES } = call;
    const origin = listener === "main" ? this.#origin : new URL(this.discovery.stop_url);
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const headers = { accept: "application/json", ...type, ...call.headers };
    const agent = call.agent ?? this.#anonymous;
    const message = await openHttps({ agent, origin, method, target, headers, body, timeoutMs });
    this.#learn(message);
    const atMs = this.runtime.monotonicMs();
    // A message that was read to its end has no connection any more.
    const { socket } = message;
    const answer = await readBody(message, { maxBytes, timeoutMs });
    this.#nonces.keep(message.headers[NONCE_HEADER], atMs, socket);
    return { status: message.statusCode ?? 0, body: answer, ...hintsOf(message.headers) };
  }

  /** Notes the server's SVID, once a connection. */
  #learn(message: IncomingMessage): void {
    if (this.#learned.has(message.socket)) return;
    this.#learned.add(message.socket);
    this.#keepSvid(this.#chains.verify(peerChainOfMessage(message), nowSeconds(this.runtime)));
  }

  #keepSvid({ leaf }: X509Svid): void {
    if (this.#svids.has(leaf.sha256)) return;
    this.#svids.set(leaf.sha256, { sha256: leaf.sha256, publicKey: leaf.publicKey });
    const [oldest] = this.#svids.keys();
    if (this.#svids.size > MAX_SERVER_SVIDS && oldest !== undefined) this.#svids.delete(oldest);
  }

  async #learnFromNewConnection(): Promise<void> {
    const agent = this.createAgent();
    try {
      await this.#exchange({ agent, method: "GET", target: "/healthz" });
    } finally {
      agent.destroy();
    }
  }
}
