/** Confirmations as rows: read alike by the commands and by the plain reads. */
import type { ConfirmationReads, ConfirmationState } from "./confirmation-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

const FIND = "SELECT * FROM confirmations WHERE confirmation_id = ?";
const LIST = "SELECT * FROM confirmations ORDER BY created_at DESC, confirmation_id DESC LIMIT ?";

/** The reads of confirmations. */
export function createConfirmationReads(database: SqliteDatabase): ConfirmationReads {
  return {
    findConfirmation: (id) => findConfirmation(database, id),
    listConfirmations: (limit) => database.all(LIST, limit).map(parseConfirmation),
  };
}

/** One confirmation, whatever became of it. */
export function findConfirmation(database: SqliteDatabase, id: string): ConfirmationState | undefined {
  const row = database.get(FIND, id);
  return row === undefined ? undefined : parseConfirmation(row);
}

function parseConfirmation(row: Row): ConfirmationState {
  const answer = row.textOrNull("answer");
  return {
    id: row.text("confirmation_id"),
    askedBy: row.text("asked_by"),
    method: row.text("method"),
    target: row.text("target"),
    body: row.text("body"),
    digest: row.text("digest"),
    salt: row.textOrNull("salt") ?? "",
    reason: row.text("reason"),
    createdAt: row.integer("created_at"),
    expiresAt: row.integer("expires_at"),
    answer: answer === "confirm" || answer === "refuse" ? answer : null,
    answeredBy: row.textOrNull("answered_by"),
    usedAt: row.integerOrNull("used_at"),
  };
}
