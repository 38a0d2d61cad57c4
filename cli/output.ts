/**
 * How answers look: one JSON document with `--json`, otherwise plain lines and tables for a person.
 *
 * Text from elsewhere (names, resources, reasons) is shown through `printable`, so that a hostile label cannot move
 * the cursor or recolour the terminal.
 */
import type { Json } from "@trustwarden/core/json.ts";

/** Longest cell of a table; the whole value is in the JSON form. */
const MAX_CELL_CHARS = 96;

/** Where a command puts its answer; made once a command. */
export interface Output {
  readonly isJson: boolean;
  /** Prints `value` as JSON, or `lines` for a person. */
  show(value: Json, lines: readonly string[]): void;
  /** Prints a remark to standard error, also with `--json`. */
  note(line: string): void;
}

export function createOutput({
  isJson,
  stdout,
  stderr,
}: {
  readonly isJson: boolean;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}): Output {
  return {
    isJson,
    show: (value, lines) => {
      stdout(isJson ? `${JSON.stringify(value, null, 2)}\n` : lines.map((line) => `${line}\n`).join(""));
    },
    note: (line) => stderr(`${line}\n`),
  };
}

/** The text without control and direction-changing characters. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{fffd}");
}

/** Rows under a header, columns aligned by two spaces; a sentence when there are none. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  empty: string,
): readonly string[] {
  if (rows.length === 0) return [empty];
  const cells = [header, ...rows].map((row) => row.map(formatCell));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** An RFC 3339 time without milliseconds. @param seconds - Unix seconds. */
export function formatSeconds(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

function formatCell(text: string): string {
  const shown = printable(text);
  return shown.length > MAX_CELL_CHARS ? `${shown.slice(0, MAX_CELL_CHARS - 1)}\u{2026}` : shown;
}
