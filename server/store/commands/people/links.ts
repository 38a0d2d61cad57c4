/**
 * One-time links: how the first admin, everybody who is invited, and whoever lost its passkeys comes in.
 *
 * What a link gives is kept here and never in the link, so that editing one makes an unknown one (K7).
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LinkState, PeopleChanged, PeopleCommand } from "../../people-ports.ts";
import { countPeople, findLink, findPerson, formatRoles, isAdmin } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { peopleEvent } from "./people-events.ts";
import { peopleAmong } from "./vouching.ts";

/** Used and expired links stay this long, so that the ledger's word on them can be looked up beside it. */
const KEPT_SECONDS = 86_400;
const MAX_REMOVED = 500;

const INSERT = `
  INSERT INTO person_links (link_sha256, kind, roles, person_id, owner_id, organization_id, sealed_address,
    address_look, expires_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const USE =
  "UPDATE person_links SET used_at = ? WHERE link_sha256 = ? AND used_at IS NULL AND expires_at > ?";
const VOID_FIRST = "UPDATE person_links SET used_at = ? WHERE kind = 'first' AND used_at IS NULL";
const VOID_RECOVERY = "UPDATE person_links SET used_at = ? WHERE person_id = ? AND used_at IS NULL";
const VOID_OF_MAKER = `
  UPDATE person_links SET used_at = ? WHERE used_at IS NULL AND expires_at > ? AND ' ' || created_by || ' ' LIKE ?`;
const LOOK_OF_LINK = "SELECT address_look FROM person_links WHERE link_sha256 = ?";
const REMOVE = `
  DELETE FROM person_links WHERE link_sha256 IN
    (SELECT link_sha256 FROM person_links WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;
const FIND_OWNER = "SELECT owner_id FROM owners WHERE owner_id = ? AND revoked_epoch IS NULL";
const FIND_ORGANIZATION =
  "SELECT organization_id FROM organizations WHERE organization_id = ? AND ended_at IS NULL";

/** @throws TrustWardenError `person_exists` for a first admin where there is one, `not_found`. */
export function createLink(
  database: SqliteDatabase,
  { link, addressLook, context }: Extract<PeopleCommand, { readonly change: "create-link" }>,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  requireTargets(database, link);
  // Of two links that make the same, the later is the one: the earlier may have been seen by somebody.
  if (link.kind === "first") database.run(VOID_FIRST, now);
  if (link.personId !== null) database.run(VOID_RECOVERY, now, link.personId);
  database.run(REMOVE, now - KEPT_SECONDS);
  database.run(
    INSERT,
    link.linkSha256,
    link.kind,
    formatRoles(link.roles),
    link.personId,
    link.ownerId,
    link.organizationId,
    link.sealedAddress,
    addressLook,
    link.expiresAt,
    link.createdBy,
  );
  return peopleEvent("person", {
    id: link.linkSha256,
    change: "link",
    details: {
      link_kind: link.kind,
      roles: [...link.roles],
      person: link.personId,
      owner: link.ownerId,
      organization: link.organizationId,
      expires_at: link.expiresAt,
    },
  });
}

/**
 * Uses a link up.
 *
 * @throws TrustWardenError `link_invalid` when it is unknown, used, over, for a first admin where there is one, or made by somebody
 *   who is no admin any more.
 */
export function useLink(
  database: SqliteDatabase,
  { linkSha256, now }: { readonly linkSha256: string; readonly now: number },
): LinkState & { readonly addressLook: string | null } {
  const link = findLink(database, { linkSha256, now });
  if (link === undefined) throw new TrustWardenError("link_invalid", { reason: "unknown, used or over" });
  if (link.kind === "first" && countPeople(database, "admin") > 0) {
    throw new TrustWardenError("link_invalid", { reason: "there is an admin" });
  }
  requireMakers(database, link);
  const { changes } = database.run(USE, now, linkSha256, now);
  if (changes !== 1) throw new TrustWardenError("link_invalid", { reason: "used" });
  const addressLook = database.get(LOOK_OF_LINK, linkSha256)?.textOrNull("address_look") ?? null;
  return { ...link, addressLook };
}

/**
 * Ends what somebody handed out and nobody used yet: it may have been a thief with the person's passkey or session.
 *
 * @returns how many links that were.
 */
export function endLinksOf(
  database: SqliteDatabase,
  { personId, now }: { readonly personId: string; readonly now: number },
): number {
  return Number(database.run(VOID_OF_MAKER, now, now, `% person:${personId} %`).changes);
}

/** What an admin handed out ends with the admin: whoever has to go would come back by it. */
function requireMakers(database: SqliteDatabase, { createdBy }: LinkState): void {
  if (!peopleAmong(createdBy).every((personId) => isAdmin(database, personId))) {
    throw new TrustWardenError("link_invalid", { reason: "who made it is no admin any more" });
  }
}

function requireTargets(database: SqliteDatabase, link: LinkState): void {
  if (link.kind === "first" && countPeople(database, "admin") > 0) {
    throw new TrustWardenError("person_exists", { reason: "there is an admin" });
  }
  if (link.personId !== null && !mayCome(database, link.personId)) {
    throw new TrustWardenError("not_found", { kind: "person" });
  }
  if (link.ownerId !== null && database.get(FIND_OWNER, link.ownerId) === undefined) {
    throw new TrustWardenError("not_found", { kind: "owner" });
  }
  if (link.organizationId !== null && database.get(FIND_ORGANIZATION, link.organizationId) === undefined) {
    throw new TrustWardenError("not_found", { kind: "organization" });
  }
}

function mayCome(database: SqliteDatabase, personId: string): boolean {
  const person = findPerson(database, personId);
  return person !== undefined && person.endedAt === null;
}
