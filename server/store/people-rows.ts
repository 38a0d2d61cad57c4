/** People, passkeys, links and sessions as rows: read alike by the commands and by the plain reads. */
import { parseRoles, type Role } from "@trustwarden/core/role.ts";
import { createConfirmationReads } from "./confirmation-rows.ts";
import { createOrganizationReads } from "./organization-rows.ts";
import type {
  LinkState,
  PasskeyState,
  PeopleReads,
  PersonState,
  SessionState,
  UsedSubject,
} from "./people-ports.ts";
import { LINK_KINDS } from "./people-ports.ts";
import { createReadingReads } from "./reading-rows.ts";
import { createRestoreReads } from "./restore-rows.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND_PERSON = "SELECT * FROM people WHERE person_id = ?";
const LIST_PEOPLE = "SELECT * FROM people WHERE person_id > ? ORDER BY person_id LIMIT ?";
const LIVE_ROLES = "SELECT roles FROM people WHERE ended_at IS NULL";
const FIND_PASSKEY = "SELECT * FROM passkeys WHERE credential_id = ? AND removed_at IS NULL";
const LIST_PASSKEYS =
  "SELECT * FROM passkeys WHERE person_id = ? AND removed_at IS NULL ORDER BY created_at, credential_id";
const LIST_OWNER_PASSKEYS = `
  SELECT passkeys.* FROM people JOIN passkeys ON passkeys.person_id = people.person_id
  WHERE people.owner_id = ? AND people.ended_at IS NULL AND passkeys.removed_at IS NULL
  ORDER BY passkeys.created_at, passkeys.credential_id`;
const FIND_SESSION = "SELECT * FROM person_sessions WHERE session_sha256 = ? AND ended_at IS NULL";
const FIND_SUBJECT = "SELECT person_id FROM person_subjects WHERE issuer = ? AND subject = ?";
const LIST_ISSUERS = "SELECT issuer FROM person_subjects WHERE person_id = ? ORDER BY issuer";
const FIND_LINK = "SELECT * FROM person_links WHERE link_sha256 = ? AND used_at IS NULL AND expires_at > ?";

/** The reads of people. */
export function createPeopleReads(database: SqliteDatabase): PeopleReads {
  return {
    ...createConfirmationReads(database),
    ...createOrganizationReads(database),
    ...createReadingReads(database),
    ...createRestoreReads(database),
    findPerson: (personId) => findPerson(database, personId),
    listPeople: ({ after, limit }) => database.all(LIST_PEOPLE, after, limit).map(parsePerson),
    countPeople: (role) => countPeople(database, role),
    findPasskey: (credentialId) => findPasskey(database, credentialId),
    listPasskeys: (personId) => database.all(LIST_PASSKEYS, personId).map(parsePasskey),
    listOwnerPasskeys: (ownerId) => listOwnerPasskeys(database, ownerId),
    findSubject: (query) => findSubject(database, query),
    listIssuersOf: (personId) => database.all(LIST_ISSUERS, personId).map((row) => row.text("issuer")),
    findSession: (sessionSha256) => findSession(database, sessionSha256),
    findLink: (query) => findLink(database, query),
  };
}

/** One person, also when ended. */
export function findPerson(database: SqliteDatabase, personId: string): PersonState | undefined {
  const row = database.get(FIND_PERSON, personId);
  return row === undefined ? undefined : parsePerson(row);
}

/** People with a role who may come. */
export function countPeople(database: SqliteDatabase, role: Role): number {
  return database.all(LIVE_ROLES).filter((row) => rolesOf(row).includes(role)).length;
}

/** Whether somebody is an admin of this moment. */
export function isAdmin(database: SqliteDatabase, personId: string): boolean {
  const person = findPerson(database, personId);
  return person !== undefined && person.endedAt === null && person.roles.includes("admin");
}

/** The person of a subject at an identity provider, also when ended. */
export function findSubject(
  database: SqliteDatabase,
  { issuer, subject }: Pick<UsedSubject, "issuer" | "subject">,
): string | undefined {
  return database.get(FIND_SUBJECT, issuer, subject)?.text("person_id");
}

/** A session that was not ended. */
export function findSession(database: SqliteDatabase, sessionSha256: string): SessionState | undefined {
  const row = database.get(FIND_SESSION, sessionSha256);
  return row === undefined ? undefined : parseSession(row);
}

/** A passkey that was not removed. */
export function findPasskey(database: SqliteDatabase, credentialId: string): PasskeyState | undefined {
  const row = database.get(FIND_PASSKEY, credentialId);
  return row === undefined ? undefined : parsePasskey(row);
}

/** Passkeys that sign for an owner now; none for an owner whose key is a file. */
export function listOwnerPasskeys(database: SqliteDatabase, ownerId: string): readonly PasskeyState[] {
  return database.all(LIST_OWNER_PASSKEYS, ownerId).map(parsePasskey);
}

/** A link that can be used now. */
export function findLink(
  database: SqliteDatabase,
  { linkSha256, now }: { readonly linkSha256: string; readonly now: number },
): LinkState | undefined {
  const row = database.get(FIND_LINK, linkSha256, now);
  return row === undefined ? undefined : parseLink(row);
}

/** How roles are kept. */
export function formatRoles(roles: readonly Role[]): string {
  return parseRoles(roles).join(" ");
}

function rolesOf(row: Row): readonly Role[] {
  return parseRoles(row.text("roles").split(" "));
}

/** One row of `people`. */
export function parsePerson(row: Row): PersonState {
  return {
    personId: row.text("person_id"),
    ownerId: row.textOrNull("owner_id"),
    roles: rolesOf(row),
    sealed: row.bytes("sealed"),
    createdAt: row.integer("created_at"),
    endedAt: row.integerOrNull("ended_at"),
  };
}

function parsePasskey(row: Row): PasskeyState {
  return {
    credentialId: row.text("credential_id"),
    personId: row.text("person_id"),
    spki: row.bytes("spki"),
    counter: row.integer("counter"),
    isBackupEligible: row.integer("is_backup_eligible") === 1,
    isBackedUp: row.integer("is_backed_up") === 1,
    transports: row
      .text("transports")
      .split(" ")
      .filter((word) => word !== ""),
    createdAt: row.integer("created_at"),
    lastUsedAt: row.integerOrNull("last_used_at"),
  };
}

function parseSession(row: Row): SessionState {
  return {
    sessionSha256: row.text("session_sha256"),
    personId: row.text("person_id"),
    origin: row.text("origin"),
    via: row.text("via") === "oidc" ? "oidc" : "passkey",
    openedAt: row.integer("opened_at"),
    seenAt: row.integer("seen_at"),
    expiresAt: row.integer("expires_at"),
  };
}

function parseLink(row: Row): LinkState {
  const kind = LINK_KINDS.find((known) => known === row.text("kind"));
  if (kind === undefined) throw new Error("the table admits known kinds only");
  return {
    linkSha256: row.text("link_sha256"),
    kind,
    roles: rolesOf(row),
    personId: row.textOrNull("person_id"),
    ownerId: row.textOrNull("owner_id"),
    organizationId: row.textOrNull("organization_id"),
    createdBy: row.textOrNull("created_by"),
    sealedAddress: row.bytesOrNull("sealed_address"),
    expiresAt: row.integer("expires_at"),
  };
}
