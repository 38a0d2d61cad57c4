/** Sessions of people: opened by a proof, ended by their holder, the removal of a passkey, or the recovery or end of the person. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type {
  NewSession,
  PeopleChanged,
  PeopleCommand,
  PersonState,
  SessionState,
} from "../../people-ports.ts";
import { findPerson } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { acceptAssertion } from "./passkeys.ts";
import { peopleEvent } from "./people-events.ts";

/** Of one person; the one that was opened first gives way. */
const MAX_SESSIONS = 20;
/** Sessions that are over stay this long. */
const KEPT_SECONDS = 86_400;
const MAX_REMOVED = 500;

const INSERT = `
  INSERT INTO person_sessions (session_sha256, person_id, origin, via, opened_at, seen_at, expires_at)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;
const LIVE = `
  SELECT session_sha256 FROM person_sessions WHERE person_id = ? AND ended_at IS NULL AND expires_at > ?
  ORDER BY opened_at DESC, session_sha256`;
const END = "UPDATE person_sessions SET ended_at = ? WHERE session_sha256 = ? AND ended_at IS NULL";
const END_ALL = "UPDATE person_sessions SET ended_at = ? WHERE person_id = ? AND ended_at IS NULL";
const END_OTHERS = `
  UPDATE person_sessions SET ended_at = ? WHERE person_id = ? AND session_sha256 <> ? AND ended_at IS NULL`;
const TOUCH = `
  UPDATE person_sessions SET seen_at = ? WHERE session_sha256 = ? AND ended_at IS NULL AND seen_at < ?`;
const PERSON_OF = "SELECT person_id FROM person_sessions WHERE session_sha256 = ?";
const REMOVE = `
  DELETE FROM person_sessions WHERE session_sha256 IN
    (SELECT session_sha256 FROM person_sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;

/** @throws TrustWardenError `challenge_used`, `passkey_invalid`, `session_invalid`. */
export function logIn(
  database: SqliteDatabase,
  { personId, assertion, session, context }: Extract<PeopleCommand, { readonly change: "log-in" }>,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const passkey = acceptAssertion(database, { assertion, now });
  if (passkey.personId !== personId) throw new TrustWardenError("passkey_invalid", { reason: "person" });
  const person = requirePerson(database, personId);
  openSession(database, { session, personId, via: "passkey", now });
  return peopleEvent("session", {
    id: personId,
    change: "log-in",
    ownerId: person.ownerId,
    details: { person: personId, via: "passkey", credential_id: passkey.credentialId },
  });
}

/** Ends a session; ending what is over already is no failure. */
export function logOut(
  database: SqliteDatabase,
  { sessionSha256, context }: Extract<PeopleCommand, { readonly change: "log-out" }>,
): CommandResult<PeopleChanged> {
  database.run(END, secondsOf(context), sessionSha256);
  const id = database.get(PERSON_OF, sessionSha256)?.text("person_id") ?? "";
  return peopleEvent("session", { id, change: "log-out", details: { person: id } });
}

/** A person who may come. @throws TrustWardenError `session_invalid`. */
export function requirePerson(database: SqliteDatabase, personId: string): PersonState {
  const person = findPerson(database, personId);
  if (person === undefined || person.endedAt !== null || person.roles.length === 0) {
    throw new TrustWardenError("session_invalid", { reason: "person" });
  }
  return person;
}

/** Opens a session; each has a secret of its own, so that nobody can lay one out for somebody else to fill. */
export function openSession(
  database: SqliteDatabase,
  {
    session,
    personId,
    via,
    now,
  }: {
    readonly session: NewSession;
    readonly personId: string;
    readonly via: SessionState["via"];
    readonly now: number;
  },
): void {
  const others = database.all(LIVE, personId, now).map((row) => row.text("session_sha256"));
  for (const sessionSha256 of others.slice(MAX_SESSIONS - 1)) database.run(END, now, sessionSha256);
  database.run(REMOVE, now - KEPT_SECONDS);
  const { sessionSha256, origin, expiresAt } = session;
  database.run(INSERT, sessionSha256, personId, origin, via, now, now, expiresAt);
}

/** Ends every session of a person. */
export function endSessions(
  database: SqliteDatabase,
  { personId, now }: { readonly personId: string; readonly now: number },
): void {
  database.run(END_ALL, now, personId);
}

/** Ends every session of a person but one. */
export function endOtherSessions(
  database: SqliteDatabase,
  {
    personId,
    sessionSha256,
    now,
  }: { readonly personId: string; readonly sessionSha256: string; readonly now: number },
): void {
  database.run(END_OTHERS, now, personId, sessionSha256);
}

/** Notes that a session is in use. */
export function touchSession(
  database: SqliteDatabase,
  { sessionSha256, now }: { readonly sessionSha256: string; readonly now: number },
): null {
  database.run(TOUCH, now, sessionSha256, now);
  return null;
}
