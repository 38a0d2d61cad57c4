/** A report as one page that needs nothing else, well-formed, for light and dark screens and for paper. */
import { drawActivity, drawAgents } from "./charts.ts";
import { escapeHtml } from "./escape.ts";
import type { Report, ReportControl, ReportFramework } from "./make-report.ts";
import { describeEvents, describeLog, HOW_TO_READ, TITLE } from "./words.ts";

const STYLE = `
:root { color-scheme: light dark; --text: #1c2024; --faint: #62686f; --line: #d5d9de; --back: #ffffff;
  --success: #1f6feb; --failure: #b35900; --aborted: #8250df; --pending: #8b949e; --denied: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --faint: #9aa2ab; --line: #363c44; --back: #14171b;
  --success: #6cb0ff; --failure: #f0a04b; --aborted: #c297ff; --pending: #7d8690; --denied: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; } h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p.source, p.legend, .none { color: var(--faint); } svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); } svg line { stroke: var(--line); }
.success { fill: var(--success); } .failure { fill: var(--failure); } .aborted { fill: var(--aborted); }
.pending { fill: var(--pending); } .denied { fill: var(--denied); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .4em 0 1em; }
.key.success { background: var(--success); } .key.failure { background: var(--failure); }
.key.aborted { background: var(--aborted); } .key.pending { background: var(--pending); }
.key.denied { background: var(--denied); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.count { text-align: right; font-variant-numeric: tabular-nums; width: 4rem; } td.events { font-size: .8rem; width: 45%; }
@media print { :root { --text: #000; --faint: #444; --line: #bbb; --back: #fff; } body { max-width: none; margin: 0; }
  h2 { break-before: page; } section, tr, svg { break-inside: avoid; } .key { print-color-adjust: exact; } }`;

/** The page. */
export function formatHtml(report: Report): string {
  const facts = describeLog(report).map(
    ([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" />
<title>${TITLE}</title><style>${STYLE}</style></head><body>
<h1>${TITLE}</h1>
<p>${escapeHtml(HOW_TO_READ)}</p>
<table>${facts.join("\n")}</table>
<h3>Actions over time</h3>
${drawActivity(report.activity)}
<h3>Who acted most</h3>
${drawAgents(report.agents)}
${report.frameworks.map(formatFramework).join("\n")}
</body></html>
`;
}

function formatFramework({ title, source, controls }: ReportFramework): string {
  return `<h2>${escapeHtml(title)}</h2>
<p class="source">${escapeHtml(source)}</p>
${controls.map(formatControl).join("\n")}`;
}

function formatControl({ id, title, asks, figures, notShown }: ReportControl): string {
  const rows = figures.map(
    (figure) =>
      `<tr><td>${escapeHtml(figure.label)}</td><td class="count">${figure.count}</td><td class="events">${escapeHtml(describeEvents(figure))}</td></tr>`,
  );
  const missing = notShown.map((text) => `<li>${escapeHtml(text)}</li>`);
  const shown =
    rows.length === 0
      ? `<p class="none">No figure of this ledger shows it.</p>`
      : `<table><tr><th>Figure</th><th>Count</th><th>Events (entries)</th></tr>${rows.join("\n")}</table>`;
  return `<section><h3>${escapeHtml(id)}: ${escapeHtml(title)}</h3>
<p>${escapeHtml(asks)}</p>
${shown}
<p>Not shown by this ledger:</p><ul>${missing.join("")}</ul></section>`;
}
