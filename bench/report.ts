/**
 * The report of a run: its shape as `--json` prints it, what was aimed for, and the table for people.
 */
import type { Comparison, Side } from "./measure.ts";

/** What is measured, in the order of the report. */
export const IDS = [
  "sign",
  "issue",
  "sign-pkcs11",
  "create",
  "create-child",
  "decide",
  "append-hash",
  "append-durable",
  "append-verified",
  "verify-offline",
  "guard",
] as const;
export type BenchId = (typeof IDS)[number];

/** Unit of `p50` and `p99`. */
export type Unit = "us" | "ms";

/** Where it ran. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly os: string;
  /** One-minute load average when the run began: what else the machine was doing. */
  readonly load: number;
  /** RFC 3339. */
  readonly at: string;
}

/** What was aimed for, and whether this run got there. */
export interface GoalReport {
  readonly aim: string;
  readonly actual: number;
  readonly met: boolean;
}

/** The raw side of one comparison. */
export interface ReferenceReport {
  readonly what: string;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

/** One measurement. */
export interface Result {
  readonly id: BenchId;
  readonly what: string;
  /** Operations a second, median of the rounds. */
  readonly rate: number;
  /** Of one run, which is one operation or, where `what` says so, one batch. */
  readonly p50: number;
  readonly p99: number;
  readonly unit: Unit;
  readonly reference: ReferenceReport;
  /** Rate over the reference's, median of the rounds. */
  readonly ratio: number;
  readonly goal: GoalReport | null;
}

/** Everything that `--json` prints. */
export interface BenchReport {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly Result[];
}

/** What a benchmark says about itself. */
export interface Description {
  readonly id: BenchId;
  readonly what: string;
  readonly reference: string;
  readonly unit: Unit;
}

interface Goal {
  readonly aim: string;
  readonly actual: (comparison: Comparison) => number;
  readonly isMet: (actual: number) => boolean;
}

/** For two cores; `bench/README.md` says where they come from. */
const GOALS: Readonly<Record<BenchId, Goal | null>> = {
  sign: { aim: "ratio >= 0.5", actual: ({ ratio }) => ratio, isMet: (ratio) => ratio >= 0.5 },
  issue: null,
  "sign-pkcs11": null,
  create: { aim: "p50 <= 8 ms", actual: ({ product }) => product.p50Ms, isMet: (ms) => ms <= 8 },
  "create-child": null,
  decide: { aim: "p50 <= 30 us", actual: ({ product }) => product.p50Ms * 1000, isMet: (us) => us <= 30 },
  "append-hash": { aim: "rate >= 60,000/s", actual: rateOf, isMet: (rate) => rate >= 60_000 },
  "append-durable": { aim: "rate >= 20,000/s", actual: rateOf, isMet: (rate) => rate >= 20_000 },
  "append-verified": { aim: "rate >= 4,000/s", actual: rateOf, isMet: (rate) => rate >= 4000 },
  "verify-offline": null,
  guard: {
    aim: "adds p50 <= 1 ms",
    actual: ({ product, reference }) => product.p50Ms - reference.p50Ms,
    isMet: (ms) => ms <= 1,
  },
};

/** The report of one comparison, numbers rounded to what they are worth. */
export function formatResult(description: Description, comparison: Comparison): Result {
  const { id, what, unit } = description;
  const { product, reference, ratio } = comparison;
  const side = ({ rate, p50Ms, p99Ms }: Side) => ({
    rate: round(rate),
    p50: round(inUnit(p50Ms, unit)),
    p99: round(inUnit(p99Ms, unit)),
  });
  const goal = GOALS[id];
  const actual = goal?.actual(comparison) ?? 0;
  return {
    id,
    what,
    ...side(product),
    unit,
    reference: { what: description.reference, ...side(reference) },
    ratio: round(ratio),
    goal: goal && { aim: goal.aim, actual: round(actual), met: goal.isMet(actual) },
  };
}

/** The report as lines of text. */
export function formatTable({ machine, versions, results }: BenchReport): string {
  const head = ["", "rate/s", "p50", "p99", "raw/s", "raw p50", "ratio", "goal"];
  const rows = [head, ...results.map(rowOf)];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || column === head.length - 1 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
  const { cpu, cores, memory_gib, os, load } = machine;
  const used = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${cpu}, ${cores} cores, ${memory_gib} GiB, ${os}; load ${load}`,
    used.join(", "),
    "",
    ...lines,
    "",
    ...results.map(({ id, what, reference }) => `${id}: ${what}; against ${reference.what}`),
  ].join("\n");
}

/** A number as people read it: three digits that count, thousands apart. */
export function formatNumber(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(round(value));
}

function rowOf({ id, rate, p50, p99, unit, reference, ratio, goal }: Result): readonly string[] {
  const time = (value: number) => `${formatNumber(value)} ${unit}`;
  return [
    id,
    formatNumber(rate),
    time(p50),
    time(p99),
    formatNumber(reference.rate),
    time(reference.p50),
    ratio.toFixed(3),
    goal === null ? "" : `${goal.met ? "met   " : "MISSED"} ${goal.aim} (${formatNumber(goal.actual)})`,
  ];
}

function rateOf({ product }: Comparison): number {
  return product.rate;
}

function inUnit(ms: number, unit: Unit): number {
  return unit === "us" ? ms * 1000 : ms;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
