/**
 * Events as OpenTelemetry log records, in the JSON form of OTLP.
 *
 * @see OTLP 1.10, JSON Protobuf encoding; OpenTelemetry logs data model
 */
import type { ExportSource } from "./export.ts";
import type { JoinedEvent } from "./join.ts";

/** SeverityNumber of INFO and WARN. */
const INFO = { severityNumber: 9, severityText: "INFO" } as const;
const WARN = { severityNumber: 13, severityText: "WARN" } as const;

/** The attributes; their names begin with the project's, since the semantic conventions have none for these. */
const ATTRIBUTES = [
  ["event_id", "trustwarden.event.id"],
  ["kind", "trustwarden.event.kind"],
  ["agent_id", "trustwarden.agent.id"],
  ["agent_identity", "trustwarden.agent.identity"],
  ["parent_agent_id", "trustwarden.agent.parent_id"],
  ["owner_id", "trustwarden.owner.id"],
  ["action", "trustwarden.action"],
  ["resource", "trustwarden.resource"],
  ["outcome", "trustwarden.outcome"],
  ["class", "trustwarden.action.class"],
  ["enforcement", "trustwarden.enforcement"],
  ["authorized_by", "trustwarden.authorized_by"],
] as const satisfies readonly (readonly [keyof JoinedEvent, string])[];

/** One export request with a log record for each event. */
export function formatOtlpLogs(events: readonly JoinedEvent[], { origin, version }: ExportSource): object {
  const resource = {
    attributes: [
      { key: "service.name", value: { stringValue: "trustwarden" } },
      { key: "service.version", value: { stringValue: version } },
      { key: "service.instance.id", value: { stringValue: origin } },
    ],
  };
  const scope = { name: "trustwarden.ledger", version };
  return { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: events.map(formatRecord) }] }] };
}

function formatRecord(event: JoinedEvent): object {
  const texts = ATTRIBUTES.flatMap(([member, key]) => {
    const value = event[member];
    return value === null ? [] : [{ key, value: { stringValue: value } }];
  });
  return {
    // A count of nanoseconds is beyond what a JSON number keeps exact: the format writes it as text.
    timeUnixNano: `${Date.parse(event.timestamp)}000000`,
    ...(event.outcome === "denied" || event.outcome === "failure" ? WARN : INFO),
    eventName: `trustwarden.${event.kind}`,
    body: { stringValue: `${event.action ?? event.kind} on ${event.resource ?? "-"}: ${event.outcome}` },
    attributes: [
      ...texts,
      listOf("trustwarden.chain", event.chain),
      listOf("trustwarden.reasons", event.reasons),
      listOf("trustwarden.ledger.indexes", event.indexes),
    ],
  };
}

function listOf(key: string, items: readonly (string | number)[]): object {
  const values = items.map((item) =>
    typeof item === "number" ? { intValue: String(item) } : { stringValue: item },
  );
  return { key, value: { arrayValue: { values } } };
}
