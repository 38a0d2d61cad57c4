/**
 * What two admins agree to after a restore: that it was one that the place wanted.
 *
 * Whoever restores has the host, and can let in whom it likes. So the two are people whom the backup knew, by passkeys that are older
 * than the restore; a passkey that came since counts when it has stood for a day in the ledger, where everybody could see it come.
 *
 * @see docs/decisions/0104-a-restore-waits-for-two-admins.md
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { PeopleChanged } from "../../people-ports.ts";
import { findSession, isAdmin } from "../../people-rows.ts";
import type { CommandContext } from "../../ports.ts";
import type { RestoreChange, RestoreState } from "../../restore-ports.ts";
import { readRestore, writeRestore } from "../../restore-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import { type CommandResult, secondsOf } from "../deps.ts";

/** So long others have to notice a passkey that was made after the restore. */
const STANDING_SECONDS = 86_400;

const STANDING = `
  SELECT COUNT(*) AS n FROM passkeys WHERE person_id = ? AND removed_at IS NULL AND created_at <= ?`;
const FORGET_PASSKEYS = "UPDATE passkeys SET removed_at = ? WHERE removed_at IS NULL AND created_at <= ?";
const END_SESSIONS = "UPDATE person_sessions SET ended_at = ? WHERE ended_at IS NULL";

type Release = Extract<RestoreChange, { readonly change: "release" }>;

/** @throws TrustWardenError `not_found`, `second_admin_required`. */
export function changeRestore(
  database: SqliteDatabase,
  { change, context }: { readonly change: RestoreChange; readonly context: CommandContext },
): CommandResult<PeopleChanged> {
  const restore = readRestore(database);
  if (restore === undefined) throw new TrustWardenError("not_found", { kind: "restore" });
  switch (change.change) {
    case "tell":
      return tell(database, restore);
    case "release":
      return release(database, { restore, change, now: secondsOf(context) });
  }
}

/** The first event of a restored server is that it was restored. */
function tell(database: SqliteDatabase, restore: RestoreState): CommandResult<PeopleChanged> {
  if (restore.isTold) throw new TrustWardenError("not_found", { kind: "restore", reason: "told" });
  writeRestore(database, { ...restore, isTold: true });
  const { restoredAt: restored_at, restoredBy: by, outcome, backup, admins, isHeld: held } = restore;
  return restoreEvent(restore, "restore", { restored_at, by, outcome, backup, admins, held });
}

function release(
  database: SqliteDatabase,
  {
    restore,
    change,
    now,
  }: { readonly restore: RestoreState; readonly change: Release; readonly now: number },
): CommandResult<PeopleChanged> {
  const { personId, confirmedBy, sessionSha256 } = change;
  if (!restore.isHeld) throw new TrustWardenError("not_found", { kind: "restore", reason: "not held" });
  if (personId === confirmedBy) throw refused("the same person");
  for (const admin of [personId, confirmedBy]) requireStanding(database, { admin, restore, now });
  // A provider's word opens sessions too, and the restore may have changed which provider that is.
  if (findSession(database, sessionSha256)?.via !== "passkey") throw refused("not by a passkey");
  writeRestore(database, { ...restore, isHeld: false });
  if (restore.outcome === "void") forgetPeople(database, restore, now);
  return restoreEvent(restore, "release", { agreed: [personId, confirmedBy] });
}

function requireStanding(
  database: SqliteDatabase,
  { admin, restore, now }: { readonly admin: string; readonly restore: RestoreState; readonly now: number },
): void {
  if (!isAdmin(database, admin)) throw refused("no admin");
  const latest = Math.max(restore.heldSince, now - STANDING_SECONDS);
  if ((database.get(STANDING, admin, latest)?.integer("n") ?? 0) === 0) throw refused("a new passkey");
}

/** Where nothing is proven, nobody knows whose passkeys were taken away since: they were good for this one word. */
function forgetPeople(database: SqliteDatabase, { restoredAt }: RestoreState, now: number): void {
  database.run(FORGET_PASSKEYS, now, restoredAt);
  database.run(END_SESSIONS, now);
}

function restoreEvent(
  { id }: RestoreState,
  change: "restore" | "release",
  details: JsonObject,
): CommandResult<PeopleChanged> {
  const draft = { kind: "admin", allow: true, reasons: [], subject: `restore:${id}`, chain: [] } as const;
  return { value: { id }, draft: { ...draft, details: { change, restore: id, ...details } } };
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("second_admin_required", { reason });
}
