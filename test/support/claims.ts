/** Agents that register themselves and are claimed, as they and their owners send it. */
import {
  digestOfEnrolment,
  digestOfEvidence,
  formatOwnerKeyid,
  issueTicket,
} from "@trustwarden/core/agentid/enrolment.ts";
import { findWork } from "@trustwarden/core/agentid/registration-work.ts";
import {
  type ClaimAnswer,
  type ClaimWish,
  claimAnswer,
  collectedClaim,
} from "@trustwarden/core/api/claims.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { nonceOf, parseAnswer, proofOf, type TestOwner, ticketDocument } from "./actors.ts";
import { type RawAnswer, send } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import type { TestServer } from "./server.ts";
import { postAsOwner } from "./transfers.ts";

/** What the first that waits has to bring. */
const WORK_BITS = 16;
const TTL_SECONDS = 3600;

/** An agent without an owner, and what it was told. */
export interface Foundling extends ClaimAnswer {
  readonly signer: TestOwner["signer"];
  readonly wish: ClaimWish;
}

/** What an agent asks to be, unless it is something else. */
export function wishOf(name: string, changes: Partial<ClaimWish> = {}): ClaimWish {
  return { path: "", name, scope: ["read:transactions"], ttl_seconds: TTL_SECONDS, owner: null, ...changes };
}

/** Asks, with as much work as it says. */
export async function postClaim(
  server: TestServer,
  wish: ClaimWish,
  { signer, bits }: { readonly signer: TestOwner["signer"]; readonly bits: number },
): Promise<RawAnswer> {
  const proof = proofOf(signer, {
    nonce: await nonceOf(server),
    enrolmentSha256: digestOfEvidence({ ...wish }),
  });
  const work = await findWork(proof.possession, { bits, pause: async () => undefined });
  const body = JSON.stringify({ wish, ...proof, work });
  return send(server.url, { method: "POST", target: "/v1/claims", body });
}

/** An agent that waits. */
export async function askToBeClaimed(server: TestServer, wish: ClaimWish): Promise<Foundling> {
  const signer = createTestSigner();
  const answer = await postClaim(server, wish, { signer, bits: WORK_BITS });
  return { ...parseAnswer(claimAnswer, answer), signer, wish };
}

/** Comes for the ticket, with whatever key. */
export async function collect(
  server: TestServer,
  { claim_id }: Pick<Foundling, "claim_id">,
  signer: TestOwner["signer"],
): Promise<RawAnswer> {
  const proof = proofOf(signer, {
    nonce: await nonceOf(server),
    enrolmentSha256: digestOfEnrolment(claim_id),
  });
  const body = JSON.stringify({ claim_id, ...proof });
  return send(server.url, { method: "POST", target: "/v1/claims/collection", body });
}

/** The ticket that came of it. */
export const ticketIn = (answer: RawAnswer): string => parseAnswer(collectedClaim, answer).ticket;

/** What an owner signs for an agent that waits, unless it is to say something else. */
export function claimTicket(
  owner: TestOwner,
  { signer, wish }: Pick<Foundling, "signer" | "wish">,
  changes: Parameters<typeof ticketDocument>[1] = {},
): string {
  const { path, name, ttl_seconds } = wish;
  const holder_thumbprint = formatThumbprint(signer.publicKey);
  const scope = parseScope(wish.scope);
  const asked = { path, name, scope, ttl_seconds, holder_thumbprint };
  const document = ticketDocument(owner.ownerId, { ...asked, ...changes });
  return issueTicket(document, owner.signer, formatOwnerKeyid(owner.signer.publicKey));
}

/** Answers for an agent in an owner's name. */
export function accept(
  server: TestServer,
  owner: TestOwner,
  claim: { readonly code: string; readonly ticket: string },
): Promise<RawAnswer> {
  return postAsOwner(server, owner, { target: "/v1/claims/acceptance", body: claim });
}

/** Looks a code up. */
export function search(server: TestServer, owner: TestOwner, code: string): Promise<RawAnswer> {
  return postAsOwner(server, owner, { target: "/v1/claims/search", body: { code } });
}
