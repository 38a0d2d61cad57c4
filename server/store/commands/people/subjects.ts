/**
 * People by their subject at an identity provider: bound to one person at its first use, for ever, and a session's proof from
 * then on. The writer sees a keyed digest of the subject and never the subject.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PeopleChanged, PeopleCommand, UsedSubject } from "../../people-ports.ts";
import { findSubject } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { useLink } from "./links.ts";
import { requireOwnWord } from "./own-passkeys.ts";
import { claimChallenge } from "./passkeys.ts";
import { peopleEvent } from "./people-events.ts";
import { insertPerson, ownerOf } from "./register.ts";
import { openSession, requirePerson } from "./sessions.ts";
import { vouchFor } from "./vouching.ts";

const BIND = `
  INSERT INTO person_subjects (issuer, subject, person_id, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`;

const COUNT_OF_PERSON = "SELECT COUNT(*) AS count FROM person_subjects WHERE person_id = ?";
/** More providers than anybody has. */
const MAX_IDENTITIES = 8;

type Change<Name extends PeopleCommand["change"]> = Extract<PeopleCommand, { readonly change: Name }>;

/**
 * A new person, without a passkey. Who is to be an owner becomes one with its first passkey, by which an owner is known.
 *
 * @throws TrustWardenError `link_invalid`, `challenge_used`, `person_exists` also for a subject that is somebody.
 */
export function registerSubject(
  database: SqliteDatabase,
  command: Change<"register-subject">,
): CommandResult<PeopleChanged> {
  const { personId, subject, sealed, session } = command;
  const now = secondsOf(command.context);
  const link = useLink(database, { linkSha256: command.linkSha256, now });
  if (link.kind !== "invitation") throw new TrustWardenError("link_invalid", { reason: "needs a passkey" });
  claimChallenge(database, subject.challenge);
  const ownerId = ownerOf(database, link);
  insertPerson(database, { personId, ownerId, link, sealed, addressLook: command.addressLook, now });
  bind(database, { personId, subject, now });
  vouchFor(database, { personId, by: link.createdBy, now });
  openSession(database, { session, personId, via: "oidc", now });
  return peopleEvent("person", {
    id: personId,
    change: "register",
    ownerId,
    details: {
      person: personId,
      roles: [...link.roles],
      link_kind: link.kind,
      organization: link.organizationId,
      via: "oidc",
      issuer: subject.issuer,
    },
  });
}

/** @throws TrustWardenError `challenge_used`, `session_invalid`. */
export function logInSubject(
  database: SqliteDatabase,
  { personId, subject, session, context }: Change<"log-in-subject">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  claimChallenge(database, subject.challenge);
  if (findSubject(database, subject) !== personId) {
    throw new TrustWardenError("session_invalid", { reason: "subject" });
  }
  const { ownerId } = requirePerson(database, personId);
  openSession(database, { session, personId, via: "oidc", now });
  const details = { person: personId, via: "oidc", issuer: subject.issuer };
  return peopleEvent("session", { id: personId, change: "log-in", ownerId, details });
}

/**
 * A further provider that knows a person: one person stays one, and what is one person's is nobody else's.
 *
 * @throws TrustWardenError `challenge_used`, `passkey_invalid`, `person_exists` for a subject that is somebody, also this one;
 *   `quota_exceeded`.
 */
export function addIdentity(
  database: SqliteDatabase,
  { personId, subject, assertion, context }: Change<"add-identity">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const { ownerId } = requirePerson(database, personId);
  requireOwnWord(database, { personId, assertion, now });
  claimChallenge(database, subject.challenge);
  const known = database.get(COUNT_OF_PERSON, personId)?.integer("count") ?? 0;
  if (known >= MAX_IDENTITIES) throw new TrustWardenError("quota_exceeded", { of: "identities" });
  bind(database, { personId, subject, now });
  const details = { person: personId, by: assertion.credentialId, issuer: subject.issuer };
  return peopleEvent("person", { id: personId, change: "add-identity", ownerId, details });
}

function bind(
  database: SqliteDatabase,
  {
    personId,
    subject: { issuer, subject },
    now,
  }: { readonly personId: string; readonly subject: UsedSubject; readonly now: number },
): void {
  const { changes } = database.run(BIND, issuer, subject, personId, now);
  if (changes === 0) throw new TrustWardenError("person_exists", { reason: "subject" });
}
