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
  /**
   * Untimed: makes every process run what is measured until its compiler has seen it. One round of each side, which
   * comes before the rounds that count in any case, is too little for what is slow.
   */
  readonly warmUp?: () => Promise<void>;
  /** Ends what was started. */
  readonly close?: () => Promise<void>;
}

/** One benchmark. */
export interface Bench extends Description {
  /** Whether the machine has what it needs; always unless given. */
  readonly isAvailable?: () => boolean;
  readonly open: (setting: Setting) => Promise<Contest>;
}
