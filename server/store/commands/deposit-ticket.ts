/**
 * Keeps that an owner signed a ticket by a passkey: what a device counts and what was deposited is checked in one
 * transaction, so that an assertion counts once, and a ticket of a passkey counts only when it came in by this way.
 *
 * The event has the ticket's members and digest but not its signature: until it is used a ticket is as good as a key, and
 * whoever reads the ledger is not its holder. The event of the instance that uses it has the whole.
 */
import { digestOfEnrolment, formatOwnerKeyid, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { UsedAssertion } from "../people-ports.ts";
import { listOwnerPasskeys } from "../people-rows.ts";
import type { CommandContext, IssueCommand } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { requireLiveOwner } from "./admission.ts";
import { formatDocumentId } from "./claims.ts";
import { type CommandResult, secondsOf } from "./deps.ts";
import { acceptAssertion } from "./people/passkeys.ts";

const DEPOSIT = `
  INSERT INTO claims (kind, issuer, id, expires_at) VALUES ('deposited-ticket', ?, ?, ?) ON CONFLICT DO NOTHING`;
const FIND = "SELECT id FROM claims WHERE kind = 'deposited-ticket' AND issuer = ? AND id = ?";

export interface DepositTicketCommand {
  readonly context: CommandContext;
  /** As it was signed. */
  readonly ticket: Ticket;
  readonly envelope: string;
  readonly assertion: UsedAssertion;
}

/** @throws TrustWardenError `owner_unknown`, `identity_revoked`, `challenge_used`, `passkey_invalid`. */
export function depositTicket(
  database: SqliteDatabase,
  { context, ticket, envelope, assertion }: DepositTicketCommand,
): CommandResult<null> {
  const { owner: ownerId } = ticket;
  requireLiveOwner(database, ownerId);
  keepDeposited(database, { ticket, envelope, assertion, now: secondsOf(context) });
  return {
    value: null,
    draft: {
      kind: "ticket",
      allow: true,
      reasons: [],
      subject: ownerId,
      chain: [`owner:${ownerId}`],
      details: {
        change: "sign",
        ticket: { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } },
        ticket_sha256: digestOfEnrolment(envelope),
        credential_id: assertion.credentialId,
      },
    },
  };
}

/**
 * Takes in a ticket that a passkey signed: its assertion counts once, and the ticket from now on.
 *
 * @throws TrustWardenError as `acceptOwnersAssertion`.
 */
export function keepDeposited(
  database: SqliteDatabase,
  { ticket, envelope, assertion, now }: Omit<DepositTicketCommand, "context"> & { readonly now: number },
): void {
  const { owner: ownerId, jti, exp } = ticket;
  acceptOwnersAssertion(database, { ownerId, assertion, now });
  database.run(DEPOSIT, ownerId, formatDocumentId(jti, digestOfEnrolment(envelope)), exp);
}

/**
 * Takes an assertion of a passkey that signs for an owner, once.
 *
 * @throws TrustWardenError `challenge_used`, `passkey_invalid` also for a passkey of somebody else.
 */
export function acceptOwnersAssertion(
  database: SqliteDatabase,
  {
    ownerId,
    assertion,
    now,
  }: { readonly ownerId: string; readonly assertion: UsedAssertion; readonly now: number },
): void {
  const { credentialId } = acceptAssertion(database, { assertion, now });
  const isOwners = listOwnerPasskeys(database, ownerId).some((one) => one.credentialId === credentialId);
  if (!isOwners) throw new TrustWardenError("passkey_invalid", { reason: "owner" });
}

/**
 * Refuses a ticket that a passkey signed and nobody deposited, and one whose passkey was taken away since.
 *
 * @throws TrustWardenError `ticket_invalid`.
 */
export function requireDeposited(
  database: SqliteDatabase,
  { enrolment, jti, passkeyKeyid }: Pick<IssueCommand, "enrolment" | "jti" | "passkeyKeyid">,
  ownerId: string,
): void {
  if (passkeyKeyid === undefined) return;
  if (database.get(FIND, ownerId, formatDocumentId(jti, digestOfEnrolment(enrolment))) === undefined) {
    throw new TrustWardenError("ticket_invalid", { reason: "not deposited" });
  }
  if (!isOwnersPasskey(database, ownerId, passkeyKeyid)) {
    throw new TrustWardenError("ticket_invalid", { reason: "the passkey is gone" });
  }
}

/** Whether a passkey signs for an owner at this moment. @param keyid - of what it signed. */
export function isOwnersPasskey(database: SqliteDatabase, ownerId: string, keyid: string): boolean {
  return listOwnerPasskeys(database, ownerId).some(
    ({ spki }) => formatOwnerKeyid(parseP256PublicKey(spki)) === keyid,
  );
}
