/**
 * What somebody may be changes, or ends. Nobody's end leaves agents without anybody who answers for them, or the place without
 * an admin.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Role } from "@trustwarden/core/role.ts";
import type { PeopleChanged, PeopleCommand, PersonState } from "../../people-ports.ts";
import { countPeople, findPerson, formatRoles } from "../../people-rows.ts";
import type { RevokeCommand } from "../../revocation-ports.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";
import { removePasskeys } from "./passkeys.ts";
import { peopleEvent } from "./people-events.ts";
import { endSessions } from "./sessions.ts";
import { vouchFor } from "./vouching.ts";

/** In the event of the stop. */
const LEAVING = "the owner leaves";
const SET_ROLES = "UPDATE people SET roles = ? WHERE person_id = ?";
const END = "UPDATE people SET ended_at = ? WHERE person_id = ?";
const LEAVE_ORGANIZATIONS = "DELETE FROM memberships WHERE person_id = ?";
const VOID_LINKS = "UPDATE person_links SET used_at = ? WHERE person_id = ? AND used_at IS NULL";
const LIVE_AGENT = `
  SELECT instances.instance_id FROM agents JOIN instances ON instances.agent_id = agents.agent_id
  WHERE agents.owner_id = ? AND instances.revoked_epoch IS NULL AND instances.expires_at > ? LIMIT 1`;

type Change<Name extends PeopleCommand["change"]> = Extract<PeopleCommand, { readonly change: Name }>;

/**
 * Sessions go on with what is left, since roles are read at every request.
 *
 * @throws TrustWardenError `not_found`, `last_admin`, `owner_in_use`, `request_malformed` for the role of an owner, which only an
 *   invitation makes.
 */
export function setRoles(
  database: SqliteDatabase,
  { personId, roles, vouchers, context }: Change<"set-roles">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const person = requirePerson(database, personId);
  if (roles.includes("owner") && person.ownerId === null && !person.roles.includes("owner")) {
    throw new TrustWardenError("request_malformed", { reason: "an owner comes by an invitation" });
  }
  requireReplaceable(database, { person, roles, now });
  database.run(SET_ROLES, formatRoles(roles), personId);
  const isRaised = roles.includes("admin") && !person.roles.includes("admin");
  if (isRaised) vouchFor(database, { personId, by: vouchers, now });
  return peopleEvent("person", {
    id: personId,
    change: "roles",
    ownerId: person.ownerId,
    details: { person: personId, roles: [...roles], before: [...person.roles] },
  });
}

/** The stop that belongs to somebody's end: of everything that the owner who leaves answers for. */
export function findStopOf(
  database: SqliteDatabase,
  { personId, stopsAgents, context }: Change<"end">,
): RevokeCommand | undefined {
  const ownerId = stopsAgents ? requirePerson(database, personId).ownerId : null;
  if (ownerId === null) return undefined;
  return { context, target: { kind: "owner", id: ownerId }, reason: LEAVING };
}

/**
 * Ends somebody for good, with every session, passkey and open link; whoever a provider knows as it comes as nobody. What it was stays taken.
 *
 * @throws TrustWardenError `not_found`, `last_admin`, `owner_in_use`.
 */
export function endPerson(
  database: SqliteDatabase,
  { personId, context }: Change<"end">,
): CommandResult<PeopleChanged> {
  const now = secondsOf(context);
  const person = requirePerson(database, personId);
  requireReplaceable(database, { person, roles: [], now });
  endSessions(database, { personId, now });
  removePasskeys(database, { personId, now });
  database.run(VOID_LINKS, now, personId);
  database.run(LEAVE_ORGANIZATIONS, personId);
  database.run(END, now, personId);
  return peopleEvent("person", {
    id: personId,
    change: "end",
    ownerId: person.ownerId,
    details: { person: personId, roles: [...person.roles] },
  });
}

function requireReplaceable(
  database: SqliteDatabase,
  {
    person,
    roles,
    now,
  }: { readonly person: PersonState; readonly roles: readonly Role[]; readonly now: number },
): void {
  const leaves = (role: Role): boolean => person.roles.includes(role) && !roles.includes(role);
  if (leaves("admin") && countPeople(database, "admin") < 2) throw new TrustWardenError("last_admin");
  const isUsed = person.ownerId !== null && database.get(LIVE_AGENT, person.ownerId, now) !== undefined;
  if (leaves("owner") && isUsed) throw new TrustWardenError("owner_in_use");
}

/** Somebody who is here, whatever it may be. @throws TrustWardenError `not_found`. */
export function requirePerson(database: SqliteDatabase, personId: string): PersonState {
  const person = findPerson(database, personId);
  if (person === undefined || person.endedAt !== null) {
    throw new TrustWardenError("not_found", { kind: "person" });
  }
  return person;
}
