/**
 * The report as one page that needs nothing else: two plots in SVG and the numbers, for light and dark screens.
 *
 * Latencies are on a logarithmic axis, because a decision and an enrolment are four orders of magnitude apart.
 */
import { formatBars } from "./plot.ts";
import { type BenchReport, formatNumber, type Result } from "./report.ts";

const WIDTH = 860;
const LABEL_WIDTH = 150;
const RIGHT_MARGIN = 90;
const PLOT_WIDTH = WIDTH - LABEL_WIDTH - RIGHT_MARGIN;
const ROW_HEIGHT = 44;
const AXIS_HEIGHT = 34;
/** Decades of the time axis, in microseconds: from one to ten seconds. */
const DECADES = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const TICK_NAMES = ["1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"] as const;

const STYLE = `
:root { color-scheme: light dark; --text: #1c2024; --faint: #62686f; --line: #d5d9de; --back: #ffffff;
  --ours: #1f6feb; --raw: #8b949e; --good: #1a7f37; --bad: #b35900; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --faint: #9aa2ab; --line: #363c44; --back: #14171b;
  --ours: #6cb0ff; --raw: #7d8690; --good: #56d364; --bad: #f0a04b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; } p, caption { color: var(--faint); }
svg { width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: var(--text); }
svg .faint { fill: var(--faint); } svg line { stroke: var(--line); }
.ours { fill: var(--ours); stroke: var(--ours); } .raw { fill: var(--raw); stroke: var(--raw); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, td.text { text-align: left; } td.text { white-space: normal; min-width: 16rem; }
.met { color: var(--good); } .missed { color: var(--bad); }`;

/** The page. */
export function formatPage(report: BenchReport): string {
  const { machine, versions, results } = report;
  const { cpu, cores, memory_gib, os, load, at } = machine;
  const used = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TrustWarden benchmarks</title><style>${STYLE}</style></head><body>
<h1>TrustWarden benchmarks</h1>
<p>${escapeHtml(`${cpu}, ${cores} cores, ${memory_gib} GiB, ${os}; load ${load} at ${at}`)}<br>${escapeHtml(used.join(", "))}</p>
<h2>Time of one run</h2>
<p>From p50 (dot) to p99 (end of the line), ours above the raw reference. The axis is logarithmic.</p>
${plotTimes(results)}
<h2>Rate, as a share of the raw reference</h2>
<p>1 would be as fast as the one raw operation that cannot be spared.</p>
${plotRatios(results)}
<h2>Numbers</h2>
<div class="scroll">${formatNumbers(results)}</div>
</body></html>
`;
}

function plotTimes(results: readonly Result[]): string {
  const height = results.length * ROW_HEIGHT + AXIS_HEIGHT;
  const grid = DECADES.map((decade) => {
    const x = place(10 ** decade);
    return `<line x1="${x}" x2="${x}" y1="0" y2="${height - AXIS_HEIGHT}"/>
<text class="faint" x="${x}" y="${height - 12}" text-anchor="middle">${TICK_NAMES[decade]}</text>`;
  });
  const rows = results.map((result, row) => {
    const top = row * ROW_HEIGHT;
    const { id, unit, p50, p99, reference } = result;
    return `${label(id, top + 26)}
${span("ours", top + 16, { p50: inMicroseconds(p50, unit), p99: inMicroseconds(p99, unit) })}
${span("raw", top + 30, { p50: inMicroseconds(reference.p50, unit), p99: inMicroseconds(reference.p99, unit) })}
<text x="${WIDTH - RIGHT_MARGIN + 12}" y="${top + 26}">${formatNumber(p50)} ${unit}</text>`;
  });
  return svg(height, "p50 and p99 of each benchmark and its reference", [...grid, ...rows]);
}

function plotRatios(results: readonly Result[]): string {
  const most = Math.max(1, ...results.map(({ ratio }) => ratio));
  return formatBars({
    title: "rate of each benchmark divided by that of its reference",
    labelWidth: LABEL_WIDTH,
    rows: results.map(({ id, ratio }) => ({ label: id, share: ratio / most, text: ratio.toFixed(3) })),
    ticks: [0, 0.25, 0.5, 0.75, 1].map((ratio) => ({ share: ratio / most, text: String(ratio) })),
  });
}

function formatNumbers(results: readonly Result[]): string {
  const rows = results.map(({ id, what, rate, p50, p99, unit, reference, ratio, goal }) => {
    const verdict =
      goal === null
        ? "<td></td>"
        : `<td class="${goal.met ? "met" : "missed"}">${escapeHtml(`${goal.aim}: ${goal.met ? "met" : "missed"} (${formatNumber(goal.actual)})`)}</td>`;
    return `<tr><td>${id}</td><td>${formatNumber(rate)}</td><td>${formatNumber(p50)} ${unit}</td>
<td>${formatNumber(p99)} ${unit}</td><td>${formatNumber(reference.rate)}</td><td>${formatNumber(reference.p50)} ${unit}</td>
<td>${ratio.toFixed(3)}</td>${verdict}<td class="text">${escapeHtml(what)}; against ${escapeHtml(reference.what)}</td></tr>`;
  });
  return `<table><thead><tr><th></th><th>rate/s</th><th>p50</th><th>p99</th><th>raw/s</th><th>raw p50</th>
<th>ratio</th><th>goal</th><th></th></tr></thead><tbody>${rows.join("\n")}</tbody></table>`;
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">${parts.join("\n")}</svg>`;
}

function label(id: string, y: number): string {
  return `<text x="${LABEL_WIDTH - 14}" y="${y}" text-anchor="end">${id}</text>`;
}

function span(
  kind: "ours" | "raw",
  y: number,
  { p50, p99 }: { readonly p50: number; readonly p99: number },
): string {
  return `<circle class="${kind}" cx="${place(p50)}" cy="${y}" r="4.5"/>
<rect class="${kind}" x="${place(p50)}" y="${y - 1}" width="${(Number(place(p99)) - Number(place(p50))).toFixed(1)}" height="2"/>`;
}

/** Horizontal place of a time, in microseconds. */
function place(microseconds: number): string {
  const decades = Math.log10(Math.max(1, microseconds)) / (DECADES.length - 1);
  return (LABEL_WIDTH + Math.min(1, decades) * PLOT_WIDTH).toFixed(1);
}

function inMicroseconds(value: number, unit: Result["unit"]): number {
  return unit === "us" ? value : value * 1000;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
