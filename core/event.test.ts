import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "./error.ts";
import {
  formatTime,
  parseControlRecord,
  parseDecisionRecord,
  parseIntent,
  parseOutcomeRecord,
} from "./event.ts";
import { isJsonObject, type Json } from "./json.ts";

const DIGEST = "A".repeat(43);
const EVENT_ID = "017f22e2-79b0-7000-8000-000000000000";
const TIME = formatTime(1_800_000_000_000);

const decision = {
  v: 1,
  event_id: EVENT_ID,
  intent_sha256: DIGEST,
  allow: true,
  reasons: [],
  class: "B",
  chain: ["owner:own_1", "agt_1"],
  policy: { name: "trustwarden-builtin-v1", bundle_sha256: DIGEST },
  approval: { id: "01890a5d-ac96-774b-bcce-b302099a8057", owner: "own_1", envelope_sha256: DIGEST },
  from: { peer: "127.0.0.1" },
  custody: "agent",
  attested: { type: "none", strength: "none", composition_sha256: null },
  enforcement: "service",
  lease_epoch: 4,
  time: TIME,
};
const outcome = {
  v: 1,
  event_id: EVENT_ID,
  intent_sha256: DIGEST,
  decision_index: 7,
  status: "success",
  result: null,
  bytes: 0,
  duration_ms: 12,
  time: TIME,
};
const control = {
  v: 1,
  event_id: EVENT_ID,
  kind: "revoke",
  allow: true,
  reasons: [],
  principal: "operator",
  subject: "agt_1",
  chain: [],
  intent_sha256: null,
  epoch: 2,
  from: { peer: "admin" },
  details: { instances: 3 },
  time: TIME,
};
const refusal = expect.objectContaining({ code: "record_malformed" });

describe("the records", () => {
  it("reads each record back exactly", () => {
    expect(parseDecisionRecord(decision)).toEqual(decision);
    expect(parseOutcomeRecord(outcome)).toEqual(outcome);
    expect(parseControlRecord(control)).toEqual(control);
  });

  it("refuses a record with any one member missing, added or of another type", () => {
    const cases = [
      { parse: parseDecisionRecord, whole: decision },
      { parse: parseOutcomeRecord, whole: outcome },
      { parse: parseControlRecord, whole: control },
    ];
    for (const { parse, whole } of cases) {
      for (const name of Object.keys(whole)) {
        const members = Object.entries(whole);
        const without = Object.fromEntries(members.filter(([key]) => key !== name));
        expect(() => parse(without), `without ${name}`).toThrow(refusal);
        if (name === "details") continue;
        expect(() => parse({ ...without, [name]: { odd: 1 } }), `odd ${name}`).toThrow(refusal);
      }
      expect(() => parse({ ...whole, extra: 1 })).toThrow(refusal);
    }
  });

  it("refuses members that JavaScript objects inherit", () => {
    const { kind: _kind, ...without } = control;
    expect(() => parseControlRecord({ ...without, ["__proto__"]: "x" })).toThrow(refusal);
    expect(() => parseControlRecord({ ...control, details: null })).toThrow(refusal);
  });

  it("accepts 256 reasons and refuses 257", () => {
    expect(() =>
      parseControlRecord({ ...control, reasons: Array.from({ length: 256 }, () => "r") }),
    ).not.toThrow();
    expect(() => parseControlRecord({ ...control, reasons: Array.from({ length: 257 }, () => "r") })).toThrow(
      refusal,
    );
  });

  it("never throws anything but its own error, whatever the JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // The cast names what fast-check generates: JSON values.
        const json = value as Json;
        if (!isJsonObject(json)) return;
        for (const parse of [parseIntent, parseDecisionRecord, parseOutcomeRecord, parseControlRecord]) {
          expect(() => parse(json)).toThrow(TrustWardenError);
        }
      }),
    );
  });
});
