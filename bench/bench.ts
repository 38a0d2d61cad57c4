/** What a benchmark is made of. */
import type { Effort, Work } from "./measure.ts";
import type { Description } from "./report.ts";

/** What a run gives its benchmarks. */
export interface Setting {
  readonly effort: Effort;
  /** Less of everything that takes long to set up. */
  readonly isQuick: boolean;
  /** An empty directory for one benchmark; removed after the run. */
  readonly createDirectory: () => string;
}

/** Two works to compare, set up and running. */
export interface Contest {
  readonly product: Work;
  readonly reference: Work;
  /** Ends what was started. */
  readonly close?: () => Promise<void>;
}

/** One benchmark. */
export interface Bench extends Description {
  readonly open: (setting: Setting) => Promise<Contest>;
}
