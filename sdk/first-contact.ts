/**
 * First contact with a server: nothing is trusted but the digest in the ticket.
 *
 * The trust bundle is read from a peer that nobody has proven yet; it counts only when its authorities are those that
 * the ticket pins, or follow from those by successions that they signed, and the peer only when its SVID chains to them. Nothing else is sent before that, so an impostor
 * learns neither the ticket nor the new key.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { ProvenIssuers } from "@trustwarden/core/agentid/proven-issuers.ts";
import {
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { requireSuccession } from "@trustwarden/core/agentid/succession.ts";
import {
  digestOfAuthorities,
  parseTrustBundle,
  type TrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid, type X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { successionList } from "@trustwarden/core/api/authority.ts";
import type { Discovery } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { openHttps, readBody } from "./https-request.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { createUnprovenPeer, peerChainOf, type UnprovenPeer } from "./tls.ts";

/** Where every server publishes its trust bundle. */
export const BUNDLE_PATH = "/v1/bundle";
/** Asks for discovery beside the bundle. */
const CONTACT_HEADER = "trustwarden-contact";
const DISCOVERY_HEADER = "trustwarden-discovery";
const SUCCESSIONS_PATH = "/v1/successions";
/** Also of the successions: a few roots each. */
const MAX_BUNDLE_BYTES = 262_144;
const TOO_MANY_REQUESTS = 429;
const FIRST_SERVER_FAULT = 500;
const TIMEOUT_MS = 10_000;

/** Where the server is and what proves it; from a ticket or a grant. */
export interface ServerAddress {
  /** Origin, such as `https://127.0.0.1:7443`. */
  readonly url: string;
  readonly trustDomain: TrustDomain;
  readonly authoritiesSha256: string;
}

/** A server that first contact proved. */
export interface Contact {
  readonly bundle: TrustBundle;
  /** The server's, proven against `bundle`. */
  readonly svid: X509Svid;
  /** The connection on which it was shown. */
  readonly socket: Socket;
  /** Goes on with that connection, and with others to servers that the bundle of contact proves. */
  readonly peer: UnprovenPeer;
  /** Discovery, when it came beside the bundle, on the connection that the bundle proved. */
  readonly discovery: BroughtDiscovery | undefined;
  /** Those that the proof went through. */
  readonly issuers: ProvenIssuers;
}

/** What the server says of itself, as JSON. */
export interface BroughtDiscovery {
  readonly body: Uint8Array;
  /** When it was asked for, monotonic. */
  readonly atMs: number;
}

/** Whether an id is a server of the trust domain. */
export function isServerId(id: SpiffeId, trustDomain: TrustDomain): boolean {
  return trustDomainOf(id) === trustDomain && pathOf(id).startsWith("/trustwarden/server/");
}

/**
 * The trust bundle that the ticket pins, from a peer that it proves.
 *
 * @throws TrustWardenError `server_untrusted`, `server_unreachable`.
 */
export async function readPinnedBundle(
  origin: URL,
  address: ServerAddress,
  runtime: Runtime,
): Promise<TrustBundle> {
  const { bundle, peer } = await makeContact(origin, address, runtime);
  peer.agent.destroy();
  return bundle;
}

/**
 * Reads the trust bundle that the ticket pins, and keeps the connection to the peer that it proves: a second handshake
 * would cost more than everything else here.
 *
 * @throws TrustWardenError `server_untrusted`, `server_unreachable`; nothing stays open then.
 */
export async function makeContact(origin: URL, address: ServerAddress, runtime: Runtime): Promise<Contact> {
  const atMs = runtime.monotonicMs();
  const { peer, socket, body: document, discovery } = await readUnprovenBundle(origin);
  try {
    const peerChain = peerChainOf(socket);
    const { trustDomain } = address;
    const proven = requireProven({ body: document, peerChain, trustDomain, now: nowSeconds(runtime) });
    // Should that connection end now, the next one must not be anybody's.
    const acceptPeer = (id: SpiffeId) => isServerId(id, trustDomain);
    peer.prove({ bundle: () => proven.bundle, acceptPeer, refusal: "server_untrusted", runtime });
    await requirePinned(origin, { address, bundle: proven.bundle, peer });
    // Told by whoever is proven now, and read no earlier. What is no base64url is no JSON either.
    const body = discovery === undefined ? undefined : Buffer.from(discovery, "base64url");
    return { ...proven, socket, peer, discovery: body === undefined ? undefined : { body, atMs } };
  } catch (error) {
    peer.agent.destroy();
    throw error;
  }
}

/**
 * Which trust domain has the authorities that a join token pins: a join token names no trust domain, and its roots do.
 * Proves nothing about the peer; `readPinnedBundle` comes next.
 *
 * @throws TrustWardenError `server_untrusted`, `server_unreachable`.
 */
export async function readPinnedTrustDomain(
  origin: URL,
  { authoritiesSha256 }: Pick<ServerAddress, "authoritiesSha256">,
): Promise<TrustDomain> {
  const { body, peer } = await readUnprovenBundle(origin);
  peer.agent.destroy();
  try {
    const unproven = parseTrustBundle(parseUtf8(body), parseTrustDomain("unproven"));
    const [id] = unproven.x509Authorities[0]?.uris ?? [];
    if (id !== undefined && digestOfAuthorities(unproven) === authoritiesSha256)
      return trustDomainOf(parseSpiffeId(id));
  } catch (cause) {
    throw new TrustWardenError("server_untrusted", { reason: "bundle" }, { cause });
  }
  throw new TrustWardenError("server_untrusted", { reason: "pin" });
}

/**
 * Asks for this one public document and leaves the connection open; the caller proves the peer or destroys it. A server that
 * knows how says in a header what it says of itself, which spares a request; what it is worth, the proof says.
 */
async function readUnprovenBundle(origin: URL): Promise<{
  readonly peer: UnprovenPeer;
  readonly socket: Socket;
  readonly body: Uint8Array;
  /** base64url. */
  readonly discovery: string | undefined;
}> {
  const peer = createUnprovenPeer();
  try {
    const call = {
      agent: peer.agent,
      origin,
      method: "GET",
      target: BUNDLE_PATH,
      headers: { [CONTACT_HEADER]: "1" },
      timeoutMs: TIMEOUT_MS,
    };
    const message = await openHttps(call);
    // Both now: with its body read, the answer has given its connection back, and that may be closed. The chain is
    // remembered for the proof.
    const { socket } = message;
    peerChainOf(socket);
    const { [DISCOVERY_HEADER]: discovery } = message.headers;
    return {
      peer,
      socket,
      discovery: typeof discovery === "string" ? discovery : undefined,
      body: await readDocument(message),
    };
  } catch (error) {
    peer.agent.destroy();
    throw error;
  }
}

/**
 * The body of a public document. A server that is too busy to give it has not proven to be another one, which nobody would try
 * again; what it says of why is not believed before it is proven.
 *
 * @throws TrustWardenError `server_unreachable` with the status 429 or of a server's own fault; `server_untrusted` with any other but 200.
 */
async function readDocument(message: IncomingMessage): Promise<Uint8Array> {
  const body = await readBody(message, { maxBytes: MAX_BUNDLE_BYTES, timeoutMs: TIMEOUT_MS });
  const { statusCode: status = 0 } = message;
  const isBusy = status === TOO_MANY_REQUESTS || status >= FIRST_SERVER_FAULT;
  if (isBusy) throw new TrustWardenError("server_unreachable", { reason: "no document", status });
  if (status !== 200) throw new TrustWardenError("server_untrusted", { reason: "no document", status });
  return body;
}

/**
 * The roots are those that were pinned, or they were rotated since: then only the word of the pinned ones leads to those
 * of today.
 */
async function requirePinned(
  origin: URL,
  {
    address,
    bundle,
    peer,
  }: { readonly address: ServerAddress; readonly bundle: TrustBundle; readonly peer: UnprovenPeer },
): Promise<void> {
  const { trustDomain, authoritiesSha256: pin } = address;
  const target = digestOfAuthorities(bundle);
  if (target === pin) return;
  const call = { agent: peer.agent, origin, method: "GET", target: SUCCESSIONS_PATH, headers: {} };
  const body = await readDocument(await openHttps({ ...call, timeoutMs: TIMEOUT_MS }));
  try {
    const { successions } = successionList.parse(parseJsonObject(parseUtf8(body), MAX_BUNDLE_BYTES));
    requireSuccession(successions, { trustDomain, pin, target });
  } catch (cause) {
    throw new TrustWardenError("server_untrusted", { reason: "pin" }, { cause });
  }
}

/** That the peer has an SVID of a server under the bundle it shows; whether the bundle is the right one comes next. */
function requireProven(options: {
  readonly body: Uint8Array;
  readonly peerChain: readonly Uint8Array[];
  readonly trustDomain: TrustDomain;
  readonly now: number;
}): Pick<Contact, "bundle" | "svid" | "issuers"> {
  const { trustDomain } = options;
  const issuers = new ProvenIssuers();
  let bundle: TrustBundle;
  let svid: X509Svid;
  try {
    bundle = parseTrustBundle(parseUtf8(options.body), trustDomain);
    svid = verifyX509Svid(options.peerChain, new Map([[trustDomain, bundle]]), options.now, issuers);
  } catch (cause) {
    throw new TrustWardenError("server_untrusted", { reason: "bundle or chain" }, { cause });
  }
  if (!isServerId(svid.id, trustDomain))
    throw new TrustWardenError("server_untrusted", { reason: "not a server", peer: svid.id });
  return { bundle, svid, issuers };
}

/** That discovery is the server's own. @throws TrustWardenError `server_untrusted`. */
export function requireOwnDiscovery(discovery: Discovery, trustDomain: TrustDomain): void {
  const isOwn =
    discovery.trust_domain === trustDomain && isServerId(parseSpiffeId(discovery.server_id), trustDomain);
  if (!isOwn) throw new TrustWardenError("server_untrusted", { reason: "discovery" });
  parseOrigin(discovery.stop_url);
}

/** @throws TrustWardenError `server_untrusted` unless the text is an https origin and nothing else. */
export function parseOrigin(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== "https:" || url.pathname !== "/" || url.search !== "" || url.username !== "") {
    throw new TrustWardenError("server_untrusted", { reason: "not an https origin" });
  }
  return url;
}
