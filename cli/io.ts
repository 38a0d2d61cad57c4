/**
 * What the command line touches of the outside world, as one argument: so that every command can be tested without a
 * process, and so that the environment and the clock are read in one place (`main.ts`).
 */
import type { Random } from "@trustwarden/core/id.ts";

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The user's home directory; the default directories lie in it. */
  readonly home: string;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly random: Random;
}
