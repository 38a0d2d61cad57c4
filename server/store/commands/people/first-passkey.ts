/**
 * The first passkey of somebody whom an identity provider brought. Nothing of this place can vouch for it but that provider's word,
 * so it is made right after a sign-in there, and never beside a passkey that exists: whoever has one adds others by its word.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { PeopleChanged, PeopleCommand, PersonState } from "../../people-ports.ts";
import { findSession } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { claimKey } from "../claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "../deps.ts";
import { addPasskey, claimChallenge } from "./passkeys.ts";
import { passkeyDetails, peopleEvent } from "./people-events.ts";
import { insertOwner, ownerEvent } from "./register.ts";
import { requirePerson } from "./sessions.ts";

/** Since the sign-in through a provider: a session that is stolen later makes none. */
const FIRST_PASSKEY_SECONDS = 5 * 60;

/** Also one that was removed: whoever had a passkey comes back by a recovery, and not by the provider alone. */
const HAD_PASSKEY = "SELECT credential_id FROM passkeys WHERE person_id = ? LIMIT 1";
const SET_OWNER = "UPDATE people SET owner_id = ? WHERE person_id = ?";

type AddFirst = Extract<PeopleCommand, { readonly change: "add-first-passkey" }>;

/** @throws TrustWardenError `sign_in_again`, `passkey_invalid`, `challenge_used`, `passkey_reused`, `key_reused`. */
export function addFirstPasskey(
  database: SqliteDatabase,
  command: AddFirst,
  deps: CommandDeps,
): CommandResult<PeopleChanged> {
  const { personId, passkey, challenge, context } = command;
  const now = secondsOf(context);
  requireJustProvided(database, command, now);
  if (database.get(HAD_PASSKEY, personId) !== undefined) {
    throw new TrustWardenError("passkey_invalid", { reason: "not the first" });
  }
  const person = requirePerson(database, personId);
  claimChallenge(database, challenge);
  const newOwner = isExpected(person) ? `own_${formatUlid(context.nowMs, deps.random)}` : null;
  claimKey(database, passkey.spki, newOwner ?? personId);
  if (newOwner !== null) {
    insertOwner(database, { ownerId: newOwner, personId, passkey, now });
    database.run(SET_OWNER, newOwner, personId);
  }
  addPasskey(database, { passkey, personId, now });
  const details = { person: personId, by: "oidc", ...passkeyDetails(passkey) };
  if (newOwner !== null) return ownerEvent({ personId, ownerId: newOwner, spki: passkey.spki }, details);
  return peopleEvent("person", { id: personId, change: "add-passkey", ownerId: person.ownerId, details });
}

/** Whether somebody was invited as an owner and has been none for want of a key. */
function isExpected({ roles, ownerId }: PersonState): boolean {
  return ownerId === null && roles.includes("owner");
}

function requireJustProvided(
  database: SqliteDatabase,
  { sessionSha256, personId }: AddFirst,
  now: number,
): void {
  const session = findSession(database, sessionSha256);
  const isFresh =
    session?.via === "oidc" &&
    session.personId === personId &&
    now < session.openedAt + FIRST_PASSKEY_SECONDS;
  if (!isFresh) throw new TrustWardenError("sign_in_again");
}
