/**
 * Organizations: who belongs together, and who of them looks after the others' agents. A person may belong to several; what an
 * owner answers for stays its own, and nobody signs for anybody else by a membership.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { OrganizationChange, OrganizationState } from "../../organization-ports.ts";
import { findOrganization } from "../../organization-rows.ts";
import type { PeopleChanged } from "../../people-ports.ts";
import type { CommandContext } from "../../ports.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { peopleEvent } from "./people-events.ts";
import { requirePerson } from "./standing.ts";

/** More are more than a list shows anybody. */
const MAX_ORGANIZATIONS = 10_000;
const MAX_MEMBERS = 10_000;

const COUNT = "SELECT COUNT(*) AS n FROM organizations WHERE ended_at IS NULL";
const FIND_NAME = "SELECT organization_id FROM organizations WHERE name = ?";
const INSERT = "INSERT INTO organizations (organization_id, name, created_at) VALUES (?, ?, ?)";
const RENAME = "UPDATE organizations SET name = ? WHERE organization_id = ?";
const SET_MEMBER = `
  INSERT INTO memberships (organization_id, person_id, since, role) VALUES (?, ?, ?, ?)
  ON CONFLICT (organization_id, person_id) DO UPDATE SET role = excluded.role`;
const REMOVE_MEMBER = "DELETE FROM memberships WHERE organization_id = ? AND person_id = ?";
const REMOVE_MEMBERS = "DELETE FROM memberships WHERE organization_id = ?";
const VOID_LINKS = "UPDATE person_links SET used_at = ? WHERE organization_id = ? AND used_at IS NULL";
const END = "UPDATE organizations SET ended_at = ? WHERE organization_id = ?";
const LIVE_AGENT = `
  SELECT instances.instance_id FROM memberships
  JOIN people ON people.person_id = memberships.person_id
  JOIN instances ON instances.owner_id = people.owner_id
  WHERE memberships.organization_id = ? AND instances.revoked_epoch IS NULL AND instances.expires_at > ? LIMIT 1`;

/**
 * @throws TrustWardenError `not_found`, `organization_exists` also for the name of one that ended, `organization_in_use`,
 *   `quota_exceeded`.
 */
export function changeOrganization(
  database: SqliteDatabase,
  { change, context }: { readonly change: OrganizationChange; readonly context: CommandContext },
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const { id } = change;
  switch (change.change) {
    case "create":
      requireFreeName(database, change);
      requireRoom((database.get(COUNT)?.integer("n") ?? 0) < MAX_ORGANIZATIONS, "organizations");
      database.run(INSERT, id, change.name, now);
      return eventOf(change, { name: change.name });
    case "rename":
      requireOrganization(database, id);
      requireFreeName(database, change);
      database.run(RENAME, change.name, id);
      return eventOf(change, { name: change.name });
    case "set-member":
      return setMember(database, change, now);
    case "remove-member":
      requireOrganization(database, id);
      if (database.run(REMOVE_MEMBER, id, change.personId).changes === 0) missing("member");
      return eventOf(change, { person: change.personId });
    case "end":
      requireOrganization(database, id);
      if (database.get(LIVE_AGENT, id, now) !== undefined) throw new TrustWardenError("organization_in_use");
      database.run(REMOVE_MEMBERS, id);
      database.run(VOID_LINKS, now, id);
      database.run(END, now, id);
      return eventOf(change, {});
  }
}

function setMember(
  database: SqliteDatabase,
  change: Extract<OrganizationChange, { readonly change: "set-member" }>,
  now: number,
): CommandResult<PeopleChanged> {
  const { id, personId, role } = change;
  const { members } = requireOrganization(database, id);
  requirePerson(database, personId);
  requireRoom(members < MAX_MEMBERS, "members");
  database.run(SET_MEMBER, id, personId, now, role);
  return eventOf(change, { person: personId, role });
}

function requireOrganization(database: SqliteDatabase, id: string): OrganizationState {
  return findOrganization(database, id) ?? missing("organization");
}

/** The name of an organization that has ended stays taken; one that has another name gave its name back, as the ledger says. */
function requireFreeName(
  database: SqliteDatabase,
  { id, name }: { readonly id: string; readonly name: string },
): void {
  const holder = database.get(FIND_NAME, name)?.text("organization_id");
  if (holder !== undefined && holder !== id) throw new TrustWardenError("organization_exists");
}

function requireRoom(hasRoom: boolean, of: string): void {
  if (!hasRoom) throw new TrustWardenError("quota_exceeded", { of });
}

function eventOf({ id, change }: OrganizationChange, details: JsonObject): CommandResult<PeopleChanged> {
  return peopleEvent("person", {
    id,
    change: `organization-${change}`,
    details: { organization: id, ...details },
  });
}

function missing(kind: string): never {
  throw new TrustWardenError("not_found", { kind });
}
