/**
 * `warden report`: what the ledger shows for published lists of controls, and what it does not. The whole log is verified
 * on this side first; a damaged one gives no report.
 */
import { writeFileSync } from "node:fs";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Command, Option } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { parseInstant } from "../event-filter.ts";
import { openLogDirectory } from "../log-directory.ts";
import type { Framework } from "../report/framework.ts";
import { EU_AI_ACT } from "../report/frameworks/eu-ai-act.ts";
import { OWASP_AGENTIC } from "../report/frameworks/owasp-agentic.ts";
import { OWASP_NHI } from "../report/frameworks/owasp-nhi.ts";
import { SOC_2 } from "../report/frameworks/soc2.ts";
import { formatHtml } from "../report/html.ts";
import { EventCollector, makeReport, type Report, type ReportRange } from "../report/make-report.ts";
import { formatMarkdown } from "../report/markdown.ts";
import { createTemporaryExport } from "../temporary-export.ts";
import { readTextFile } from "../text-file.ts";
import { auditDirectory } from "../verify-directory.ts";
import { formatWitnessStatus, readWitnessPolicy } from "../witness-policy.ts";

const FRAMEWORKS: readonly Framework[] = [EU_AI_ACT, SOC_2, OWASP_AGENTIC, OWASP_NHI];
/** In a log that grows an action may be under way. */
const LIVE_WINDOW_SECONDS = 60;

interface ReportOptions {
  readonly for?: string;
  readonly since?: string;
  readonly until?: string;
  readonly format: "html" | "markdown";
  readonly out?: string;
  readonly vkey?: string;
  readonly bundle?: string;
  readonly witnessPolicy?: string;
}

export function addReportCommand(program: Command, runtime: Runtime): void {
  program
    .command("report")
    .description("what the ledger shows for EU AI Act, SOC 2 and OWASP lists, and what it does not")
    .argument("[dir]", "a directory that `warden ledger export` wrote; without one, the running server's log")
    .addOption(new Option("--for <list>", "one list only").choices(FRAMEWORKS.map(({ id }) => id)))
    .option("--since <time>", "RFC 3339, or how long ago: 10m, 1h, 7d; the log's beginning unless given")
    .option("--until <time>", "RFC 3339, or how long ago; the log's end unless given")
    .addOption(
      new Option("--format <format>", "form of the report").choices(["html", "markdown"]).default("html"),
    )
    .option("--out <file>", "a new file; standard output unless given")
    .option("--vkey <vkey>", "the log's key, from a place other than the log")
    .option("--bundle <file>", "the trust bundle, from a place other than the log")
    .option("--witness-policy <file>", "whose cosignatures count; witness.policy of --config-dir if there")
    .addHelpText(
      "after",
      examples(
        "warden report --out report.html",
        "warden report --for eu-ai-act --since 2026-07-01T00:00:00Z --until 2026-10-01T00:00:00Z --out q3.html",
        "warden report ./export --vkey ledger.acme.test+1a2b3c4d+AZ… --format markdown --out report.md",
      ),
    )
    .action((directory: string | undefined, options: ReportOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No report was made.",
        run: (session) => showReport(session, directory, options),
      }),
    );
}

async function showReport(
  session: Session,
  directory: string | undefined,
  options: ReportOptions,
): Promise<void> {
  const report = await reportOn(session, directory, options);
  const text = options.format === "html" ? formatHtml(report) : formatMarkdown(report);
  const { out } = options;
  if (out === undefined) {
    session.output.show(JSON.parse(JSON.stringify(report)), [text.trimEnd()]);
    return;
  }
  // A report that is there stays: it may have been handed to somebody.
  writeFileSync(out, session.output.isJson ? `${JSON.stringify(report, null, 2)}\n` : text, {
    flag: "wx",
    mode: 0o600,
  });
  const { origin, size } = report.log;
  session.output.show({ file: out, origin, size, events: report.events, range: { ...report.range } }, [
    `Written to ${out}: ${report.events} events of ${origin}, from ${report.range.since} to before ${report.range.until}.`,
  ]);
}

async function reportOn(
  session: Session,
  directory: string | undefined,
  options: ReportOptions,
): Promise<Report> {
  if (directory !== undefined) return reportOnDirectory(session, { directory, options, windowSeconds: 0 });
  const temporary = await createTemporaryExport(session.client);
  try {
    return await reportOnDirectory(session, {
      directory: temporary.directory,
      options,
      windowSeconds: LIVE_WINDOW_SECONDS,
    });
  } finally {
    temporary.remove();
  }
}

/** @throws TrustWardenError `ledger_corrupt` for a log with any damage, `checkpoint_unwitnessed`. */
async function reportOnDirectory(
  { paths, io }: Session,
  {
    directory,
    options,
    windowSeconds,
  }: { readonly directory: string; readonly options: ReportOptions; readonly windowSeconds: number },
): Promise<Report> {
  const { since, until, vkey, bundle } = options;
  const instant = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : requireTime(parseInstant(text, io.nowMs()));
  const collector = new EventCollector();
  const audit = await auditDirectory({
    directory,
    vkey,
    bundle: bundle === undefined ? undefined : readTextFile(bundle),
    olderCheckpoint: undefined,
    policy: readWitnessPolicy(paths, options.witnessPolicy),
    windowSeconds,
    onRecord: (index, record) => collector.add(index, record),
  });
  if (audit.witnessed.kind === "unwitnessed") throw new TrustWardenError("checkpoint_unwitnessed");
  const [damage] = audit.findings.filter(({ severity }) => severity === "damage");
  if (damage !== undefined)
    throw new TrustWardenError("ledger_corrupt", { why: `${damage.code} at ${damage.place}` });
  const { origin, size, root } = audit.checkpoint;
  const log = {
    origin,
    size,
    root: encodeBase64(root),
    vkey: vkey ?? openLogDirectory(directory).vkey,
    signatures: audit.signatures,
    witnessed: formatWitnessStatus(audit.witnessed),
    trust: describeTrust(options),
    findings: audit.findings,
  };
  const range = requireForward({ sinceMs: instant(since), untilMs: instant(until) });
  const frameworks = FRAMEWORKS.filter(({ id }) => options.for === undefined || options.for === id);
  return makeReport(log, { events: collector.events(), range, frameworks });
}

function describeTrust({ vkey, bundle }: ReportOptions): string {
  const key = vkey === undefined ? "the log's key is the log's own word" : "the log's key was given";
  const roots =
    bundle === undefined ? "the trust roots are the log's own word" : "the trust roots were given";
  return `${key}; ${roots}`;
}

function requireForward(range: ReportRange): ReportRange {
  const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY } = range;
  if (sinceMs >= untilMs)
    throw new TrustWardenError("request_malformed", { why: "the range ends before it begins" });
  return range;
}

function requireTime(text: string): number {
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) throw new TrustWardenError("request_malformed", { why: `${text} is no time` });
  return timeMs;
}
