/**
 * Who calls an OAuth endpoint: an agent, or a service that asks about a token, by its SVID.
 *
 * An X.509-SVID is proven by the socket. A JWT-SVID is a bearer assertion, so it is worth only what the DPoP proof
 * beside it is: tokens are bound to that key, and the assertion belongs to the first key that it was shown with. There
 * are no client secrets. A WIT-SVID comes with a proof of its own (`wit-client.ts`). An `Authorization` header is refused before anybody comes here.
 *
 * @see draft-ietf-oauth-spiffe-client-auth-02 §3; RFC 8705 §2; RFC 9449 §5
 */
import type { Confirmation } from "@trustwarden/core/access-token.ts";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseSpiffeId, pathOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { type OAuthClientForm, oauthClientForm } from "@trustwarden/core/api/oauth.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { isClientDocumentUrl, requireClientOf } from "@trustwarden/core/client-document.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import type { DpopProof } from "@trustwarden/core/dpop.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { AgentPrincipal, VerifierPrincipal } from "@trustwarden/core/principal.ts";
import { type Arrival, pathOfTarget } from "../http/arrival.ts";
import type { Evidence } from "../http/authenticate.ts";
import {
  agentOf,
  agentOfToken,
  instanceIdOfSpiffeId,
  requireLiveChain,
  requireLivePeer,
  verifierOf,
  verifyPeerSvid,
} from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import { isIdentityGrant } from "./accepted-grants.ts";
import { hasAttestation, proveByWit } from "./wit-client.ts";

/** RFC 7523 §2.1. */
export const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const VERIFIERS = "/trustwarden/verifier/";

/** What a client proved itself with. */
export interface OAuthClient {
  readonly method: "spiffe_x509" | "spiffe_jwt" | "spiffe_wit";
  /** Of the X.509-SVID; null for another proof. */
  readonly svidSha256: string | null;
  /** Unix seconds; the end of the SVID. */
  readonly notAfter: number;
  readonly assertion: { readonly sha256: string; readonly expiresAt: number } | null;
  /** The key that a token of this request is bound to; null when none was shown. */
  readonly bound: { readonly confirmation: Confirmation; readonly keySha256: string | null } | null;
}

export interface OAuthCaller {
  readonly principal: AgentPrincipal | VerifierPrincipal;
  readonly intent: null;
  readonly client: OAuthClient;
  /** URL of a document that names this client too; null when it came by its SPIFFE ID. */
  readonly documentUrl: string | null;
}

/** A client, before it is asked for a DPoP proof. */
export type ProvenClient = Pick<OAuthCaller, "principal" | "client">;

/**
 * The client of a request to an OAuth endpoint.
 *
 * @param evidence - filled in on the way, for the record of a refusal.
 * @throws TrustWardenError any 401 code, `request_malformed`, `client_document_refused` or `dpop_nonce_missing`.
 */
export async function authenticateClient(
  services: Services,
  arrival: Arrival,
  evidence: Evidence,
): Promise<OAuthCaller> {
  const form = oauthClientForm.parse(arrival.body);
  const { client_id: clientId } = form;
  const { assertion, type } = shownAssertion(form);
  const { principal, client } = await proveClient(services, { arrival, assertion, type }, evidence);
  // RFC 8705 §2 wants it with a certificate; a token names its client by itself.
  const isNamed = client.method !== "spiffe_x509";
  const documentUrl = documentUrlOf(services, clientId);
  const isItself = documentUrl !== null || clientId === principal.spiffeId;
  if (clientId === undefined ? !isNamed : !isItself) {
    throw new TrustWardenError("principal_refused", { reason: "client_id" });
  }
  if (documentUrl !== null) {
    await requireDocument(services, { url: documentUrl, principal, client, grantType: form.grant_type });
  }
  const proof = await proofOf(services, arrival);
  const bound = proof === null ? client : bindClient(client, boundTo(proof));
  return { principal, intent: null, client: bound, documentUrl };
}

/**
 * The assertion that says who asks. A JWT-SVID may come as the grant itself, and then is both (RFC 7523 §2.1): it says
 * who its subject is, and who that is may have a token of its own.
 */
function shownAssertion(form: OAuthClientForm): {
  readonly assertion: string | undefined;
  readonly type: string | undefined;
} {
  const { client_assertion: assertion, client_assertion_type: type, assertion: grant } = form;
  if ((assertion === undefined) !== (type === undefined)) malformed("client_assertion");
  const isBoth = assertion === undefined && form.grant_type === JWT_BEARER && grant !== undefined;
  return isBoth && !isIdentityGrant(grant) ? { assertion: grant, type: JWT_SPIFFE } : { assertion, type };
}

/** Where no document is read, a URL is a name like any other, and nobody's. */
function documentUrlOf({ oauth }: Services, clientId: string | undefined): string | null {
  return clientId !== undefined && oauth.documents.isServed && isClientDocumentUrl(clientId)
    ? clientId
    : null;
}

/** Only now: nobody who is not proven has us fetch anything. */
async function requireDocument(
  { oauth, clock }: Services,
  {
    url,
    principal,
    client,
    grantType,
  }: ProvenClient & { readonly url: string; readonly grantType: string | undefined },
): Promise<void> {
  const document = await oauth.documents.find(url, clock.trustedSeconds());
  const spiffeId = parseSpiffeId(principal.spiffeId);
  requireClientOf(document, { spiffeId, method: client.method, grantType });
}

/** One proof of who asks: with two of them, each could be believed by somebody else. RFC 6749 §2.3. */
function proveClient(
  services: Services,
  shown: {
    readonly arrival: Arrival;
    readonly assertion: string | undefined;
    readonly type: string | undefined;
  },
  evidence: Evidence,
): ProvenClient | Promise<ProvenClient> {
  const { arrival, assertion, type } = shown;
  if (hasAttestation(arrival)) {
    if (assertion !== undefined) malformed("client_assertion");
    return proveByWit(services, arrival, evidence);
  }
  return assertion === undefined
    ? proveBySocket(services, arrival, evidence)
    : proveByAssertion(services, { assertion, type }, evidence);
}

/** A WIT-SVID has its key: a proof by another one was put beside it by somebody else. */
function bindClient(client: OAuthClient, bound: NonNullable<OAuthClient["bound"]>): OAuthClient {
  const isOther = client.bound?.confirmation.digest !== bound.confirmation.digest;
  if (client.method === "spiffe_wit" && isOther) {
    throw new TrustWardenError("dpop_invalid", { reason: "not the key of the WIT-SVID" });
  }
  return { ...client, bound };
}

function proveBySocket(services: Services, { socket }: Arrival, evidence: Evidence): ProvenClient {
  const now = services.clock.trustedSeconds();
  const svid = verifyPeerSvid(services, socket, now);
  evidence.spiffeId = svid.id;
  const peer = requireLivePeer(services, svid, now);
  const { sha256: svidSha256, notAfter } = svid.leaf;
  const confirmation = { kind: "x5t#S256", digest: svidSha256 } as const;
  return {
    principal: pathOf(svid.id).startsWith(VERIFIERS) ? verifierOf(peer) : agentOf(peer),
    client: {
      method: "spiffe_x509",
      svidSha256,
      notAfter,
      assertion: null,
      bound: { confirmation, keySha256: null },
    },
  };
}

function proveByAssertion(
  services: Services,
  { assertion, type }: { readonly assertion: string; readonly type: string | undefined },
  evidence: Evidence,
): ProvenClient {
  if (type !== JWT_SPIFFE) malformed("client_assertion_type");
  const now = services.clock.trustedSeconds();
  const svid = verifyJwtSvid(assertion, {
    bundles: services.federation.bundles,
    audience: services.oauth.issuer,
    now,
  });
  evidence.spiffeId = svid.id;
  // With a second audience, whoever that is could come here in the client's name.
  if (svid.audience.length !== 1) throw new TrustWardenError("svid_audience", { reason: "more than one" });
  const digest = digestOfAssertion(assertion);
  const principal = agentOfToken({
    spiffeId: svid.id,
    svidSha256: digest,
    chain: requireLiveChain(services.reads, instanceIdOfSpiffeId(services, svid.id), now),
  });
  const { expiresAt } = svid;
  return {
    principal,
    client: {
      method: "spiffe_jwt",
      svidSha256: null,
      notAfter: expiresAt,
      assertion: { sha256: digest, expiresAt },
      bound: null,
    },
  };
}

/** Of header and payload alone: the signature has a second spelling, which must not be another assertion. */
function digestOfAssertion(assertion: string): string {
  return encodeBase64url(sha256(encodeUtf8(assertion.slice(0, assertion.lastIndexOf(".")))));
}

async function proofOf(services: Services, arrival: Arrival): Promise<DpopProof | null> {
  const header = arrival.headers.dpop;
  if (header === undefined) return null;
  const { method, target } = arrival;
  const now = services.clock.trustedSeconds();
  // Node joins repeated headers with a comma, which never parses.
  return services.oauth.verifyProof(String(header), { method, path: pathOfTarget(target), now });
}

function boundTo({ thumbprint, publicKey }: DpopProof): NonNullable<OAuthClient["bound"]> {
  return {
    confirmation: { kind: "jkt", digest: thumbprint },
    keySha256: encodeBase64url(sha256(encodeSpki(publicKey))),
  };
}

function malformed(reason: string): never {
  throw new TrustWardenError("request_malformed", { reason });
}
