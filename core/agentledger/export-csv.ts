/**
 * Events as CSV rows that a spreadsheet shows and never runs.
 *
 * A cell that a spreadsheet would take for a formula gets an apostrophe before it: agents choose resources and actions,
 * and whoever opens the export is not their target.
 *
 * @see RFC 4180
 */
import type { JoinedEvent } from "./join.ts";

const COLUMNS = [
  "event_id",
  "kind",
  "timestamp",
  "agent_id",
  "agent_identity",
  "parent_agent_id",
  "owner_id",
  "chain",
  "action",
  "resource",
  "outcome",
  "reasons",
  "class",
  "enforcement",
  "authorized_by",
  "signature",
  "indexes",
] as const satisfies readonly (keyof JoinedEvent)[];

/** What spreadsheets begin a formula with, in half and in full width, also behind blanks; tab and CR end a cell early. */
const FORMULA = /^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;

/** The first line. */
export const CSV_HEADER = `${COLUMNS.join(",")}\r\n`;

/** One line. */
export function formatCsvRow(event: JoinedEvent): string {
  return `${COLUMNS.map((column) => formatCell(event[column])).join(",")}\r\n`;
}

function formatCell(value: JoinedEvent[keyof JoinedEvent]): string {
  if (value === null) return "";
  const text = typeof value === "string" ? value : value.join(" ");
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
