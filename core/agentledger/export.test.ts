import { describe, expect, it } from "vitest";
import { EXPORT_FORMATS, exportHead, formatExport } from "./export.ts";
import { type JoinedEvent, joinRecord } from "./join.ts";
import {
  issueTestDecision,
  issueTestIntent,
  issueTestOutcome,
  issueTestOwner,
} from "./record.test.support.ts";
import { parseRecord } from "./record.ts";

const source = { origin: "ledger.acme.test/2026q4", version: "1.2.3" };

function eventOf(resource = "postgres://finance-db/transactions"): JoinedEvent {
  const intent = issueTestIntent({ resource });
  return (
    [intent, issueTestDecision(intent), issueTestOutcome(intent)]
      .map(parseRecord)
      .reduce((event: JoinedEvent | null, record, index) => joinRecord(event, record, index), null) ?? never()
  );
}

function never(): never {
  throw new Error("three records are an event");
}

const owner = joinRecord(null, parseRecord(issueTestOwner()), 7);

describe("every format", () => {
  it("writes nothing for no events, and whole lines for some", () => {
    for (const format of EXPORT_FORMATS) {
      expect(formatExport(format, [], source)).toBe("");
      expect(formatExport(format, [eventOf(), owner], source)).toMatch(/\n$/);
    }
  });
});

describe("CSV", () => {
  const cellsOf = (resource: string) => formatExport("csv", [eventOf(resource)], source);

  it("has as many cells in each row as names in its head", () => {
    const count = (line: string) => line.trimEnd().split(",").length;
    expect(count(cellsOf("plain"))).toBe(count(exportHead("csv")));
  });

  it.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"])(
    "puts an apostrophe before %j, which a spreadsheet would run",
    (resource) => {
      expect(cellsOf(resource)).toContain(`"'${resource}"`);
    },
  );

  it("doubles quotes and keeps commas and line breaks inside their cell", () => {
    expect(cellsOf('a"b,c\nd')).toContain('"a""b,c\nd"');
    expect(cellsOf("a=b")).toContain('"a=b"');
  });
});

describe("OCSF", () => {
  const ocsf = (event: JoinedEvent) => JSON.parse(formatExport("ocsf", [event], source));

  it("has an action as API Activity with the type of its verb", () => {
    expect(ocsf(eventOf())).toMatchObject({
      class_uid: 6003,
      activity_id: 3,
      type_uid: 600303,
      status_id: 1,
      severity_id: 1,
      api: { operation: "write:transactions" },
      metadata: { version: "1.8.0", log_name: source.origin },
    });
  });

  it("shows a denial as a failure of more weight, and an identity's event as Entity Management", () => {
    const denied: JoinedEvent = { ...eventOf(), outcome: "denied" };
    expect(ocsf(denied)).toMatchObject({
      status_id: 2,
      severity_id: 3,
      actor: { authorizations: [{ decision: "denied" }] },
    });
    expect(ocsf(owner)).toMatchObject({ class_uid: 3004, type_uid: 300401, entity: { uid: "own_1" } });
  });
});

describe("CloudEvents", () => {
  it("change their id with the outcome, so that it is no duplicate of what was pending", () => {
    const [event, pending] = [eventOf(), { ...eventOf(), indexes: [0, 1] }];
    const ids = formatExport("cloudevents", [pending, event], source)
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).id);
    expect(new Set(ids).size).toBe(2);
  });
});

describe("OpenTelemetry", () => {
  it("writes nanoseconds as text, exactly", () => {
    const { resourceLogs } = JSON.parse(formatExport("otel", [eventOf()], source));
    const [record] = resourceLogs[0].scopeLogs[0].logRecords;
    expect(record.timeUnixNano).toBe(`${Date.parse(eventOf().timestamp)}000000`);
    expect(record.severityNumber).toBe(9);
  });
});
