/** The report as Markdown: every claim with its machine, load, versions, command and date, and what was not run. */
import { table } from "../markdown.ts";
import { type Section, sectionsOf, WITHOUT_PEER } from "./claims.ts";
import type { Found, Kept } from "./results.ts";

/** Above this much of each core used by something else, the figures say little of speed. */
const QUIET_LOAD_PER_CORE = 0.75;

/** Writes the report. @throws Error without any result: it would claim nothing. */
export function writeReport(found: Found): string {
  const sections = sectionsOf(found);
  const made = sections.flatMap(({ made: one }) => (one === undefined ? [] : [one.kept]));
  if (made.length === 0) throw new Error("nothing was run on this machine: there is no result to report");
  const missing = sections.filter((section) => section.made === undefined);
  const parts = [
    "# Measured claims",
    "Written by `./dev bench report` from what the benchmarks kept on one machine (`.cache/bench/`); `bench/README.md` says how each is measured and what its sides do differently. *Ratio* is TrustWarden's figure over the other's, whichever is better.",
    quietness(made),
    ...sections.map(formatSection),
    "## Not run",
    list([
      ...missing.map(({ title, command }) => `${title}: **not run**: no kept result (\`${command}\`).`),
      ...WITHOUT_PEER,
    ]),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function quietness(made: readonly Kept[]): string {
  const busy = made.filter((kept) => !isQuiet(kept)).length;
  if (busy === 0) return "The machine was quiet when each of them began and ended.";
  return `**${busy} of ${made.length} were not made on a quiet machine**: other work used the same cores. Their rates and times say little; their ratios are of sides that ran in turns, and say more. Each shows its load.`;
}

/** A run that did not keep how it ended is judged by how it began. */
function isQuiet({ machine, ended }: Kept): boolean {
  return Math.max(machine.load, ended?.load ?? 0) <= machine.cores * QUIET_LOAD_PER_CORE;
}

function formatSection({ title, made }: Section): string {
  if (made === undefined) return "";
  const { kept, claim } = made;
  return [`## ${title}`, table(claim.head, claim.rows), formatRun(kept)].join("\n\n");
}

function formatRun({ command, machine, ended, versions }: Kept): string {
  const { cpu, cores, memory_gib, os, load, at } = machine;
  const used = Object.entries(versions ?? {}).map(([name, version]) => `${name} ${version}`);
  return list([
    `Command: ${command === undefined ? "not kept by the run" : `\`${command}\``}`,
    `Machine: ${cpu}, ${cores} cores, ${memory_gib} GiB, ${os}`,
    `Load: ${load} at the beginning, ${ended?.load ?? "not kept"} at the end`,
    `Versions: ${used.length === 0 ? "not kept by the run" : used.join(", ")}`,
    `Date: ${at}`,
  ]);
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join("\n");
}
