/** A scan as people and programs read it. No value is in it: only masks, fingerprints, places and reasons. */
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type { Json } from "@trustwarden/core/json.ts";
import { formatTable, printable } from "../output.ts";
import type { Place } from "./finding.ts";
import { fingerprintOf, maskSecret } from "./masking.ts";
import { adviceFor, type Planned, shownAddress } from "./planned.ts";
import type { ScanResult } from "./scan.ts";

/** How many places that were left out are named; the rest is counted. */
const MAX_SKIPPED_SHOWN = 10;

/** What a report is made of. */
export interface ReportParts {
  readonly result: ScanResult;
  readonly planned: readonly Planned[];
  readonly salt: Uint8Array;
}

/** Where a finding is, in one line. */
export function formatPlace(place: Place, line: number): string {
  switch (place.kind) {
    case "file":
      return `${place.path}:${line}`;
    case "git":
      return `${place.commit.slice(0, 12)}:${place.path}`;
    case "process":
      return `process ${place.pid}`;
  }
}

/** One document for programs. */
export function reportJson({ result, planned, salt }: ReportParts): { readonly [name: string]: Json } {
  return {
    findings: planned.map((plan) => findingJson(plan, salt)),
    looked_at: result.looked,
    is_complete: result.isComplete,
    skipped: result.skipped.map(({ path, why }) => ({ path, why })),
  };
}

/** Lines for people: what was found, then what `--fix` would change. */
export function reportLines({ result, planned, salt }: ReportParts): readonly string[] {
  const rows = planned.map((plan) => {
    const { finding } = plan;
    return [
      formatPlace(finding.place, finding.line),
      finding.name ?? "",
      finding.provider?.id ?? finding.rule,
      maskSecret(finding.value),
      fingerprintOf(finding.value, salt),
      "edits" in plan ? `--fix: upstream ${plan.upstream.name} (${plan.upstream.kind})` : plan.why,
    ];
  });
  const header = ["WHERE", "NAME", "WHOSE", "SECRET", "FINGERPRINT", "WHAT CAN BECOME OF IT"];
  return [
    ...formatTable(header, rows, `No secrets in ${result.looked} texts.`),
    ...diffLines(planned),
    ...skippedLines(result),
  ];
}

/** The change that a plan makes, with its secrets masked; whole lines are never shown, for what else may stand in them. */
function diffLines(planned: readonly Planned[]): readonly string[] {
  const moves = planned.filter((plan) => "edits" in plan);
  return moves.flatMap(({ finding, edits, upstream }) => [
    "",
    printable(`${formatPlace(finding.place, finding.line)}  ${finding.name ?? ""}`),
    ...edits.flatMap(({ before, replacement }) => [
      ...(before === "" ? [] : [printable(`- ${before}`)]),
      printable(`+ ${replacement}`),
    ]),
    `  the broker keeps it for ${shownAddress(upstream.url)}`,
  ]);
}

function findingJson(plan: Planned, salt: Uint8Array): Json {
  const { finding } = plan;
  return {
    place: placeJson(finding.place),
    line: finding.line,
    column: finding.column,
    name: finding.name ?? null,
    rule: finding.rule,
    provider: finding.provider?.id ?? null,
    masked: maskSecret(finding.value),
    fingerprint: fingerprintOf(finding.value, salt),
    advice: adviceFor(finding),
    fix:
      "edits" in plan
        ? { upstream: plan.upstream.name, kind: plan.upstream.kind, origin: originOf(plan.upstream.url) }
        : null,
    why_not: "edits" in plan ? null : plan.why,
  };
}

function placeJson(place: Place): Json {
  switch (place.kind) {
    case "file":
      return { kind: "file", path: place.path };
    case "git":
      return { kind: "git", path: place.path, commit: place.commit };
    case "process":
      return { kind: "process", pid: place.pid };
  }
}

function skippedLines({ skipped, isComplete }: ScanResult): readonly string[] {
  const shown = skipped
    .slice(0, MAX_SKIPPED_SHOWN)
    .map(({ path, why }) => printable(`left out: ${path} (${why})`));
  const more = skipped.length - shown.length;
  return [
    ...(skipped.length === 0 ? [] : ["", ...shown]),
    ...(more > 0 ? [`left out: ${more} more; --json names them`] : []),
    ...(isComplete
      ? []
      : ["The scan is not complete: a bound ended it, or something that was meant could not be read."]),
  ];
}
