/**
 * What a judge is: a stranger's program that accepts what we make and refuses what is broken.
 *
 * A judge that accepted nothing, or refused nothing, has looked at nothing, and that is a failure.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Random } from "./random.ts";

/** Where the judges work. */
export interface Lab {
  /** The checkout. */
  readonly root: string;
  /** Tools, kept between runs. */
  readonly cache: string;
  /** Everything else, removed at the end. */
  readonly scratch: string;
  readonly random: Random;
}

/** What one judge saw. */
export interface Findings {
  /** Sound artifacts that it accepted. */
  readonly accepted: number;
  /** Broken artifacts that it refused. */
  readonly refused: number;
  /** One line for each verdict that is not the expected one. */
  readonly wrong: readonly string[];
  /** More that is worth a word in the report. */
  readonly note?: string;
}

export interface Judge {
  readonly name: string;
  readonly run: (lab: Lab) => Promise<Findings>;
}

/** The judge is not to be had here: a failure in CI, a loud skip elsewhere. */
export class JudgeUnavailable extends Error {}

/** The judge sits only where somebody brings its program, and nobody did: a loud skip everywhere, never a pass. */
export class JudgeNotBrought extends JudgeUnavailable {}

/** One verdict beside what it had to be. */
export interface Verdict {
  readonly name: string;
  readonly expected: "accept" | "refuse";
  readonly isAccepted: boolean;
  /** What the judge said. */
  readonly said?: string | undefined;
}

/** Findings of a list of verdicts. */
export function countVerdicts(verdicts: readonly Verdict[], note?: string): Findings {
  const isRight = ({ expected, isAccepted }: Verdict) => (expected === "accept") === isAccepted;
  const right = verdicts.filter(isRight);
  const wrong = verdicts
    .filter((verdict) => !isRight(verdict))
    .map(({ name, expected, said }) => `${name}: expected ${expected}; ${said ?? "the opposite was said"}`);
  return {
    accepted: right.filter(({ isAccepted }) => isAccepted).length,
    refused: right.filter(({ isAccepted }) => !isAccepted).length,
    wrong,
    ...(note === undefined ? {} : { note }),
  };
}

/** A lab for one run; the caller removes its scratch folder with `closeLab`. */
export function createLab(root: string, random: Random): Lab {
  const cache = join(root, ".cache", "interop");
  mkdirSync(cache, { recursive: true });
  return { root, cache, scratch: mkdtempSync(join(tmpdir(), "interop-")), random };
}

/** Removes what the judges left behind. */
export function closeLab({ scratch }: Lab): void {
  rmSync(scratch, { recursive: true, force: true });
}
