/** Tickets that owners sign by a passkey: taken in here, used by whoever enrols with them. */
import { verifyTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import type { SignedTicketRequest, TicketAnswer } from "@trustwarden/core/api/identity.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { findOwnerSignature, usedAssertionOf } from "../../console/owner-signature.ts";
import { personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/**
 * Takes in a ticket that the owner signed in its browser, and gives the value for the agent.
 *
 * @throws TrustWardenError `signature_invalid`, `ticket_invalid`, `ticket_expired`, `passkey_invalid`, `challenge_used`.
 */
export async function depositTicket(
  services: Services,
  visit: Visit<SignedTicketRequest>,
): Promise<TicketAnswer> {
  const { ownerId } = personOf(visit.caller);
  if (ownerId === null) throw new TrustWardenError("ticket_invalid", { field: "owner" });
  const { ticket: envelope } = visit.body;
  const signature = findOwnerSignature(services, ownerId, envelope);
  const ticket = verifyTicket(envelope, {
    publicKey: signature.key,
    audience: services.trustDomain,
    now: services.clock.trustedSeconds(),
  });
  const assertion = usedAssertionOf(signature, ticket.exp);
  // Of its own owner, and by a device: whoever has a file's key signs where the file is.
  if (ticket.owner !== ownerId || assertion === null) {
    throw new TrustWardenError("ticket_invalid", { field: "owner" });
  }
  const context = contextOf(services, visit);
  await services.ledger.settle(
    await services.commands.depositTicket({ context, ticket, envelope, assertion }),
  );
  const { authoritiesSha256 } = services.authority();
  const { server } = services.urls();
  return { ticket: formatTicketValue({ authoritiesSha256, server, ticket: envelope }) };
}
