/** An intent acts at most once. */
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { SeenIntents } from "./seen-intents.ts";

const NOW = 1_780_000_000;

function intent(eventId: string, payloadSha256: string, svid = "svid-1") {
  return {
    intent: {
      v: 1 as const,
      event_id: eventId,
      agent: { id: "agt_1", spiffe_id: "spiffe://acme.test/a/inst-1", svid_sha256: svid },
      action: "read:transactions",
      resource: "x",
      request: null,
      params: null,
      aud: "spiffe://acme.test/v",
      job: null,
      time: "2026-01-01T00:00:00.000Z",
      exp: NOW + 60,
      seq: 1,
      prev: null,
      seen: null,
    },
    envelope: "",
    sha256: "",
    payloadSha256,
  };
}

describe("seen intents", () => {
  it("refuse the same payload again", () => {
    const seen = new SeenIntents();
    seen.claim(intent("event-1", "payload-1"), NOW);
    expectCode(() => seen.claim(intent("event-1", "payload-1"), NOW), "intent_replayed");
  });

  it("refuse another payload under the same event id", () => {
    const seen = new SeenIntents();
    seen.claim(intent("event-1", "payload-1"), NOW);
    expectCode(() => seen.claim(intent("event-1", "payload-2"), NOW), "event_conflict");
  });

  it("let another SVID use the same event id", () => {
    const seen = new SeenIntents();
    seen.claim(intent("event-1", "payload-1"), NOW);
    seen.claim(intent("event-1", "payload-1", "svid-2"), NOW);
    expect(seen.size).toBe(2);
  });

  it("know what the ledger held before this process", () => {
    const seen = new SeenIntents();
    seen.remember(intent("event-1", "payload-1"));
    expectCode(() => seen.claim(intent("event-1", "payload-1"), NOW), "intent_replayed");
  });

  it("remember for as long as the intent could verify, and not for ever", () => {
    const seen = new SeenIntents();
    seen.claim(intent("event-1", "payload-1"), NOW);
    expectCode(() => seen.claim(intent("event-1", "payload-1"), NOW + 149), "intent_replayed");
    seen.claim(intent("event-2", "payload-2"), NOW + 150);
    expect(seen.size).toBe(1);
  });
});
