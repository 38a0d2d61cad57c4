/**
 * Whether a restored server begins held: where two admins or more are known, nobody restores alone.
 *
 * Who they are is what the backup says, and what the newer ledger says of people since: an old backup of a time with one admin is
 * no way round the second.
 *
 * @see docs/decisions/0104-a-restore-waits-for-two-admins.md
 */
import { encodeHex } from "@trustwarden/core/bytes.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { parsePerson } from "../store/people-rows.ts";
import type { RestoreState } from "../store/restore-ports.ts";
import { readRestore, writeRestore } from "../store/restore-rows.ts";
import type { SqliteDatabase } from "../store/sqlite-database.ts";

const ID_BYTES = 16;
const NEEDED = 2;
const PEOPLE = `
  SELECT * FROM people WHERE ended_at IS NULL AND EXISTS
    (SELECT 1 FROM passkeys WHERE passkeys.person_id = people.person_id AND passkeys.removed_at IS NULL)`;

/** Who is an admin by the events since a backup: by id, whether it is one at the end of them. */
export class AdminsSince {
  readonly #known = new Map<string, boolean>();

  take({ kind, allow, details }: ControlRecord): void {
    const { person, roles, change } = details;
    if (!allow || (kind !== "person" && kind !== "owner") || typeof person !== "string") return;
    if (change === "end") this.#known.set(person, false);
    if (change !== "register" && change !== "roles") return;
    this.#known.set(person, Array.isArray(roles) && roles.includes("admin"));
  }

  /** The admins of the backup, without those who are none any more and with those who are new. */
  over(backup: readonly string[]): readonly string[] {
    const here = backup.filter((person) => this.#known.get(person) !== false);
    const since = [...this.#known].flatMap(([person, isAdmin]) => (isAdmin ? [person] : []));
    return [...new Set([...here, ...since])];
  }
}

/** Living admins of a state who have a passkey. */
export function adminsOf(database: SqliteDatabase): readonly string[] {
  const people = database.all(PEOPLE).map(parsePerson);
  return people.flatMap(({ personId, roles }) => (roles.includes("admin") ? [personId] : []));
}

/** Whether so many admins have to agree. */
export function isHeldBy(admins: readonly string[]): boolean {
  return admins.length >= NEEDED;
}

/** Leaves in the state how it was restored; the caller holds the transaction. */
export function keepRestore(
  database: SqliteDatabase,
  made: Omit<RestoreState, "id" | "isHeld" | "heldSince" | "isTold" | "admins"> & {
    readonly admins: readonly string[];
    readonly random: Random;
  },
): RestoreState {
  const { admins, random, ...facts } = made;
  const before = readRestore(database);
  // Else a backup of the held server, restored, would make its new passkeys old ones.
  const heldSince = before?.isHeld === true ? before.heldSince : facts.restoredAt;
  const id = `rst_${encodeHex(random(ID_BYTES))}`;
  const restore = { ...facts, id, admins: admins.length, isHeld: isHeldBy(admins), heldSince, isTold: false };
  writeRestore(database, restore);
  return restore;
}
