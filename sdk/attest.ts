/**
 * From evidence to an identity: where the platform that runs a process says what it is, no ticket is needed.
 *
 * The evidence is asked for only after the server has proven itself, and for its nonce and its trust domain: nobody else
 * sees it or can use it.
 */
import { type Composition, formatComposition } from "@trustwarden/core/agentid/composition.ts";
import { digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { Evidence } from "@trustwarden/core/api/attestation.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createCredential } from "./credential.ts";
import type { Enrolled } from "./enrol.ts";
import type { InstanceKey } from "./instance-key.ts";
import type { PinnedServer } from "./place.ts";
import type { Runtime } from "./runtime.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** Enrolment waits for durable writes, and for the platform's own API where the server asks it. */
const ATTEST_TIMEOUT_MS = 20_000;

/** What evidence is to be made for. */
export interface Exchange {
  /** The server's, for this enrolment only. */
  readonly nonce: string;
  /** `spiffe://<trust domain>` */
  readonly audience: string;
}

/** Gets evidence from the platform; see `evidence.ts` for the ones that are known here. */
export type EvidenceSource = (exchange: Exchange) => Promise<Evidence>;

/** Who attests, to whom. */
export interface AttestOptions extends PinnedServer {
  readonly evidence: EvidenceSource;
  /** The registration entry that is meant, where several could match. */
  readonly entryId?: string;
  /** The agent that the entry must make of this process. */
  readonly name?: string;
  /** SHA-256 digests (base64url) of what the agent is made of; an entry may ask for them. */
  readonly composition?: Composition;
  readonly runtime?: Runtime;
}

/**
 * Enrols a new key by evidence.
 *
 * @throws TrustWardenError `evidence_unavailable`, the server's refusal, `server_untrusted`, `server_unreachable`.
 */
export async function enrolByEvidence(options: {
  readonly server: TrustServer;
  readonly key: InstanceKey;
  readonly wanted: Pick<AttestOptions, "evidence" | "entryId" | "name" | "composition">;
  readonly runtime: Runtime;
}): Promise<{ readonly enrolled: Enrolled; readonly agentId: string }> {
  const { server, key, wanted, runtime } = options;
  const nonce = await server.takeNonce();
  const evidence = await wanted.evidence({ nonce, audience: formatSpiffeId(server.trustDomain, []) });
  const enrolmentSha256 = digestOfEvidence({ ...evidence });
  const answer = await server.call({
    method: "POST",
    target: "/v1/attested-instances",
    body: encodeBody({
      entry_id: wanted.entryId ?? null,
      evidence: { ...evidence },
      composition: wanted.composition === undefined ? null : formatComposition(wanted.composition),
      spki: encodeBase64url(key.spki),
      possession: issuePossession({ nonce, enrolmentSha256 }, key.signer),
    }),
    schema: identityAnswer,
    timeoutMs: ATTEST_TIMEOUT_MS,
  });
  const isExpected = wanted.name === undefined || answer.name === wanted.name;
  if (!isExpected || answer.agent_id === null) {
    throw new TrustWardenError("server_untrusted", { reason: "not the identity that was asked for" });
  }
  return {
    enrolled: { answer, credential: createCredential({ answer, key, server, runtime }) },
    agentId: answer.agent_id,
  };
}
