/**
 * A visit: an agent's request to a service, and the proof of who makes it and that it means this very request.
 *
 * Pure checks of one arrival; asking the server, the lease and the act are in `visit-ports.ts`.
 */
import type { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import { instanceIdOf, pathOf, type SpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import {
  openIntent,
  requireSameRequest,
  signatureFirst,
  type VerifiedIntent,
} from "@trustwarden/core/intent.ts";
import type { RequestTarget } from "@trustwarden/core/request-target.ts";
import type { RouteMatch } from "@trustwarden/core/route-table.ts";

const SALT_BYTES = 32;

/** One request as it arrived, matched to a row of the route table. */
export interface VisitArrival {
  readonly method: string;
  readonly target: RequestTarget;
  readonly match: RouteMatch;
  readonly body: Uint8Array;
  /** DER, leaf first, as the socket's peer presented it. */
  readonly peerChain: readonly Uint8Array[];
  /** Header texts; undefined when absent. */
  readonly intent: string | undefined;
  readonly salt: string | undefined;
  /** The approval that the agent names. */
  readonly approval: string | undefined;
}

/** An agent that proved possession of the socket's SVID by an intent for this request. */
export interface Visitor {
  readonly svid: X509Svid;
  readonly intent: VerifiedIntent;
}

/** A visitor of whom everything is proven but the signature of the intent. */
export interface OpenedVisit {
  readonly svid: X509Svid;
  /** The intent, exact envelope text. */
  readonly envelope: string;
  /** @throws TrustWardenError `signature_invalid`. */
  prove(): Visitor;
}

/** What the service's own code gets to see of an allowed visit. */
export interface Visit {
  readonly agent: {
    readonly spiffeId: string;
    readonly agentId: string;
    readonly instanceId: string;
    readonly ownerId: string;
    /** `owner:<id>`, then agent ids from the root down. */
    readonly chain: readonly string[];
  };
  readonly action: string;
  readonly resource: string;
  /** The parameters of the route's path. */
  readonly params: Readonly<Record<string, string>>;
  /** Exactly the bytes that the agent signed for. */
  readonly body: Uint8Array;
  readonly receipt: Receipt;
  /**
   * Fires when the answer must not go on: somebody of the chain was revoked or narrowed, the SVID ended, or the lease
   * was lost. The answer is cut off by itself; work behind it should stop.
   */
  readonly signal: AbortSignal;
}

/** Who receives the visit. */
export interface Receiver {
  readonly id: SpiffeId;
  /** Proves chains against the bundle of the trust domain. */
  readonly chains: ProvenChains;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Proves who visits and that the intent is for this request, up to the intent's signature: the server checks that too, and is
 * asked meanwhile.
 *
 * @throws TrustWardenError `no_svid`, the codes of `verifyX509Svid`, `svid_bearer_refused` for an SVID that is no
 *   agent instance's, `no_intent`, the codes of `verifyIntent`, and `intent_mismatch` for an intent about anything
 *   else: another action, another resource, another method, target or body. A bad signature comes before anything else that
 *   is wrong with an intent.
 */
export function openVisit(arrival: VisitArrival, { id, chains, now }: Receiver): OpenedVisit {
  const svid = chains.verify(arrival.peerChain, now);
  requireAgentInstance(svid.id, id);
  const { envelope, salt } = parseHeaders(arrival);
  const opened = openIntent(envelope, { leaf: svid.leaf, audience: id, now });
  signatureFirst(opened.prove, () => requireAbout(arrival, { svid, salt, intent: opened.unverifiedIntent }));
  return { svid, envelope, prove: () => ({ svid, intent: opened.prove() }) };
}

/** Refuses an intent that is not the visitor's own, or not about this request. */
function requireAbout(
  { method, target, match, body }: VisitArrival,
  { svid, salt, intent }: { readonly svid: X509Svid; readonly salt: Uint8Array; readonly intent: Intent },
): void {
  const { agent, action, resource } = intent;
  if (agent.spiffe_id !== svid.id) throw new TrustWardenError("svid_mismatch", { reason: "SPIFFE ID" });
  // The table of the service decides what a request is; a read's intent cannot buy a delete.
  if (action !== match.action) throw mismatch("action");
  if (resource !== match.resource) throw mismatch("resource");
  requireSameRequest(intent, { method, target: target.text, body }, salt);
}

/** One of ours names its instance; which agent a workload of a federated trust domain is, the server knows. */
function requireAgentInstance(visitor: SpiffeId, receiver: SpiffeId): void {
  const isForeign = trustDomainOf(visitor) !== trustDomainOf(receiver);
  const isAgent =
    (isForeign || instanceIdOf(visitor) !== undefined) && !pathOf(visitor).startsWith("/trustwarden/");
  if (!isAgent) throw new TrustWardenError("svid_bearer_refused", { id: visitor });
}

function parseHeaders({ intent, salt }: VisitArrival): {
  readonly envelope: string;
  readonly salt: Uint8Array;
} {
  if (intent === undefined || salt === undefined) throw new TrustWardenError("no_intent");
  const bytes = parseBase64url(salt);
  if (bytes.length !== SALT_BYTES) throw new TrustWardenError("no_intent", { reason: "salt" });
  return { envelope: parseUtf8(parseBase64url(intent)), salt: bytes };
}

function mismatch(reason: string): TrustWardenError {
  return new TrustWardenError("intent_mismatch", { reason });
}
