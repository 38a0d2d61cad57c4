/**
 * What one admin alone may not do: asked by one, confirmed by another, done once.
 *
 * Who confirms is somebody else in every way that the state can tell: another person, an admin of this moment, whom the one who
 * asked has neither brought in nor recovered nor raised lately, and by a passkey that was there before the question.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { ConfirmationChange, ConfirmationState } from "../../confirmation-ports.ts";
import { findConfirmation } from "../../confirmation-rows.ts";
import type { PeopleChanged } from "../../people-ports.ts";
import { findPerson, isAdmin } from "../../people-rows.ts";
import type { CommandContext } from "../../ports.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { acceptAssertion } from "./passkeys.ts";
import { confirmationEvent } from "./people-events.ts";
import { requireIndependent } from "./vouching.ts";

/** Open questions of one principal. */
const MAX_OPEN = 20;
/** Answered and expired ones stay this long, to be looked at. */
const KEPT_SECONDS = 86_400;
const MAX_REMOVED = 500;

const INSERT = `
  INSERT INTO confirmations (confirmation_id, asked_by, method, target, body, digest, salt, reason, created_at, expires_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const COUNT_OPEN = `
  SELECT COUNT(*) AS n FROM confirmations WHERE asked_by = ? AND used_at IS NULL AND expires_at > ?`;
const ANSWER = `
  UPDATE confirmations SET answer = ?, answered_by = ?
  WHERE confirmation_id = ? AND answer IS NULL AND expires_at > ?`;
const USE = `
  UPDATE confirmations SET used_at = ?
  WHERE confirmation_id = ? AND answer = 'confirm' AND used_at IS NULL AND expires_at > ?`;
const REMOVE = `
  DELETE FROM confirmations WHERE confirmation_id IN
    (SELECT confirmation_id FROM confirmations WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;

type Change<Name extends ConfirmationChange["change"]> = Extract<
  ConfirmationChange,
  { readonly change: Name }
>;

/**
 * @throws TrustWardenError `confirmation_invalid`, `confirmation_pending`, `second_admin_required`, `quota_exceeded`, `not_found`,
 *   `challenge_used`, `passkey_invalid`.
 */
export function changeConfirmation(
  database: SqliteDatabase,
  { change, context }: { readonly change: ConfirmationChange; readonly context: CommandContext },
): CommandResult<PeopleChanged> {
  switch (change.change) {
    case "ask":
      return ask(database, change, context);
    case "answer":
      return answer(database, change, context);
    case "use":
      return use(database, change, context);
  }
}

function ask(
  database: SqliteDatabase,
  { confirmation }: Change<"ask">,
  context: CommandContext,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const { id, method, target, body, digest, salt, reason, expiresAt } = confirmation;
  const askedBy = context.principal;
  if ((database.get(COUNT_OPEN, askedBy, now)?.integer("n") ?? 0) >= MAX_OPEN) {
    throw new TrustWardenError("quota_exceeded", { of: "confirmations" });
  }
  database.run(REMOVE, now - KEPT_SECONDS);
  database.run(INSERT, id, askedBy, method, target, body, digest, salt, reason, now, expiresAt);
  return confirmationEvent(id, "ask", { asked_by: askedBy, method, digest, expires_at: expiresAt });
}

function answer(
  database: SqliteDatabase,
  { id, personId, signed }: Change<"answer">,
  context: CommandContext,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const asked = requireConfirmation(database, id);
  const proof = signed === null ? {} : confirm(database, { asked, personId, signed, now });
  const { changes } = database.run(ANSWER, signed === null ? "refuse" : "confirm", personId, id, now);
  if (changes !== 1) throw new TrustWardenError("confirmation_invalid", { reason: "answered, or over" });
  const { askedBy: asked_by, digest } = asked;
  return confirmationEvent(id, signed === null ? "refuse" : "confirm", {
    asked_by,
    answered_by: personId,
    digest,
    ...proof,
  });
}

/** The passkey's word, with all that somebody needs to check it offline. */
function confirm(
  database: SqliteDatabase,
  {
    asked,
    personId,
    signed,
    now,
  }: {
    readonly asked: ConfirmationState;
    readonly personId: string;
    readonly signed: NonNullable<Change<"answer">["signed"]>;
    readonly now: number;
  },
): JsonObject {
  requireSecondAdmin(database, { asked, personId, now });
  const passkey = acceptAssertion(database, { assertion: signed.assertion, now });
  const isOwn = passkey.personId === personId && passkey.createdAt <= asked.createdAt;
  if (!isOwn) throw new TrustWardenError("second_admin_required", { reason: "passkey" });
  const { clientDataJson, authenticatorData, signature } = signed.evidence;
  return {
    // Under whose name the passkey is found, where the person is an owner.
    owner: findPerson(database, personId)?.ownerId ?? null,
    credential_id: passkey.credentialId,
    client_data_json: clientDataJson,
    authenticator_data: authenticatorData,
    signature,
  };
}

/** Asked again when the request comes: whoever confirmed may have gone since. */
function use(
  database: SqliteDatabase,
  { id, digest }: Change<"use">,
  context: CommandContext,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const asked = requireConfirmation(database, id);
  if (asked.askedBy !== context.principal) refuse("asked by another");
  if (asked.digest !== digest) refuse("of another request");
  if (now >= asked.expiresAt) refuse("over");
  const { answeredBy } = asked;
  if (answeredBy === null) throw new TrustWardenError("confirmation_pending");
  requireSecondAdmin(database, { asked, personId: answeredBy, now });
  if (database.run(USE, now, id, now).changes !== 1) refuse("refused, or used");
  return confirmationEvent(id, "use", {
    asked_by: asked.askedBy,
    answered_by: answeredBy,
    method: asked.method,
    digest,
  });
}

function requireSecondAdmin(
  database: SqliteDatabase,
  {
    asked,
    personId,
    now,
  }: { readonly asked: ConfirmationState; readonly personId: string; readonly now: number },
): void {
  if (asked.askedBy === `person:${personId}`) {
    throw new TrustWardenError("second_admin_required", { reason: "the same person" });
  }
  if (!isAdmin(database, personId))
    throw new TrustWardenError("second_admin_required", { reason: "no admin" });
  requireIndependent(database, { personId, of: asked.askedBy, now });
}

function requireConfirmation(database: SqliteDatabase, id: string): ConfirmationState {
  const found = findConfirmation(database, id);
  if (found === undefined) throw new TrustWardenError("confirmation_invalid", { reason: "unknown" });
  return found;
}

function refuse(reason: string): never {
  throw new TrustWardenError("confirmation_invalid", { reason });
}
