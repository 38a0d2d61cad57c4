/**
 * The forms of a soak, and what may come of each: how memory, descriptors and the event loop may have moved.
 *
 * Memory is judged by its slope, since a leak is a line and a cache is a plateau: least squares over the part of the run in
 * which what a server remembers by design (two and a half minutes of intents) is there already.
 */

/** One look at the process. */
export interface Sample {
  /** Seconds since the load began. */
  readonly atSeconds: number;
  readonly residentMib: number;
  /** Of the event loop, since the look before: 99 in 100 are below. */
  readonly loopP99Ms: number;
}

/** How long, how much, and the bounds. */
export interface SoakForm {
  readonly minutes: number;
  readonly rate: number;
  /** Seconds of the beginning that are not judged. */
  readonly fillingSeconds: number;
  readonly maxSlopeMibPerHour: number;
  readonly maxLoopP99Ms: number;
}

/** Half of a lease: a loop that comes round later costs verifiers theirs. */
const HALF_A_LEASE_MS = 350;

export const FORMS = {
  /** Three minutes: memory is still filling, so only what runs away is seen. */
  ci: { minutes: 3, rate: 100, fillingSeconds: 60, maxSlopeMibPerHour: 6_000, maxLoopP99Ms: HALF_A_LEASE_MS },
  quarter: {
    minutes: 15,
    rate: 500,
    fillingSeconds: 300,
    maxSlopeMibPerHour: 240,
    maxLoopP99Ms: HALF_A_LEASE_MS,
  },
  day: {
    minutes: 1_440,
    rate: 200,
    fillingSeconds: 3_600,
    maxSlopeMibPerHour: 2,
    maxLoopP99Ms: HALF_A_LEASE_MS,
  },
} as const satisfies Readonly<Record<string, SoakForm>>;

/** What a soak saw. */
export interface Soaked {
  readonly samples: readonly Sample[];
  /** Descriptors that stayed open. */
  readonly grownDescriptors: number;
}

/** Bursts at the end of a run leave a few. */
const SLACK_DESCRIPTORS = 8;
/** Slices in a hundred that may be slower: the machine does other things too. */
const SLOW_SLICES = 0.05;

/** One line for each bound that does not hold; none for a run that holds. */
export function judgeSoak({ samples, grownDescriptors }: Soaked, form: SoakForm): readonly string[] {
  const judged = samples.filter(({ atSeconds }) => atSeconds >= form.fillingSeconds);
  if (judged.length < 3) return ["the run was too short to be judged"];
  const slope = slopeMibPerHour(judged);
  const slow = judged.filter(({ loopP99Ms }) => loopP99Ms > form.maxLoopP99Ms).length;
  return [
    ...(slope > form.maxSlopeMibPerHour
      ? [`resident memory grows by ${Math.round(slope)} MiB an hour; ${form.maxSlopeMibPerHour} are allowed`]
      : []),
    ...(grownDescriptors > SLACK_DESCRIPTORS
      ? [`${grownDescriptors} descriptors more than at the start`]
      : []),
    ...(slow > judged.length * SLOW_SLICES
      ? [`the event loop was later than ${form.maxLoopP99Ms} ms in ${slow} of ${judged.length} slices`]
      : []),
  ];
}

/** Least squares over the samples. */
export function slopeMibPerHour(samples: readonly Sample[]): number {
  const meanAt = meanOf(samples.map(({ atSeconds }) => atSeconds));
  const meanMib = meanOf(samples.map(({ residentMib }) => residentMib));
  const spread = samples.reduce((sum, { atSeconds }) => sum + (atSeconds - meanAt) ** 2, 0);
  const joint = samples.reduce(
    (sum, { atSeconds, residentMib }) => sum + (atSeconds - meanAt) * (residentMib - meanMib),
    0,
  );
  return spread === 0 ? 0 : (joint / spread) * 3_600;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
