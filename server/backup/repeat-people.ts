/**
 * What was taken from people after a backup stays taken: who ended has ended, a passkey that went is gone, and whoever lost a role
 * has it no more, least of all to agree to the restore.
 */
import type { ControlRecord } from "@trustwarden/core/event.ts";
import { findPerson, formatRoles } from "../store/people-rows.ts";
import type { SqliteDatabase } from "../store/sqlite-database.ts";

const END = "UPDATE people SET ended_at = ? WHERE person_id = ? AND ended_at IS NULL";
const REMOVE_ALL = "UPDATE passkeys SET removed_at = ? WHERE person_id = ? AND removed_at IS NULL";
const REMOVE_ONE = "UPDATE passkeys SET removed_at = ? WHERE credential_id = ? AND removed_at IS NULL";
const SET_ROLES = "UPDATE people SET roles = ? WHERE person_id = ?";

/** Repeats an event of a person. @returns whether it was one that takes something away, and is therefore true again. */
export function repeatPeople(
  database: SqliteDatabase,
  { details, time }: Pick<ControlRecord, "details" | "time">,
): boolean {
  const { change, person, credential_id: credentialId } = details;
  const at = Math.floor(Date.parse(time) / 1000);
  if (typeof person !== "string") return false;
  if (change === "remove-passkey" && typeof credentialId === "string") {
    database.run(REMOVE_ONE, at, credentialId);
    return true;
  }
  if (change === "roles") return repeatRoles(database, { person, details });
  // Whoever was recovered had lost its passkeys; the new one is a link of the operator away.
  if (change !== "end" && change !== "recover") return false;
  database.run(REMOVE_ALL, at, person);
  if (change === "end") database.run(END, at, person);
  return true;
}

/** A role is taken from somebody again, and none is given: that is a change of rules. */
function repeatRoles(
  database: SqliteDatabase,
  { person, details }: Pick<ControlRecord, "details"> & { readonly person: string },
): boolean {
  const { roles, before } = details;
  if (!Array.isArray(roles) || !Array.isArray(before)) return false;
  const kept = findPerson(database, person)?.roles.filter((role) => roles.includes(role));
  if (kept !== undefined) database.run(SET_ROLES, formatRoles(kept), person);
  return roles.every((role) => before.includes(role));
}
