/**
 * What an enrollee brings who has no document: evidence of what it is, the new key, and the proof that it holds it.
 *
 * A join token is looked up by its digest in the transaction that uses it; other evidence is verified by its attestor.
 * The possession is checked first, so that nobody makes us verify evidence for a key that nobody holds.
 */
import { digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { digestOfJoinToken } from "@trustwarden/core/agentid/enrolment-value.ts";
import { verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { Evidence } from "@trustwarden/core/api/attestation.ts";
import type { AttestedInstanceRequest, NodeRequest } from "@trustwarden/core/api/registration.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import type { EnrolleePrincipal } from "@trustwarden/core/principal.ts";
import type { AdmitNodeCommand, NetworkAttestation } from "../store/registration-ports.ts";
import type { EnrolleeCaller } from "./caller.ts";
import { digestOrNull, selectorTextsOf } from "./composition-request.ts";
import type { Services } from "./services.ts";
import { spendNonce } from "./used-once.ts";

/** A key that its holder proved to hold, for exactly this evidence. */
interface ProvenRequest {
  readonly spki: Uint8Array;
  readonly thumbprint: string;
  readonly evidenceSha256: string;
  /** Spent. */
  readonly nonce: string;
}

/**
 * A node that asks to be admitted; its nonce is spent.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError the `possession_` and `attestation_` codes, `nonce_invalid`, `public_key_refused`.
 */
export async function verifyJoiningNode(
  services: Services,
  request: NodeRequest,
  now: number,
): Promise<EnrolleeCaller> {
  const { evidence, possession, name = null } = request;
  const proven = await verifyRequest(services, request, now);
  const by = await verifyNodeEvidence(services, { evidence, nonce: proven.nonce, now });
  const via = by.kind === "join-token" ? "join-token" : "attestation";
  const enrolmentId = by.kind === "join-token" ? by.tokenSha256 : proven.evidenceSha256;
  const { spki, evidenceSha256 } = proven;
  return {
    principal: principalOf({ via, enrolmentId, thumbprint: proven.thumbprint }),
    intent: null,
    enrolment: { node: { by, name, spki, possession, evidenceSha256 } },
  };
}

/**
 * A workload whose evidence says what it is; its nonce is spent.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError as `verifyJoiningNode`.
 */
export async function verifyAttestedWorkload(
  services: Services,
  request: AttestedInstanceRequest,
  now: number,
): Promise<EnrolleeCaller> {
  const { evidence, possession, composition, entry_id: entryId } = request;
  const { spki, thumbprint, evidenceSha256, nonce } = await verifyRequest(services, request, now);
  const attestation = await attest(services, { evidence, nonce, now });
  return {
    principal: principalOf({ via: "attestation", enrolmentId: evidenceSha256, thumbprint }),
    intent: null,
    enrolment: {
      workload: {
        entryId,
        asker: { kind: "evidence", attestation, evidenceSha256 },
        compositionSha256: digestOrNull(composition),
        compositionSelectors: selectorTextsOf(composition),
        custody: "agent",
        key: { spki, possession },
        classKey: null,
      },
    },
  };
}

async function verifyRequest(
  services: Pick<Services, "nonces" | "sharing">,
  request: Pick<NodeRequest, "evidence" | "spki" | "possession">,
  now: number,
): Promise<ProvenRequest> {
  const spki = parseBase64url(request.spki);
  const evidenceSha256 = digestOfEvidence({ ...request.evidence });
  const proof = { envelope: request.possession, spki, enrolmentSha256: evidenceSha256 };
  const { nonce, thumbprint } = verifyPossession(proof);
  await spendNonce(services, nonce, now);
  return { spki, thumbprint, evidenceSha256, nonce };
}

async function verifyNodeEvidence(
  services: Services,
  shown: { readonly evidence: NodeRequest["evidence"]; readonly nonce: string; readonly now: number },
): Promise<AdmitNodeCommand["by"]> {
  const { evidence, nonce, now } = shown;
  if (evidence.type === "join_token") {
    return { kind: "join-token", tokenSha256: digestOfJoinToken(evidence.token) };
  }
  return { kind: "attestation", attestation: await attest(services, { evidence, nonce, now }) };
}

async function attest(
  { attestors, trustDomain }: Services,
  shown: { readonly evidence: Evidence; readonly nonce: string; readonly now: number },
): Promise<NetworkAttestation> {
  const { evidence, nonce, now: nowSeconds } = shown;
  const audience = formatSpiffeId(trustDomain, []);
  const attested = await attestors.attest(evidence, { nowSeconds, nonce, audience });
  const { type, selectors, subject, claims, singleUse } = attested;
  return { type, selectors: formatSelectors(selectors), subject, claims, singleUse };
}

function principalOf(enrollee: Omit<EnrolleePrincipal, "kind">): EnrolleePrincipal {
  return { kind: "enrollee", ...enrollee };
}
