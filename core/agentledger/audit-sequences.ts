/**
 * Checks one instance's count of its own intents: what the log does not hold, the next intent gives away.
 *
 * Instances act in parallel, so the order of the log is not the order of `seq`; the count is judged when the whole
 * log is known. The end of a count cannot be judged: a log cannot prove an action that nobody reported.
 */
import type { Report } from "./finding.ts";

/** An intent, as far as counting goes. */
export interface SequencedIntent {
  readonly index: number;
  readonly seq: number;
  readonly prev: string | null;
  readonly payloadSha256: string;
  /** RFC 3339. */
  readonly time: string;
}

/** How a count is judged. */
export interface SequenceRules {
  /** `anywhere` for a part of a log, whose first intent need not be the instance's first. */
  readonly begin?: "at one" | "anywhere";
  /**
   * Whether what comes before an intent of this time is due: intents of one instance reach the log in any order, so a gap
   * before a fresh one may be filled in a moment. Always, unless given.
   */
  readonly isDue?: (time: string) => boolean;
}

/**
 * Reports gaps, repeats and broken links, each by its own code.
 *
 * @param instance - SPIFFE ID.
 * @returns gaps that are not due yet.
 */
export function auditSequences(
  instance: string,
  intents: readonly SequencedIntent[],
  report: Report,
  { begin = "at one", isDue = () => true }: SequenceRules = {},
): number {
  const sorted = intents.toSorted((left, right) => left.seq - right.seq || left.index - right.index);
  let last: SequencedIntent | null = begin === "anywhere" ? (sorted[0] ?? null) : null;
  let notDue = 0;
  const ordered = begin === "anywhere" ? sorted.slice(1) : sorted;
  for (const intent of ordered) {
    const expected: number = (last?.seq ?? 0) + 1;
    const detail = `seq ${intent.seq} at entry ${intent.index}`;
    if (intent.seq === last?.seq) {
      report({ code: "sequence_repeated", place: instance, detail });
    } else if (intent.seq !== expected && !isDue(intent.time)) {
      notDue += 1;
    } else if (intent.seq !== expected) {
      report({ code: "sequence_gap", place: instance, detail: `${detail}, expected ${expected}` });
    } else if (intent.prev !== (last?.payloadSha256 ?? null)) {
      report({ code: "previous_mismatch", place: instance, detail });
    }
    last = intent;
  }
  return notDue;
}
