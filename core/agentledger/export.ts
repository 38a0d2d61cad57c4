/**
 * Events in the forms that other systems read: JSON lines, CSV, OCSF, CloudEvents, OpenTelemetry logs.
 *
 * A copy for searching and alarms. It proves nothing; its `indexes` lead to the records and proofs that do.
 */
import { formatCloudEvent } from "./export-cloudevents.ts";
import { CSV_HEADER, formatCsvRow } from "./export-csv.ts";
import { formatOcsf } from "./export-ocsf.ts";
import { formatOtlpLogs } from "./export-otlp.ts";
import type { JoinedEvent } from "./join.ts";

/** Every form. */
export const EXPORT_FORMATS = ["jsonl", "csv", "ocsf", "cloudevents", "otel"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** Where the events come from. */
export interface ExportSource {
  /** Name of the log. */
  readonly origin: string;
  /** Of the software that made the log. */
  readonly version: string;
}

/** What stands before all events. */
export function exportHead(format: ExportFormat): string {
  return format === "csv" ? CSV_HEADER : "";
}

/** Some events, one a line; for `otel` all of them in one line, as an export request or a line of its file format. */
export function formatExport(
  format: ExportFormat,
  events: readonly JoinedEvent[],
  source: ExportSource,
): string {
  switch (format) {
    case "jsonl":
      return linesOf(events);
    case "csv":
      return events.map(formatCsvRow).join("");
    case "ocsf":
      return linesOf(events.map((event) => formatOcsf(event, source)));
    case "cloudevents":
      return linesOf(events.map((event) => formatCloudEvent(event, source)));
    case "otel":
      return events.length === 0 ? "" : linesOf([formatOtlpLogs(events, source)]);
  }
}

function linesOf(items: readonly object[]): string {
  return items.map((item) => `${JSON.stringify(item)}\n`).join("");
}
