/** Agents for each owner over the last week as a line, with the alarm's mark across it; its end is what is now. */
import type { RatioPoint } from "@trustwarden/core/api/tree.ts";
import type { ReactElement } from "react";
import { formatRatio, formatTime } from "./format.ts";
import { MANY_AGENTS_PER_OWNER } from "./ratio.tsx";

const WIDTH = 600;
const HEIGHT = 120;
/** So that the alarm's mark is always in the picture. */
const LEAST_PEAK = MANY_AGENTS_PER_OWNER * 1.2;

/** The chart; what it shows is said in words too. @param past - oldest first. */
export function RatioHistory({
  past,
  agents,
  owners,
}: {
  readonly past: readonly RatioPoint[];
  readonly agents: number;
  readonly owners: number;
}): ReactElement | null {
  const [first] = past;
  if (first === undefined) return null;
  const last = { at: Math.floor(Date.now() / 1000), agents, owners };
  const points = [...past, last];
  const most = points.reduce((worst, point) => (ratioOf(point) > ratioOf(worst) ? point : worst), first);
  const peak = Math.max(LEAST_PEAK, ratioOf(most) * 1.1);
  const span = Math.max(1, last.at - first.at);
  const y = (ratio: number) => HEIGHT - (HEIGHT * ratio) / peak;
  const line = points.map((point) => `${(WIDTH * (point.at - first.at)) / span},${y(ratioOf(point))}`);
  const said = `Agents per owner since ${formatTime(first.at)}: ${wordsOf(first)} then, ${wordsOf(last)} now, at most ${wordsOf(most)}`;
  return (
    <figure className="ratio-history" data-points={points.length}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={said}>
        <line
          className="ratio-alarm"
          x1={0}
          x2={WIDTH}
          y1={y(MANY_AGENTS_PER_OWNER)}
          y2={y(MANY_AGENTS_PER_OWNER)}
        />
        <polyline className="ratio-line" points={line.join(" ")} />
      </svg>
      <figcaption>
        <span>
          {formatTime(first.at)}: {wordsOf(first)}
        </span>
        <span>
          at most {wordsOf(most)}, {formatTime(most.at)}
        </span>
        <span>now: {wordsOf(last)}</span>
      </figcaption>
    </figure>
  );
}

function ratioOf({ agents, owners }: RatioPoint): number {
  return owners === 0 ? 0 : agents / owners;
}

function wordsOf({ agents, owners }: RatioPoint): string {
  return formatRatio(agents, owners);
}
