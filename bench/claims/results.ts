/** What the benchmarks kept (`keepResult`), as this report reads it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ResultName } from "../keep.ts";
import type { Machine, Result } from "../report.ts";
import type { Summary } from "../revocation/statistics.ts";

/** Around every result. What an older run did not keep is missing. */
export interface Kept {
  readonly command?: string;
  readonly machine: Machine;
  /** When the run ended. */
  readonly ended?: { readonly load: number; readonly at: string };
  readonly versions?: Readonly<Record<string, string>>;
}

interface Spent {
  readonly seconds: number;
  readonly cpu_seconds: number;
}
type Values = Readonly<Record<string, number>>;
interface Run {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}
interface Goodput {
  readonly goodPerSecond: number;
  readonly ofPeak: number;
  readonly stops: { readonly count: number; readonly p50Ms: number; readonly p99Ms: number };
}

/** The members that the report uses. */
export interface Results {
  readonly report: Kept & { readonly results: readonly Result[] };
  readonly spire: Kept & {
    readonly figures: readonly {
      readonly what: string;
      readonly unit: string;
      readonly ours: Values;
      readonly theirs: Values;
    }[];
  };
  readonly tessera: Kept & {
    readonly rows: readonly {
      readonly mode: string;
      readonly ours: Run;
      readonly tessera: Run;
      readonly ratio: number;
    }[];
  };
  readonly opa: Kept & {
    readonly rows: readonly {
      readonly at_once: number;
      readonly ours: Run;
      readonly opa: Run;
      readonly ratio: number;
    }[];
  };
  readonly gateway: Kept & {
    readonly results: readonly {
      readonly target: string;
      readonly form: string;
      readonly rate: number;
      readonly achieved: number;
      /** Of older runs missing. */
      readonly refused?: number;
      readonly p50: number;
      readonly p99: number;
    }[];
  };
  readonly revocation: Kept & {
    readonly verifiers: number;
    readonly processes: number;
    readonly relays: number;
    readonly revokes: number;
    readonly visits_per_second: number;
    readonly broken: number;
    readonly last_allow: Summary;
    readonly answer: Summary;
  };
  readonly overload: Kept & {
    readonly peakPerSecond: number;
    readonly overload: Goodput;
    readonly flood: Goodput & { readonly worstOfTheModest: number };
  };
  readonly outcomes: Kept & {
    readonly offeredPerSecond: number;
    readonly connections: number;
    readonly rounds: readonly {
      readonly perSecond: number;
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly cpuUsEach: number;
    }[];
  };
  readonly questions: Kept & {
    readonly events: number;
    readonly questions: readonly {
      readonly name: string;
      readonly p50_ms: number;
      readonly p95_ms: number;
    }[];
  };
  readonly size: Kept & {
    readonly agents: number;
    readonly rss_mib: number;
    readonly started: { readonly listening_seconds: number; readonly first_issue_ms: number };
    readonly renewals: { readonly per_second: number; readonly server_cpu_ms_each: number };
    readonly stops: readonly { readonly descendants: number; readonly ms: number }[];
  };
  readonly restore: Kept & {
    readonly agents: number;
    readonly bytes: number;
    readonly backup: Spent;
    readonly restore: Spent;
    readonly started: Spent;
    readonly rto_seconds: number;
  };
  readonly console: Kept & {
    readonly agents: number;
    readonly first_paint: { readonly median_ms: number; readonly worst_ms: number };
    readonly live: {
      readonly longest_ms: number;
      readonly frames_a_second: number;
      readonly late_frames: number;
      readonly late_frames_idle: number;
    };
  };
}

/** Results by name; those that were not run are missing. */
export type Found = { readonly [Name in ResultName]?: Results[Name] };

/** Reads whatever is there. @throws Error for a file that is no result: a report that leaves it out would say "not run". */
export function readResults(directory: string, names: readonly ResultName[]): Found {
  const found: Record<string, unknown> = {};
  for (const name of names) {
    const path = join(directory, `${name}.json`);
    if (!existsSync(path)) continue;
    const result: Kept = JSON.parse(readFileSync(path, "utf8"));
    if (result.machine?.cpu === undefined) throw new Error(`${path} is no result of a benchmark`);
    found[name] = result;
  }
  return found;
}
