/**
 * Agents that sign no intent of ours: OAuth clients with an access token, a DPoP proof of its key, and, where the class
 * of the action is not C, an HTTP message signature over the body by the same key.
 *
 * The token has to be for this upstream at this gateway; one that was meant for another resource is refused, however
 * good it is (F11). What was presented becomes a record of its own, signed by the server, in the place of the intent.
 *
 * @see RFC 9449 §7; RFC 9421; docs/decisions/0019
 */
import type { AccessToken } from "@trustwarden/core/access-token.ts";
import { classOf } from "@trustwarden/core/action.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { type DpopProof, verifyDpopProof } from "@trustwarden/core/dpop.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type CallPlan, planCall } from "@trustwarden/core/gateway/plan.ts";
import { verifyMessageSignature } from "@trustwarden/core/http-signature.ts";
import type { PresentedIntent } from "@trustwarden/core/presented-intent.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import { isCovered, type Scope } from "@trustwarden/core/scope.ts";
import { agentOfToken, requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import { verifyLiveToken } from "../oauth/live-token.ts";
import type { CallArrival, GatewayCaller } from "./ports.ts";
import { issuePresentedRecord } from "./presented-record.ts";
import { describeUpstream } from "./upstreams.ts";

const SCHEME = /^DPoP ([A-Za-z0-9_.-]+)$/;

/** A token whose key was shown with this very request. */
interface ShownToken {
  readonly token: AccessToken;
  readonly proof: DpopProof;
  /** As it came. */
  readonly proofText: string;
}

/** What a presented call is held to besides its agent's chain; a WIT-SVID is the whole agent. */
export type PresentedCredential = PresentedToken | { readonly kind: "wit" };

/** An access token, as the call is held to it. */
interface PresentedToken {
  readonly kind: "token";
  readonly jti: string;
  readonly scope: Scope;
  /** In whose name; the agent itself unless the token was exchanged. */
  readonly subjectInstanceId: string;
}

/**
 * The token and the proof of a request whose body was not read yet; nothing is used up.
 *
 * @throws TrustWardenError `svid_bearer_refused`, `dpop_invalid`, and the `access_token_` codes.
 */
export function verifyShownToken(
  services: Services,
  request: Pick<CallArrival, "method" | "target" | "headers" | "upstream">,
): ShownToken {
  const { method, target, headers, upstream } = request;
  const origins = services.gateway.origins();
  // Whoever holds a bearer token can be anybody who has seen it (D2).
  const [, text] = SCHEME.exec(headers.authorization ?? "") ?? [];
  if (text === undefined) throw new TrustWardenError("svid_bearer_refused");
  const now = services.clock.trustedSeconds();
  const token = verifyLiveToken(services, text);
  if (!origins.some((origin) => token.audience === `${origin}/${upstream.name}`)) {
    throw new TrustWardenError("access_token_audience", { audience: token.audience });
  }
  const proofText = String(headers.dpop ?? "");
  const [path = ""] = target.split("?");
  const urls = origins.map((origin) => `${origin}${path}`);
  const proof = verifyDpopProof(proofText, { method, urls, accessToken: text, now });
  if (token.confirmation.kind !== "jkt" || token.confirmation.digest !== proof.thumbprint) {
    throw new TrustWardenError("access_token_unbound");
  }
  return { token, proof, proofText };
}

/**
 * The agent of a call that presents a token; its proof is used up.
 *
 * @throws TrustWardenError as `verifyShownToken`, `dpop_nonce_missing`, `dpop_replayed`, `message_signature_missing`,
 *   `message_signature_invalid`, and the planner's codes.
 */
export async function authenticateToken(services: Services, arrival: CallArrival): Promise<GatewayCaller> {
  const now = services.clock.trustedSeconds();
  const epoch = services.reads.epoch();
  const { token, proof, proofText } = verifyShownToken(services, arrival);
  services.oauth.requireFreshNonce(proof.nonce, now);
  const plan = planCall(describeUpstream(arrival.upstream), arrival.request);
  const signature = verifyBody(services, { arrival, plan, proof, now });
  const state = services.reads.findAccessToken(token.jti);
  if (state === undefined) throw new TrustWardenError("access_token_revoked");
  const chain = requireLiveChain(services.reads, state.clientInstanceId, now);
  const spiffeId = parseSpiffeId(token.clientId);
  const agent = agentOfToken({ spiffeId, svidSha256: proof.thumbprint, chain });
  await services.oauth.claimProof(proof, now);
  return {
    agent,
    intent: issuePresentedRecord(services, {
      agent: { id: agent.agentId, spiffe_id: agent.spiffeId },
      action: plan.action,
      resource: plan.resource,
      token: { jti: token.jti, jkt: proof.thumbprint },
      proof: proofText,
      signature,
    }),
    plan,
    action: plan.action,
    epoch,
    expiresAt: Math.min(token.expiresAt, ...chain.map(({ expiresAt }) => expiresAt)),
    presented: {
      kind: "token",
      jti: token.jti,
      scope: token.scope,
      subjectInstanceId: state.subjectInstanceId,
    },
  };
}

/**
 * The scopes that a call has to be covered by: each link's, when the token and each link of whoever it acts for cover
 * it too; otherwise none at all, which covers nothing.
 *
 * @throws TrustWardenError `access_token_revoked`, and the codes of a dead instance.
 */
export function scopesOf(
  services: Services,
  { agent, presented, action }: Pick<GatewayCaller, "agent" | "presented" | "action">,
): readonly Scope[] {
  const scopes = agent.chain.map(({ scope }) => scope);
  if (presented?.kind !== "token") return scopes;
  const { jti, scope, subjectInstanceId } = presented;
  if (services.reads.findAccessToken(jti)?.isRevoked !== false)
    throw new TrustWardenError("access_token_revoked");
  const subject = requireLiveChain(services.reads, subjectInstanceId, services.clock.trustedSeconds());
  const limits = [scope, ...subject.map((link) => link.scope)];
  return limits.every((limit) => isCovered(limit, action)) ? scopes : [];
}

/** The agent with everybody whose end must end its call: whoever it acts for is watched like an ancestor. */
export function watchedAgentOf(
  { reads }: Pick<Services, "reads">,
  { agent, presented }: Pick<GatewayCaller, "agent" | "presented">,
): AgentPrincipal {
  if (presented?.kind !== "token" || presented.subjectInstanceId === agent.instanceId) return agent;
  const subject = reads.chainOf(presented.subjectInstanceId).map((link) => ({
    agentId: link.agentId ?? "",
    instanceId: link.instanceId,
    spiffeId: link.spiffeId,
    scope: link.scope,
  }));
  return { ...agent, chain: [...subject, ...agent.chain] };
}

/** A DPoP proof says nothing of the body, so what is more than a read is signed as a whole. */
function verifyBody(
  services: Services,
  {
    arrival,
    plan,
    proof,
    now,
  }: {
    readonly arrival: CallArrival;
    readonly plan: CallPlan;
    readonly proof: DpopProof;
    readonly now: number;
  },
): PresentedIntent["signature"] {
  const isRead = classOf(plan.action, services.policy.classes) === "C";
  const { headers } = arrival.request;
  if (isRead && headers["signature-input"] === undefined) return null;
  const { method, body, target } = arrival;
  const url = `https://${arrival.headers.host}${target}`;
  const message = { method, url, headers, body };
  const { baseSha256, value } = verifyMessageSignature(message, { publicKey: proof.publicKey, now });
  return { base_sha256: baseSha256, value };
}
