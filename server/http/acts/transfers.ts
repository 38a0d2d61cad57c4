/**
 * Agents that change hands. The giver brings its signature first; the receiver brings both, and with that everything that
 * lives below the agent ends, everywhere, before the answer leaves.
 */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type {
  TransferAcceptance,
  TransferAnswer,
  TransferOffer,
  TransferOfferAnswer,
} from "@trustwarden/core/api/transfer.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isPasskey } from "@trustwarden/core/passkey.ts";
import {
  formatOfferValue,
  parseUnverifiedTransfer,
  requireSameTransfer,
  verifyTransfer,
} from "@trustwarden/core/transfer.ts";
import { findOwnerKey, findOwnerSignature, usedAssertionOf } from "../../console/owner-signature.ts";
import type { Caller } from "../caller.ts";
import { contextOf, trustedSecondsOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spread } from "./revocation.ts";

/**
 * Takes in what the giver signed. Whose agent it is, is asked in the transaction.
 *
 * @throws TrustWardenError `transfer_invalid`, `transfer_expired`, `signature_invalid`, `transfer_stale`, `transfer_below`,
 *   `transfer_used`, `passkey_invalid`, `challenge_used`.
 */
export async function offerTransfer(
  services: Services,
  visit: Visit<TransferOffer>,
): Promise<TransferOfferAnswer> {
  const { transfer: envelope } = visit.body;
  const ownerId = ownerOf(visit.caller);
  if (parseUnverifiedTransfer(envelope).from !== ownerId) throw invalid("from");
  const signature = findOwnerSignature(services, ownerId, envelope);
  const context = contextOf(services, visit);
  const transfer = verifyTransfer(envelope, {
    publicKey: signature.key,
    audience: formatSpiffeId(services.trustDomain, []),
    now: trustedSecondsOf(services, context),
  });
  const assertion = usedAssertionOf(signature, transfer.exp);
  const committed = await services.commands.offerTransfer({ context, transfer, envelope, assertion });
  await services.ledger.settle(committed);
  const { agent: agent_id, from, to, exp: expires_at } = transfer;
  return { agent_id, from, to, expires_at, offer: formatOfferValue(envelope) };
}

/**
 * Carries a transfer out.
 *
 * @throws TrustWardenError as `offerTransfer`; `transfer_not_offered`, `quota_exceeded`, `registration_costly`.
 */
export async function acceptTransfer(
  services: Services,
  visit: Visit<TransferAcceptance>,
): Promise<TransferAnswer> {
  const startedMs = services.clock.monoMs();
  const { offer, acceptance } = visit.body;
  const ownerId = ownerOf(visit.caller);
  const claimed = parseUnverifiedTransfer(acceptance);
  if (claimed.to !== ownerId) throw invalid("to");
  requireSameTransfer(offer, acceptance);
  const context = contextOf(services, visit);
  const now = trustedSecondsOf(services, context);
  const check = { audience: formatSpiffeId(services.trustDomain, []), now };
  // Signed some time ago, wherever the console was then; what the device counted was taken when the offer came in.
  const giverKey = findOwnerKey(services, claimed.from, offer);
  verifyTransfer(offer, { ...check, publicKey: giverKey });
  const signature = findOwnerSignature(services, ownerId, acceptance);
  const transfer = verifyTransfer(acceptance, { ...check, publicKey: signature.key });
  const committed = await services.commands.acceptTransfer({
    context,
    transfer,
    offer,
    acceptance,
    assertion: receiversOwn(usedAssertionOf(signature, transfer.exp)),
    passkeyKeyid: isPasskey(giverKey) ? formatOwnerKeyid(giverKey) : null,
  });
  const { agents, instances, target } = committed.value;
  const stopped = await spread(services, { committed, targets: [target], startedMs });
  return { ...stopped, agent_id: transfer.agent, owner_id: transfer.to, agents, instances };
}

/** Both sign the same bytes, so that their challenges are the same: each of them counts once. */
function receiversOwn(assertion: ReturnType<typeof usedAssertionOf>): ReturnType<typeof usedAssertionOf> {
  if (assertion === null) return null;
  const { id, expiresAt } = assertion.challenge;
  return { ...assertion, challenge: { id: `${id} accepted`, expiresAt } };
}

function ownerOf({ principal }: Caller): string {
  const ownerId = principal.kind === "owner" || principal.kind === "person" ? principal.ownerId : null;
  if (ownerId === null) throw invalid("owner");
  return ownerId;
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("transfer_invalid", { field });
}
