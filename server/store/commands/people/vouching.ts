/**
 * Who made somebody what it is. For a while, neither of those counts as another than the one they made: an admin with a device of
 * its own for a second person would otherwise be two admins.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";

/** Long enough for the others to notice an admin whom they do not know: the next day's work. */
const STANDING_SECONDS = 86_400;
const PERSON = "person:";

const VOUCH = "UPDATE people SET vouched_by = ?, vouched_at = ? WHERE person_id = ?";
const FIND = "SELECT vouched_by FROM people WHERE person_id = ? AND vouched_at > ?";

/**
 * Notes who gave somebody its passkey or its roles, beside those who did so lately: whoever raises somebody makes nobody forget
 * who let it in.
 *
 * @param by - principals; null when nobody knows.
 */
export function vouchFor(
  database: SqliteDatabase,
  { personId, by, now }: { readonly personId: string; readonly by: string | null; readonly now: number },
): void {
  const before = makersOf(database, { principal: `${PERSON}${personId}`, lately: now - STANDING_SECONDS });
  const makers = new Set([...before, ...(by?.split(" ") ?? [])]);
  database.run(VOUCH, makers.size === 0 ? null : [...makers].join(" "), now, personId);
}

/** Ids of the people among principals, as they are noted. @param principals - with spaces between; null for nobody. */
export function peopleAmong(principals: string | null): readonly string[] {
  const people = principals?.split(" ").filter((principal) => principal.startsWith(PERSON)) ?? [];
  return people.map((principal) => principal.slice(PERSON.length));
}

/**
 * @param of - the principal that asked.
 * @throws TrustWardenError `second_admin_required` when the one made the other what it is a short time ago, or a third person both.
 *   The operator of the host makes the first admins, and is no person that could be one of them.
 */
export function requireIndependent(
  database: SqliteDatabase,
  { personId, of, now }: { readonly personId: string; readonly of: string; readonly now: number },
): void {
  const lately = now - STANDING_SECONDS;
  const ownMakers = makersOf(database, { principal: `${PERSON}${personId}`, lately });
  const itsMakers = makersOf(database, { principal: of, lately });
  const isShared = ownMakers.some((maker) => maker.startsWith(PERSON) && itsMakers.includes(maker));
  if (ownMakers.includes(of) || itsMakers.includes(`${PERSON}${personId}`) || isShared) {
    throw new TrustWardenError("second_admin_required", { reason: "one was made by the other" });
  }
}

function makersOf(
  database: SqliteDatabase,
  { principal, lately }: { readonly principal: string; readonly lately: number },
): readonly string[] {
  if (!principal.startsWith(PERSON)) return [];
  const row = database.get(FIND, principal.slice(PERSON.length), lately);
  return row?.textOrNull("vouched_by")?.split(" ") ?? [];
}
