/**
 * Measures one thing against its raw reference: in turns, so that a busy machine slows both.
 *
 * Each round runs one side and then the other for the same time, the order changing from round to round; rates and
 * the ratio are medians over the rounds, latencies are percentiles over every run. Nothing here knows what it measures.
 */

/** One side: something that can be done again and again. */
export interface Work {
  /** Timed. */
  readonly run: () => unknown;
  /** Done before each run, untimed. */
  readonly prepare?: () => unknown;
  /** How many operations one run is; 1 unless given. */
  readonly operations?: number;
}

/** How long to measure. */
export interface Effort {
  readonly rounds: number;
  /** Milliseconds that each side gets in each round. */
  readonly roundMs: number;
}

/** What one side came to. */
export interface Side {
  /** Operations a second. */
  readonly rate: number;
  /** Milliseconds of one run. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Both sides, and how they compare. */
export interface Comparison {
  readonly product: Side;
  readonly reference: Side;
  /** Median of the rounds' `product rate / reference rate`. */
  readonly ratio: number;
}

interface Round {
  readonly rate: number;
  readonly runsMs: readonly number[];
}

/** Measures both sides in turns, after one round of each that does not count. */
export async function compare(
  { product, reference }: { readonly product: Work; readonly reference: Work },
  { rounds, roundMs }: Effort,
): Promise<Comparison> {
  await runRound(product, roundMs);
  await runRound(reference, roundMs);
  const ours: Round[] = [];
  const theirs: Round[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const isOursFirst = round % 2 === 0;
    if (isOursFirst) ours.push(await runRound(product, roundMs));
    theirs.push(await runRound(reference, roundMs));
    if (!isOursFirst) ours.push(await runRound(product, roundMs));
  }
  const ratios = ours.map(({ rate }, round) => rate / (theirs[round]?.rate ?? Number.NaN));
  return { product: summarise(ours), reference: summarise(theirs), ratio: percentile(ratios, 50) };
}

/** The value below which `percent` of the values lie; the nearest rank. @throws Error for no values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  if (value === undefined) throw new Error("nothing was measured");
  return value;
}

/** Runs a work `runs` times, several at once. */
export async function repeat(
  run: () => Promise<unknown>,
  { runs, atOnce }: { readonly runs: number; readonly atOnce: number },
): Promise<void> {
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < runs) {
      started += 1;
      await run();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function runRound({ run, prepare, operations = 1 }: Work, roundMs: number): Promise<Round> {
  const runsMs: number[] = [];
  let spentMs = 0;
  while (spentMs < roundMs || runsMs.length === 0) {
    if (prepare !== undefined) await prepare();
    const startedAt = performance.now();
    const pending = run();
    // Awaiting what is no promise would cost a turn of the event loop, more than some of what is measured.
    if (pending instanceof Promise) await pending;
    const tookMs = performance.now() - startedAt;
    runsMs.push(tookMs);
    spentMs += tookMs;
  }
  return { rate: (operations * runsMs.length * 1000) / spentMs, runsMs };
}

function summarise(rounds: readonly Round[]): Side {
  const runsMs = rounds.flatMap((round) => round.runsMs);
  return {
    rate: percentile(
      rounds.map(({ rate }) => rate),
      50,
    ),
    p50Ms: percentile(runsMs, 50),
    p99Ms: percentile(runsMs, 99),
  };
}
