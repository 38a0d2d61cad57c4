/** A report as Markdown: the same words and figures, and a chart in signs. */
import { escapeMarkdown } from "./escape.ts";
import type { Bucket, Report, ReportControl, ReportFramework } from "./make-report.ts";
import { describeEvents, describeLog, HOW_TO_READ, TITLE } from "./words.ts";

const BAR_CHARS = 40;

/** The text. */
export function formatMarkdown(report: Report): string {
  const facts = describeLog(report).map(
    ([name, value]) => `| ${escapeMarkdown(name)} | ${escapeMarkdown(value)} |`,
  );
  const agents = report.agents.map(
    ({ agent, owner, actions, denied }) =>
      `| ${escapeMarkdown(agent)} | ${escapeMarkdown(owner)} | ${actions} | ${denied} |`,
  );
  return `${[
    `# ${TITLE}`,
    "",
    HOW_TO_READ,
    "",
    "| what | |",
    "| --- | --- |",
    ...facts,
    "",
    "## Actions over time",
    "",
    "```text",
    ...drawBars(report.activity),
    "```",
    "",
    "## Who acted most",
    "",
    "| agent | owner | actions | denied |",
    "| --- | --- | ---: | ---: |",
    ...agents,
    "",
    ...report.frameworks.flatMap(formatFramework),
  ].join("\n")}\n`;
}

function drawBars(buckets: readonly Bucket[]): readonly string[] {
  const totals = buckets.map(({ success, failure, aborted, pending, denied }) => ({
    denied,
    done: success + failure + aborted + pending,
  }));
  const most = Math.max(1, ...totals.map(({ done, denied }) => done + denied));
  const wide = (count: number): number => Math.ceil((count / most) * BAR_CHARS);
  return buckets.map(({ since }, at) => {
    const { done = 0, denied = 0 } = totals[at] ?? {};
    const bar = `${"#".repeat(wide(done))}${"x".repeat(wide(denied))}`;
    return `${since.slice(0, 16)} ${bar} ${done} allowed or open, ${denied} denied`;
  });
}

function formatFramework({ title, source, controls }: ReportFramework): readonly string[] {
  return [`## ${escapeMarkdown(title)}`, "", escapeMarkdown(source), "", ...controls.flatMap(formatControl)];
}

function formatControl({ id, title, asks, figures, notShown }: ReportControl): readonly string[] {
  const rows = figures.map(
    (figure) =>
      `| ${escapeMarkdown(figure.label)} | ${figure.count} | ${escapeMarkdown(describeEvents(figure))} |`,
  );
  const table = ["| figure | count | events (entries) |", "| --- | ---: | --- |", ...rows];
  return [
    `### ${escapeMarkdown(id)}: ${escapeMarkdown(title)}`,
    "",
    escapeMarkdown(asks),
    "",
    ...(rows.length === 0 ? ["No figure of this ledger shows it."] : table),
    "",
    "Not shown by this ledger:",
    "",
    ...notShown.map((text) => `- ${escapeMarkdown(text)}`),
    "",
  ];
}
