/** Charts of a report as SVG inside the page: nothing is loaded, and colours come from the page for light, dark and print. */
import { escapeHtml } from "./escape.ts";
import type { AgentRow, Bucket } from "./make-report.ts";

const WIDTH = 860;
const HEIGHT = 220;
const LEFT = 50;
const BOTTOM = 28;
const ROW = 26;
const LABELS = 300;

/** Drawn from the bottom up; each has a class of its own in the page's style. */
const OUTCOMES = ["success", "failure", "aborted", "pending", "denied"] as const;

/** Actions over the range, stacked by outcome. */
export function drawActivity(buckets: readonly Bucket[]): string {
  const totals = buckets.map((bucket) => OUTCOMES.reduce((sum, outcome) => sum + bucket[outcome], 0));
  const most = Math.max(1, ...totals);
  const step = (WIDTH - LEFT) / Math.max(1, buckets.length);
  const bars = buckets.flatMap((bucket, at) =>
    drawColumn(bucket, { x: LEFT + at * step, width: step * 0.8, most }),
  );
  const base = HEIGHT - BOTTOM;
  const ends = [buckets[0]?.since ?? "", buckets.at(-1)?.since ?? ""].map((time) => time.slice(0, 16));
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Actions over time by outcome">
<line x1="${LEFT}" x2="${WIDTH}" y1="${base}" y2="${base}" />
<text x="${LEFT - 6}" y="14" text-anchor="end">${most}</text><text x="${LEFT - 6}" y="${base}" text-anchor="end">0</text>
${bars.join("\n")}
<text x="${LEFT}" y="${HEIGHT - 8}">${escapeHtml(ends[0] ?? "")}</text>
<text x="${WIDTH}" y="${HEIGHT - 8}" text-anchor="end">${escapeHtml(ends[1] ?? "")}</text>
</svg>
<p class="legend">${OUTCOMES.map((outcome) => `<span class="key ${outcome}"></span>${outcome}`).join(" ")}</p>`;
}

function drawColumn(
  bucket: Bucket,
  { x, width, most }: { readonly x: number; readonly width: number; readonly most: number },
): readonly string[] {
  const full = HEIGHT - BOTTOM - 8;
  let top = HEIGHT - BOTTOM;
  return OUTCOMES.flatMap((outcome) => {
    const height = (bucket[outcome] / most) * full;
    if (height === 0) return [];
    top -= height;
    const title = `${bucket.since}: ${bucket[outcome]} ${outcome}`;
    return [
      `<rect class="${outcome}" x="${round(x)}" y="${round(top)}" width="${round(width)}" height="${round(height)}"><title>${escapeHtml(title)}</title></rect>`,
    ];
  });
}

/** Actions of each agent, the denied ones in another colour. */
export function drawAgents(rows: readonly AgentRow[]): string {
  const most = Math.max(1, ...rows.map(({ actions }) => actions));
  const scale = (WIDTH - LABELS - 60) / most;
  const bars = rows.map(({ agent, actions, denied }, at) => {
    const y = at * ROW;
    const allowed = (actions - denied) * scale;
    return `<text x="0" y="${y + 17}">${escapeHtml(agent)}</text>
<rect class="success" x="${LABELS}" y="${y + 5}" width="${round(allowed)}" height="15" />
<rect class="denied" x="${round(LABELS + allowed)}" y="${y + 5}" width="${round(denied * scale)}" height="15" />
<text x="${round(LABELS + actions * scale + 6)}" y="${y + 17}">${actions}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${Math.max(1, rows.length) * ROW}" role="img" aria-label="Actions by agent">
${bars.join("\n")}
</svg>`;
}

function round(value: number): string {
  return String(Number(value.toFixed(2)));
}
