import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import {
  formatTestEventId,
  issueTestControl,
  issueTestDecision,
  issueTestIntent,
  issueTestOutcome,
  TEST_NOW,
} from "@trustwarden/core/agentledger/record.test.support.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { describe, expect, it } from "vitest";
import { EU_AI_ACT } from "./frameworks/eu-ai-act.ts";
import { OWASP_AGENTIC } from "./frameworks/owasp-agentic.ts";
import { OWASP_NHI } from "./frameworks/owasp-nhi.ts";
import { SOC_2 } from "./frameworks/soc2.ts";
import { formatHtml } from "./html.ts";
import { EventCollector, makeReport, type Report, type VerifiedLog } from "./make-report.ts";
import { formatMarkdown } from "./markdown.ts";

const FRAMEWORKS = [EU_AI_ACT, SOC_2, OWASP_AGENTIC, OWASP_NHI];
const HOSTILE = `<script>alert("1")</script>' | [x](javascript:1) \u202e`;
const LOG: VerifiedLog = {
  origin: "ledger.acme.test",
  size: 6,
  root: "cm9vdA==",
  vkey: "ledger.acme.test+1a2b3c4d+AZ",
  signatures: 6,
  witnessed: "unwitnessed",
  trust: "given",
  findings: [],
};

function timeAt(seconds: number): string {
  return new Date((TEST_NOW + seconds) * 1000).toISOString();
}

/** Entries of an action; event ids are numbers. */
function action(number: number, { allow = true, agent = "agt_payment" } = {}): readonly Uint8Array[] {
  const event_id = formatTestEventId(number);
  const spiffe = "spiffe://acme.test/team/finance/payment-agent/inst-01A";
  const intent = issueTestIntent({
    event_id,
    time: timeAt(number),
    agent: { id: agent, spiffe_id: spiffe, svid_sha256: "A".repeat(43) },
  });
  const decision = issueTestDecision(intent, {
    event_id,
    allow,
    chain: ["owner:own_1", agent],
    time: timeAt(number),
  });
  return allow ? [intent, decision, issueTestOutcome(intent, { event_id })] : [intent, decision];
}

function report(
  entries: readonly Uint8Array[],
  {
    log = LOG,
    since,
    until,
  }: { readonly log?: VerifiedLog; readonly since?: number; readonly until?: number } = {},
): Report {
  const collector = new EventCollector();
  for (const [index, entry] of entries.entries()) collector.add(index, parseRecord(entry));
  const instant = (seconds: number | undefined) =>
    seconds === undefined ? undefined : (TEST_NOW + seconds) * 1000;
  const range = { sinceMs: instant(since), untilMs: instant(until) };
  return makeReport(log, { events: collector.events(), range, frameworks: FRAMEWORKS });
}

function figure(made: Report, control: string, label: string) {
  const found = made.frameworks.flatMap(({ controls }) => controls).find(({ id }) => id === control);
  return found?.figures.find((one) => one.label.includes(label));
}

/** Fails unless every element is closed in its order and no bare sign is left. */
function requireWellFormed(html: string): void {
  const open: string[] = [];
  const body = html.replace("<!doctype html>\n", "").replace(/<style>[\s\S]*?<\/style>/, "");
  const tags = /<(\/?)([a-z][a-z0-9]*)((?: [a-zA-Z][a-zA-Z0-9-]*="[^"<>]*")*)( \/)?>/g;
  for (const [, slash, name = "", , isEmpty] of body.matchAll(tags)) {
    if (isEmpty !== undefined) continue;
    if (slash === "") open.push(name);
    else expect(open.pop()).toBe(name);
  }
  expect(open).toEqual([]);
  const rest = body.replace(tags, "").replace(/&(?:amp|lt|gt|quot|#39);/g, "");
  expect(rest).not.toMatch(/[<>&]/);
}

describe("a report", () => {
  it("has every control of each list, each with what is not shown", () => {
    const made = report(action(1));
    expect(made.frameworks.map(({ controls }) => controls.length)).toEqual([7, 13, 10, 10]);
    const numbers = made.frameworks.flatMap(({ controls }) => controls.map(({ id }) => id));
    expect(new Set(numbers).size).toBe(40);
    for (const { controls } of made.frameworks)
      for (const { id, notShown, figures } of controls) {
        expect(notShown, id).not.toHaveLength(0);
        expect(new Set(figures.map(({ label }) => label)).size, id).toBe(figures.length);
      }
  });

  it("counts an event where it is there, and not where it is not", () => {
    const without = report(action(1));
    const withDenied = report([...action(1), ...action(2, { allow: false })]);
    expect(figure(without, "ASI02", "actions denied")).toEqual({
      label: "actions denied",
      count: 0,
      events: [],
    });
    expect(figure(withDenied, "ASI02", "actions denied")).toEqual({
      label: "actions denied",
      count: 1,
      events: [{ event_id: formatTestEventId(2), indexes: [3, 4] }],
    });
    const revoked = [...action(1), issueTestControl({ kind: "revoke", time: timeAt(5) })];
    expect(figure(report(revoked), "NHI1:2025", "revocations")).toMatchObject({ count: 1 });
    expect(figure(without, "NHI1:2025", "revocations")).toMatchObject({ count: 0 });
  });

  it("names the first five events of a figure and counts the others", () => {
    const made = report(Array.from({ length: 7 }, (_, at) => action(at + 1)).flat());
    const actions = figure(made, "Art. 12(1)", "actions that agents asked for");
    expect([actions?.count, actions?.events.length]).toEqual([7, 5]);
    expect(formatHtml(made)).toContain("; and 2 more");
  });

  it("takes the first instant of its range and leaves the last", () => {
    const entries = [...action(10), ...action(20), ...action(30)];
    const counted = (range: { readonly since?: number; readonly until?: number }) =>
      figure(report(entries, range), "Art. 12(1)", "actions that agents asked for")?.count;
    expect(counted({})).toBe(3);
    expect(counted({ since: 20 })).toBe(2);
    expect(counted({ until: 20 })).toBe(1);
    expect(counted({ since: 20, until: 20.001 })).toBe(1);
    expect(report(entries).activity.reduce((sum, { success }) => sum + success, 0)).toBe(3);
  });

  it("shows what the audit found against a control", () => {
    const finding = {
      code: "sequence_gap",
      severity: "alarm",
      place: "entry 1",
      detail: "2 missing",
    } as const;
    const made = report(action(1), { log: { ...LOG, findings: [finding, finding] } });
    const words = `entry 1 of ${formatTestEventId(1)}: 2 missing`;
    expect(figure(made, "CC7.2", "sequence gap")).toMatchObject({ count: 2, found: [words, words] });
    expect(figure(report(action(1)), "CC7.2", "sequence gap")).toMatchObject({ count: 0, found: [] });
    const many = report(action(1), { log: { ...LOG, findings: Array.from({ length: 9 }, () => finding) } });
    expect(figure(many, "CC7.2", "sequence gap")?.found?.at(-1)).toBe("and 4 more");
    for (const text of [formatHtml(made), formatMarkdown(made)]) expect(text).toContain("2 missing");
    expect(made.log.alarms).toBe(2);
  });

  it("names the events between which the log's span lies, once where they are one", () => {
    const ids = (entries: readonly Uint8Array[]) =>
      figure(report(entries), "Art. 19(1)", "whole days")?.found;
    expect(ids([...action(30), ...action(10), ...action(20)])).toEqual([
      `${formatTestEventId(10)} (3, 4, 5)`,
      `${formatTestEventId(30)} (0, 1, 2)`,
    ]);
    expect([ids(action(1))?.length, ids([])]).toEqual([1, []]);
  });

  it("is the same for the same records, in every form, and of an empty log too", () => {
    const entries = [...action(1), ...action(2, { allow: false })];
    expect(formatHtml(report(entries))).toBe(formatHtml(report(entries)));
    expect(formatMarkdown(report(entries))).toBe(formatMarkdown(report(entries)));
    requireWellFormed(formatHtml(report([])));
    expect(report([]).events).toBe(0);
  });

  it("is well-formed and loads nothing, whatever an agent, a log or an event is called", () => {
    const made = report(action(1, { agent: HOSTILE }), { log: { ...LOG, origin: HOSTILE, trust: HOSTILE } });
    expect(made.agents[0]?.agent).toBe(HOSTILE);
    const html = formatHtml(made);
    requireWellFormed(html);
    expect(html).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;");
    expect(html).not.toMatch(/<script|\u202e|src=|href=|url\(|@import|\son[a-z]+="/);
    for (const words of ["prefers-color-scheme: dark", "@media print", "<svg"]) expect(html).toContain(words);
    const markdown = formatMarkdown(made);
    expect(markdown).not.toMatch(/<script|\u202e|\[x\]\(/);
    expect(markdown).toContain("&lt;script&gt;");
  });
});

describe("the event type of reports", () => {
  it("has a place for each outcome of an action", () => {
    const outcomes: readonly JoinedEvent["outcome"][] = [
      "success",
      "failure",
      "aborted",
      "denied",
      "pending",
    ];
    const [bucket] = report(action(1)).activity;
    expect(Object.keys(bucket ?? {}).sort()).toEqual([...outcomes, "since"].sort());
  });
});
