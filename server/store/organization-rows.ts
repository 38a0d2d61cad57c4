/** Organizations and members as rows: read alike by the commands and by the plain reads. */
import type { MemberRole, MemberState, OrganizationReads, OrganizationState } from "./organization-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const COLUMNS = `
  organizations.organization_id, organizations.name, organizations.created_at,
  (SELECT COUNT(*) FROM memberships WHERE memberships.organization_id = organizations.organization_id) AS members`;
const FIND = `SELECT ${COLUMNS} FROM organizations WHERE organization_id = ? AND ended_at IS NULL`;
const LIST = `
  SELECT ${COLUMNS} FROM organizations
  WHERE organization_id > ? AND ended_at IS NULL ORDER BY organization_id LIMIT ?`;
const MEMBER_COLUMNS =
  "memberships.organization_id, memberships.person_id, memberships.role, memberships.since, people.owner_id";
const LIST_MEMBERS = `
  SELECT ${MEMBER_COLUMNS} FROM memberships JOIN people ON people.person_id = memberships.person_id
  WHERE memberships.organization_id = ? AND memberships.person_id > ?
  ORDER BY memberships.person_id LIMIT ?`;
const LIST_OF = `
  SELECT ${MEMBER_COLUMNS}, organizations.name FROM memberships
  JOIN people ON people.person_id = memberships.person_id
  JOIN organizations ON organizations.organization_id = memberships.organization_id
  WHERE memberships.person_id = ? AND organizations.ended_at IS NULL
  ORDER BY memberships.organization_id`;
const ADMINISTERS = `
  SELECT own.person_id FROM memberships AS own
  JOIN memberships AS theirs ON theirs.organization_id = own.organization_id
  JOIN people ON people.person_id = theirs.person_id
  JOIN organizations ON organizations.organization_id = own.organization_id
  WHERE own.person_id = ? AND own.role = 'admin' AND people.owner_id = ? AND organizations.ended_at IS NULL
  LIMIT 1`;

/** The reads of organizations. */
export function createOrganizationReads(database: SqliteDatabase): OrganizationReads {
  return {
    findOrganization: (organizationId) => findOrganization(database, organizationId),
    listOrganizations: ({ after, limit }) => database.all(LIST, after, limit).map(parseOrganization),
    listMembers: ({ organizationId, after, limit }) =>
      database.all(LIST_MEMBERS, organizationId, after, limit).map(parseMember),
    listMembershipsOf: (personId) =>
      database.all(LIST_OF, personId).map((row) => ({ ...parseMember(row), name: row.text("name") })),
    administersOwner: ({ personId, ownerId }) => database.get(ADMINISTERS, personId, ownerId) !== undefined,
  };
}

/** One that has not ended. */
export function findOrganization(
  database: SqliteDatabase,
  organizationId: string,
): OrganizationState | undefined {
  const row = database.get(FIND, organizationId);
  return row === undefined ? undefined : parseOrganization(row);
}

function parseOrganization(row: Row): OrganizationState {
  return {
    organizationId: row.text("organization_id"),
    name: row.text("name"),
    createdAt: row.integer("created_at"),
    members: row.integer("members"),
  };
}

function parseMember(row: Row): MemberState {
  const role: MemberRole = row.textOrNull("role") === "admin" ? "admin" : "member";
  return {
    organizationId: row.text("organization_id"),
    personId: row.text("person_id"),
    ownerId: row.textOrNull("owner_id"),
    role,
    since: row.integer("since"),
  };
}
