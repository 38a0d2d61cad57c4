import { describe, expect, it } from "vitest";
import { type JoinedEvent, joinRecord } from "./join.ts";
import {
  formatTestEventId,
  issueTestControl,
  issueTestDecision,
  issueTestIntent,
  issueTestOutcome,
} from "./record.test.support.ts";
import { parseRecord } from "./record.ts";
import { isSaidByEntries } from "./rejoin.ts";

const intent = issueTestIntent();
const other = issueTestIntent({ event_id: formatTestEventId(2), action: "read:transactions" });
const log = [
  issueTestControl(),
  intent,
  issueTestDecision(intent),
  issueTestOutcome(intent),
  other,
  issueTestDecision(other, { event_id: formatTestEventId(2), allow: false, reasons: ["scope"] }),
];
const entries = new Map(log.entries());

function joined(...indexes: readonly number[]): JoinedEvent {
  let event: JoinedEvent | null = null;
  for (const index of indexes) event = joinRecord(event, parseRecord(log[index] ?? new Uint8Array(0)), index);
  if (event === null) throw new Error("no event");
  return event;
}

describe("an event that somebody told of", () => {
  it("is what its records say, as far as it names them", () => {
    for (const indexes of [[0], [1, 2, 3], [1, 2], [4, 5]])
      expect(isSaidByEntries(joined(...indexes), entries)).toBe(true);
  });

  it("is found out when any member of it was altered", () => {
    const event = joined(1, 2, 3);
    const altered: Readonly<Record<keyof JoinedEvent, Partial<JoinedEvent>>> = {
      event_id: { event_id: formatTestEventId(2) },
      kind: { kind: "issue" },
      agent_id: { agent_id: "agt_other" },
      agent_identity: { agent_identity: null },
      parent_agent_id: { parent_agent_id: null },
      owner_id: { owner_id: "own_2" },
      chain: { chain: ["owner:own_1"] },
      action: { action: "read:transactions" },
      resource: { resource: "postgres://other" },
      timestamp: { timestamp: "2020-01-01T00:00:00.000Z" },
      outcome: { outcome: "failure" },
      reasons: { reasons: ["scope"] },
      class: { class: "A" },
      enforcement: { enforcement: "self" },
      authorized_by: { authorized_by: "policy:other@x" },
      signature: { signature: "AAAA" },
      indexes: { indexes: [1, 2] },
    };
    expect(Object.keys(altered).sort()).toEqual(Object.keys(event).sort());
    for (const [name, change] of Object.entries(altered))
      expect([name, isSaidByEntries({ ...event, ...change }, entries)]).toEqual([name, false]);
  });

  it("is not made of the records of two, of none, or of one that is not there", () => {
    expect(isSaidByEntries({ ...joined(1, 2, 3), indexes: [1, 5, 3] }, entries)).toBe(false);
    expect(isSaidByEntries({ ...joined(1, 2, 3), indexes: [4, 5] }, entries)).toBe(false);
    expect(isSaidByEntries({ ...joined(1, 2, 3), indexes: [] }, entries)).toBe(false);
    expect(isSaidByEntries(joined(1, 2, 3), new Map([...entries].filter(([index]) => index !== 3)))).toBe(
      false,
    );
  });
});
