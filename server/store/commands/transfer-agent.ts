/**
 * Gives an agent to another owner: the giver's offer is taken in, the receiver's acceptance carries it out.
 *
 * Both signatures were verified before. Here is what a transaction can say of them: that the offer came in and was not taken
 * before, that the agent is still what was offered, and that the receiver has room for it. Everything that lives in the
 * subtree dies with the transfer, since its chain names the owner of before: whoever answers for an agent is never changed
 * under it. What either owner, or a parent in the subtree, signed before is void, as after a revocation.
 */
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { digestOfTransfer, type Transfer } from "@trustwarden/core/transfer.ts";
import type { CommandContext, ControlDraft } from "../ports.ts";
import type { Row, SqliteDatabase } from "../sqlite-database.ts";
import type { AcceptTransferCommand, OfferTransferCommand, Transferred } from "../transfer-ports.ts";
import { requireLiveOwner } from "./admission.ts";
import { AGENT_TREE, endInstancesBelow } from "./agent-tree.ts";
import { formatDocumentId } from "./claims.ts";
import { dateOf } from "./clock.ts";
import { acceptOwnersAssertion, isOwnersPasskey } from "./deposit-ticket.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { readEnrolmentFloor } from "./enrolment-floor.ts";
import { advanceEpoch, dateEpoch } from "./epoch.ts";
import { requireAgentQuota } from "./registry.ts";
import { revoke } from "./revoke.ts";
import { requireEasyTaking } from "./velocity.ts";

const CLAIM = "INSERT INTO claims (kind, issuer, id, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
const TAKEN = "DELETE FROM claims WHERE kind = 'transfer-waits' AND issuer = ? AND id = ?";
/** A digest alone, from servers that did not note when, or with the second of its arrival behind it. */
const FIND_ENVELOPE =
  "SELECT id FROM claims WHERE kind = 'transfer-envelope' AND issuer = ? AND id >= ? AND id < ?";
const FIND_AGENT = "SELECT owner_id, parent_agent_id, is_revoked, revoked_at FROM agents WHERE agent_id = ?";
const FIND_OWNER = "SELECT owner_id FROM owners WHERE owner_id = ?";
const COUNT_TREE = `${AGENT_TREE}
  SELECT COUNT(*) AS count FROM agents WHERE is_revoked = 0 AND agent_id IN (SELECT id FROM tree)`;
const MOVE = `${AGENT_TREE}
  UPDATE agents SET owner_id = ?, revoked_at = MAX(COALESCE(revoked_at, 0), ?)
  WHERE agent_id IN (SELECT id FROM tree)`;

/**
 * Whether there is a receiver is not asked: an offer tells nobody who else is an owner.
 *
 * @throws TrustWardenError as `TransferCommands.offerTransfer`.
 */
export function offerTransfer(
  database: SqliteDatabase,
  { context, transfer, envelope, assertion }: OfferTransferCommand,
): CommandResult<null> {
  const { jti, from, exp } = transfer;
  requireLiveOwner(database, from);
  requireAsOffered(database, transfer);
  if (assertion !== null)
    acceptOwnersAssertion(database, { ownerId: from, assertion, now: secondsOf(context) });
  const id = formatDocumentId(jti, digestOfTransfer(envelope));
  if (database.run(CLAIM, "transfer-offer", from, id, exp).changes === 0)
    throw new TrustWardenError("transfer_used", { jti });
  const arrived = `${digestOfEnvelope(envelope)}@${secondsOf(context)}`;
  database.run(CLAIM, "transfer-envelope", from, arrived, exp);
  database.run(CLAIM, "transfer-waits", from, waitingIdOf(transfer), exp);
  return { value: null, draft: draftOf(transfer, { change: "offer", offer: envelope }) };
}

/** @throws TrustWardenError as `TransferCommands.acceptTransfer`. */
export function acceptTransfer(
  database: SqliteDatabase,
  command: AcceptTransferCommand,
  deps: CommandDeps,
): CommandResult<Transferred> {
  const { context, transfer, offer, acceptance, assertion } = command;
  const { agent, from, to, jti, exp } = transfer;
  const offeredAt = requireOffered(database, command);
  requireLiveOwner(database, from);
  requireLiveOwner(database, to);
  if (assertion !== null)
    acceptOwnersAssertion(database, { ownerId: to, assertion, now: secondsOf(context) });
  if (database.run(CLAIM, "transfer", from, jti, exp).changes === 0)
    throw new TrustWardenError("transfer_used", { jti });
  // A clock that is ahead signs for a moment that has not come: a stop before it is one after the offer all the same.
  requireAsOffered(database, { ...transfer, iat: Math.min(transfer.iat, offeredAt) });
  database.run(TAKEN, from, waitingIdOf(transfer));
  const agents = database.get(COUNT_TREE, agent)?.integer("count") ?? 0;
  requireAgentQuota(database, deps, { ownerId: to, more: agents });
  requireEasyTaking(database, deps, { ownerId: to, agentId: agent, now: secondsOf(context) });
  const target = { kind: "agent", id: agent } as const;
  const instances = move(database, { context, agentId: agent, ownerId: to });
  const details = { change: "accept", offer, acceptance, agents, instances };
  return { value: { agents, instances, target }, draft: draftOf(transfer, details) };
}

/** What the list of offers shows, and nobody acts on; the ids after the document's own are of one length each. */
function waitingIdOf({ jti, agent, to }: Transfer): string {
  return `${jti} ${agent} ${to}`;
}

/** Who takes what, and when. */
interface Move {
  readonly context: CommandContext;
  readonly agentId: string;
  readonly ownerId: string;
}

/**
 * Makes a transfer true again that happened after a backup. To an owner who is not in the backup it is the agent's end.
 *
 * @throws TrustWardenError `not_found` for an agent that is not there.
 */
export function repeatTransfer(database: SqliteDatabase, again: Move): void {
  const { context, agentId, ownerId } = again;
  if (database.get(FIND_AGENT, agentId) === undefined)
    throw new TrustWardenError("not_found", { kind: "agent" });
  if (database.get(FIND_OWNER, ownerId) !== undefined) move(database, again);
  else revoke(database, { context, target: { kind: "agent", id: agentId }, reason: "repeated by a restore" });
}

/** @returns how many live instances died by it. */
function move(database: SqliteDatabase, { context, agentId, ownerId }: Move): number {
  const at = dateOf(database, context);
  const epoch = advanceEpoch(database, { kind: "agent", id: agentId });
  dateEpoch(database, { epoch, at });
  const ends = endInstancesBelow(database, agentId, epoch);
  database.run(MOVE, agentId, ownerId, at);
  return ends.filter((expiresAt) => expiresAt > at).length;
}

/**
 * The very envelope that came in: where and how a passkey signed it was checked then, and is not asked of another one.
 *
 * @returns when it came in, Unix seconds; what it says itself of servers that did not note it.
 * @throws TrustWardenError `transfer_not_offered`, also when the passkey that offered was taken away since.
 */
function requireOffered(
  database: SqliteDatabase,
  { transfer: { from, jti, iat }, offer, passkeyKeyid }: AcceptTransferCommand,
): number {
  const digest = digestOfEnvelope(offer);
  const row = database.get(FIND_ENVELOPE, from, digest, `${digest}A`);
  if (row === undefined) throw new TrustWardenError("transfer_not_offered", { jti });
  if (passkeyKeyid !== null && !isOwnersPasskey(database, from, passkeyKeyid))
    throw new TrustWardenError("transfer_not_offered", { reason: "the passkey is gone" });
  const [, arrivedAt] = row.text("id").split("@");
  return arrivedAt === undefined ? iat : Number(arrivedAt);
}

/**
 * The agent is the giver's, nobody's child, alive, and nobody stopped it since the offer was signed.
 *
 * @throws TrustWardenError `transfer_stale` or `transfer_below`.
 */
function requireAsOffered(database: SqliteDatabase, { agent, from, iat }: Transfer): void {
  const row = database.get(FIND_AGENT, agent);
  if (row === undefined || row.text("owner_id") !== from)
    throw new TrustWardenError("transfer_stale", { agent });
  if (row.textOrNull("parent_agent_id") !== null) throw new TrustWardenError("transfer_below", { agent });
  if (isStopped(row, iat) || iat <= readEnrolmentFloor(database))
    throw new TrustWardenError("transfer_stale", { agent, reason: "stopped" });
}

function isStopped(row: Row, since: number): boolean {
  return row.integer("is_revoked") === 1 || (row.integerOrNull("revoked_at") ?? -1) >= since;
}

/** base64url SHA-256. */
function digestOfEnvelope(envelope: string): string {
  return encodeBase64url(sha256(encodeUtf8(envelope)));
}

/** The giver's chain: the event is the last of its custody; `to` is in what both signed and found by its name. */
function draftOf({ agent, from, to }: Transfer, details: ControlDraft["details"]): ControlDraft {
  return {
    kind: "transfer",
    allow: true,
    reasons: [],
    subject: agent,
    chain: [`owner:${from}`, agent],
    details: { agent_id: agent, from, owner: to, ...details },
  };
}
