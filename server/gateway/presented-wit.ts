/**
 * Agents that come with a WIT-SVID, a workload proof token and an HTTP message signature, all of one key.
 *
 * The proof names the URL; the signature covers method, query, both credentials and the body, whatever the class of the
 * action, and carries a nonce of ours, so that no restart makes an old request new. Only WIT-SVIDs of this trust domain:
 * the ledger has to show that each was issued. Off unless the setting says so.
 *
 * @see draft-ietf-wimse-wpt-02; draft-ietf-wimse-http-signature-08; docs/decisions/0027
 */
import { formatP256Jwk } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { verifyMessageSignature } from "@trustwarden/core/http-signature.ts";
import { verifyWorkloadProof, type WorkloadProof } from "@trustwarden/core/workload-proof.ts";
import { agentOfToken, instanceIdOfSpiffeId, requireLiveChain } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import { type OwnWitSvid, verifyOwnWit } from "../oauth/own-wit.ts";
import type { CallArrival, GatewayCaller } from "./ports.ts";
import { issuePresentedRecord } from "./presented-record.ts";
import { describeUpstream } from "./upstreams.ts";

const SCHEME = /^WPT +([A-Za-z0-9_.-]+)$/i;

/** A WIT-SVID whose key signed for this request's URL. */
interface ShownWit {
  readonly svid: OwnWitSvid;
  readonly proof: WorkloadProof;
  /** As it came. */
  readonly proofText: string;
}

/** Whether a request comes with a workload proof token, good or not. */
export function hasWorkloadProof({ authorization }: CallArrival["headers"]): boolean {
  return authorization !== undefined && /^WPT(?: |$)/i.test(authorization);
}

/**
 * The WIT-SVID and the proof of a request whose body was not read yet; nothing is used up.
 *
 * @throws TrustWardenError `wit_disabled`, `wpt_invalid`, `principal_refused`, and the codes of `verifyWitSvid`.
 */
export function verifyShownWit(
  services: Services,
  { target, headers }: Pick<CallArrival, "target" | "headers">,
): ShownWit {
  const now = services.clock.trustedSeconds();
  const wit = headers["workload-identity-token"];
  const [, proofText] = SCHEME.exec(headers.authorization ?? "") ?? [];
  if (typeof wit !== "string" || proofText === undefined) throw new TrustWardenError("wpt_invalid");
  const svid = verifyOwnWit(services, wit, now);
  const [path = ""] = target.split("?");
  const urls = services.gateway.origins().map((origin) => `${origin}${path}`);
  const shown = { urls, wit, headers: textsOf(headers), now };
  return { svid, proof: verifyWorkloadProof(proofText, svid.confirmationKey, shown), proofText };
}

/**
 * The agent of a call that presents a WIT-SVID; its proof is used up.
 *
 * @throws TrustWardenError as `verifyShownWit`, `message_signature_missing`, `message_signature_invalid`,
 *   `signature_nonce_missing`, `wpt_replayed`, the codes of a dead instance, and the planner's.
 */
export async function authenticateWit(services: Services, arrival: CallArrival): Promise<GatewayCaller> {
  const now = services.clock.trustedSeconds();
  const epoch = services.reads.epoch();
  const { svid, proof, proofText } = verifyShownWit(services, arrival);
  const plan = planCall(describeUpstream(arrival.upstream), arrival.request);
  const signature = verifyWhole(services, arrival, { svid, now });
  const chain = requireLiveChain(services.reads, instanceIdOfSpiffeId(services, svid.id), now);
  const thumbprint = svid.confirmationThumbprint;
  const agent = agentOfToken({ spiffeId: svid.id, svidSha256: thumbprint, chain });
  await services.oauth.claimWorkloadProof({ thumbprint, jti: proof.jti }, now);
  return {
    agent,
    intent: issuePresentedRecord(services, {
      agent: { id: agent.agentId, spiffe_id: agent.spiffeId },
      action: plan.action,
      resource: plan.resource,
      token: { jti: svid.jti, jkt: thumbprint },
      wit_key: formatP256Jwk(svid.confirmationKey),
      proof: proofText,
      signature,
    }),
    plan,
    action: plan.action,
    epoch,
    expiresAt: Math.min(svid.expiresAt, ...chain.map(({ expiresAt }) => expiresAt)),
    presented: { kind: "wit" },
  };
}

/** A proof that says neither method nor body is worth nothing beside another method or body. */
function verifyWhole(
  services: Services,
  { method, target, body, headers, request }: CallArrival,
  { svid, now }: { readonly svid: OwnWitSvid; readonly now: number },
): { readonly base_sha256: string; readonly value: string } {
  const url = `https://${headers.host}${target}`;
  const message = { method, url, headers: request.headers, body };
  const { baseSha256, value, nonce } = verifyMessageSignature(message, {
    publicKey: svid.confirmationKey,
    now,
  });
  if (!services.oauth.isFreshNonce(nonce, now)) throw new TrustWardenError("signature_nonce_missing");
  return { base_sha256: baseSha256, value };
}

function textsOf(headers: CallArrival["headers"]): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );
}
