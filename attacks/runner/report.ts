/** What the suite prints and writes: a line a scenario, and one table in Markdown and HTML. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/child.ts";
import type { Result } from "./play.ts";

const FOLDER = join(ROOT, ".cache", "attacks", "report");
const HEADINGS = [
  "",
  "Id",
  "The attacker",
  "Must come of it",
  "Seconds",
  "Noticed under the weakening",
] as const;

/** One line for one scenario; why it failed comes below it. */
export function printResult({ id, title, milliseconds, weakening, noticed, failure }: Result): void {
  const mark = failure === undefined ? "✓" : "✗";
  const seconds = (milliseconds / 1000).toFixed(1).padStart(5);
  const teeth = noticed === undefined ? "" : `  [notices ${weakening}]`;
  console.log(`${mark} ${id.padEnd(4)} ${seconds} s  ${title}${teeth}`);
  if (failure !== undefined) console.log(failure.replaceAll(/^/gm, "         "));
}

/** Writes `report.md` and `report.html`. @returns the folder. */
export function writeReport(
  results: readonly Result[],
  { seconds, hasTeeth }: { readonly seconds: number; readonly hasTeeth: boolean },
): string {
  const failed = results.filter(({ failure }) => failure !== undefined).length;
  const summary =
    `${results.length - failed} passed, ${failed} failed in ${seconds.toFixed(0)} s on Node ${process.versions.node}, ` +
    `${process.platform}; weakened runs: ${hasTeeth ? "yes" : "no"}.`;
  const rows = results.map(cellsOf);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "report.md"), formatMarkdown(summary, rows));
  writeFileSync(join(FOLDER, "report.html"), formatHtml(summary, rows));
  return FOLDER;
}

function cellsOf({
  id,
  title,
  expected,
  milliseconds,
  weakening,
  noticed,
  failure,
}: Result): readonly string[] {
  const isPassed = failure === undefined;
  const last = isPassed ? (noticed === undefined ? "not run" : `${weakening}: ${noticed}`) : failure;
  return [
    isPassed ? "pass" : "FAIL",
    id,
    title,
    expected,
    (milliseconds / 1000).toFixed(1),
    last.slice(0, 300),
  ];
}

function formatMarkdown(summary: string, rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll(/\s+/g, " ")).join(" | ")} |`;
  const rule = line(HEADINGS.map(() => "---"));
  return `# Attack suite\n\n${summary}\n\n${[line(HEADINGS), rule, ...rows.map(line)].join("\n")}\n`;
}

function formatHtml(summary: string, rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: "th" | "td") =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const style =
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;color:#1a1a1a;background:#fff}" +
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.4rem .6rem;" +
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}td:first-child{font-weight:600}";
  const body = rows.map((cells) => row(cells, "td")).join("\n");
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Attack suite</title><style>${style}</style>` +
    `</head><body><h1>Attack suite</h1><p>${escapeHtml(summary)}</p>\n<table>${row(HEADINGS, "th")}\n${body}\n</table></body></html>\n`
  );
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
