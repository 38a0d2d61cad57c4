/** Percentiles of a run, and its histogram as one SVG picture. */

const WIDTH = 760;
const HEIGHT = 320;
const MARGIN = { left: 56, right: 16, top: 40, bottom: 48 } as const;
const BARS = 40;

/** Of measured milliseconds. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** One bar: values from `fromMs` up to, and without, `toMs`. */
export interface Bar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/** Nearest-rank percentiles. @throws Error without values. */
export function summarise(valuesMs: readonly number[]): Summary {
  const sorted = valuesMs.toSorted((one, other) => one - other);
  const at = (share: number) => {
    const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
    if (value === undefined) throw new Error("nothing was measured");
    return Math.round(value * 100) / 100;
  };
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** What one of several equal parts has of a whole number. */
export function share(total: number, parts: number, index: number): number {
  return Math.floor(total / parts) + (index < total % parts ? 1 : 0);
}

/** Bars of equal width from 0 to beyond the largest value. */
export function createHistogram(valuesMs: readonly number[]): readonly Bar[] {
  const widthMs = niceWidth(Math.max(...valuesMs) / BARS);
  const bars = Math.floor(Math.max(...valuesMs) / widthMs) + 1;
  const counts = new Map<number, number>();
  for (const value of valuesMs) {
    const bar = Math.floor(value / widthMs);
    counts.set(bar, (counts.get(bar) ?? 0) + 1);
  }
  return Array.from({ length: bars }, (_, index) => ({
    fromMs: index * widthMs,
    toMs: (index + 1) * widthMs,
    count: counts.get(index) ?? 0,
  }));
}

/** A picture that needs nothing else. */
export function formatHistogram(
  bars: readonly Bar[],
  { title, summary }: { readonly title: string; readonly summary: Summary },
): string {
  const lastMs = bars.at(-1)?.toMs ?? 1;
  const most = Math.max(...bars.map(({ count }) => count));
  const plotWidth = WIDTH - MARGIN.left - MARGIN.right;
  const plotHeight = HEIGHT - MARGIN.top - MARGIN.bottom;
  const x = (ms: number) => MARGIN.left + (ms / lastMs) * plotWidth;
  const columns = bars.map(({ fromMs, toMs, count }) => {
    const height = (count / most) * plotHeight;
    const y = HEIGHT - MARGIN.bottom - height;
    return `<rect x="${x(fromMs).toFixed(1)}" y="${y.toFixed(1)}" width="${(x(toMs) - x(fromMs) - 1).toFixed(1)}" height="${height.toFixed(1)}" fill="#1f6feb"/>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text x="${x(share * lastMs).toFixed(1)}" y="${HEIGHT - 26}" text-anchor="middle">${(share * lastMs).toFixed(0)}</text>`,
  );
  const { p50, p99, max } = summary;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}" font-family="system-ui, sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
<text x="${MARGIN.left}" y="22" font-size="15">${title}: p50 ${p50} ms, p99 ${p99} ms, max ${max} ms</text>
${columns.join("\n")}
<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${HEIGHT - MARGIN.bottom}" y2="${HEIGHT - MARGIN.bottom}" stroke="#62686f"/>
${ticks.join("\n")}
<text x="${MARGIN.left - 8}" y="${MARGIN.top + 8}" text-anchor="end">${most}</text>
<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">milliseconds from the call to the last allow</text>
</svg>
`;
}

/** 1, 2 or 5 times a power of ten, at least the wanted width. */
function niceWidth(wantedMs: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(wantedMs, 0.01)));
  return ([1, 2, 5, 10].find((factor) => factor * power >= wantedMs) ?? 10) * power;
}
