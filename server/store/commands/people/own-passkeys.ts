/** Somebody's further passkeys: each added and removed with the word of another one that stays. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PeopleChanged, PeopleCommand, UsedAssertion } from "../../people-ports.ts";
import { findPasskey, findPerson } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { claimKey } from "../claims.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { endLinksOf } from "./links.ts";
import { acceptAssertion, addPasskey, claimChallenge } from "./passkeys.ts";
import { passkeyDetails, peopleEvent } from "./people-events.ts";
import { endOtherSessions } from "./sessions.ts";

const REMOVE = "UPDATE passkeys SET removed_at = ? WHERE credential_id = ?";

type Change<Name extends PeopleCommand["change"]> = Extract<PeopleCommand, { readonly change: Name }>;

/** @throws TrustWardenError `passkey_invalid`, `challenge_used`, `passkey_reused`, `key_reused`, `quota_exceeded`. */
export function addOwnPasskey(
  database: SqliteDatabase,
  { personId, passkey, challenge, assertion, context }: Change<"add-passkey">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  requireOwnWord(database, { personId, assertion, now });
  claimChallenge(database, challenge);
  claimKey(database, passkey.spki, personId);
  addPasskey(database, { passkey, personId, now });
  return peopleEvent("person", {
    id: personId,
    change: "add-passkey",
    // The owner's documents are checked offline by what stands under its name.
    ownerId: findPerson(database, personId)?.ownerId ?? null,
    details: {
      person: personId,
      by: assertion.credentialId,
      ...passkeyDetails(passkey),
    },
  });
}

/**
 * Removes a key that was lost or is not wanted; whoever has it may be logged in and have handed out links, so that every
 * other session ends, and every link that the person made and nobody used.
 *
 * @throws TrustWardenError `passkey_invalid` when the word is that of the key itself: the last one is never removed; `not_found`.
 */
export function removeOwnPasskey(
  database: SqliteDatabase,
  { personId, credentialId, sessionSha256, assertion, context }: Change<"remove-passkey">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  if (assertion.credentialId === credentialId) {
    throw new TrustWardenError("passkey_invalid", { reason: "signed by the key itself" });
  }
  requireOwnWord(database, { personId, assertion, now });
  if (findPasskey(database, credentialId)?.personId !== personId) {
    throw new TrustWardenError("not_found", { kind: "passkey" });
  }
  database.run(REMOVE, now, credentialId);
  endOtherSessions(database, { personId, sessionSha256, now });
  const linksEnded = endLinksOf(database, { personId, now });
  return peopleEvent("person", {
    id: personId,
    change: "remove-passkey",
    ownerId: findPerson(database, personId)?.ownerId ?? null,
    details: {
      person: personId,
      by: assertion.credentialId,
      credential_id: credentialId,
      links_ended: linksEnded,
    },
  });
}

/** Takes an assertion of a passkey of exactly this person, once. @throws TrustWardenError `challenge_used`, `passkey_invalid`. */
export function requireOwnWord(
  database: SqliteDatabase,
  {
    personId,
    assertion,
    now,
  }: { readonly personId: string; readonly assertion: UsedAssertion; readonly now: number },
): void {
  if (acceptAssertion(database, { assertion, now }).personId !== personId) {
    throw new TrustWardenError("passkey_invalid", { reason: "person" });
  }
}
