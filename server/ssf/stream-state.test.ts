/** Whatever a receiver may ask of a stream is read back as it was kept: a server that cannot read a stream does not start. */
import {
  ssfStatusRequest,
  ssfStreamRequest,
  ssfSubjectRequest,
  ssfVerificationRequest,
} from "@trustwarden/core/api/ssf.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import fc from "fast-check";
import { expect, it } from "vitest";
import { formatStreamState, parseStreamState, type StreamState } from "./stream-state.ts";

const STREAM: StreamState = {
  streamId: "str_01HZX3Y4Z5A6B7C8D9E0F1G2H3",
  receiver: "spiffe://acme.test/trustwarden/verifier/mail",
  description: null,
  requested: null,
  status: "enabled",
  reason: null,
  removed: [],
  verifications: [],
  next: 0,
};

it.each<[string, Partial<StreamState>]>([
  ["as it is made", {}],
  ["with an empty word of the receiver", { verifications: [{ jti: "one", state: "" }] }],
  ["with a verification without a word", { verifications: [{ jti: "one", state: null }] }],
  [
    "as full as one may be",
    {
      removed: Array.from({ length: 256 }, (_, at) => `${at}`.padStart(1024, '"')),
      verifications: Array.from({ length: 8 }, () => ({ jti: "j".repeat(36), state: '"'.repeat(256) })),
      requested: Array.from({ length: 64 }, () => '"'.repeat(512)),
      description: '"'.repeat(256),
      reason: '"'.repeat(256),
    },
  ],
])("a stream %s is read back", (_, change) => {
  const state = { ...STREAM, ...change };
  expect(parseStreamState(formatStreamState(state))).toEqual(state);
});

it("a stream is read back with every text that the API takes", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 });
  fc.assert(
    fc.property(text, text, text, text, (description, reason, state, id) => {
      const named = { stream_id: STREAM.streamId };
      const made = ssfStreamRequest.safeParse({ description, events_requested: [state] });
      const status = ssfStatusRequest.safeParse({ ...named, status: "paused", reason });
      const verified = ssfVerificationRequest.safeParse({ ...named, state });
      const removed = ssfSubjectRequest.safeParse({ ...named, subject: { format: "opaque", id } });
      const kept: StreamState = {
        ...STREAM,
        ...(made.success && { description, requested: [state] }),
        ...(status.success && { reason }),
        ...(verified.success && { verifications: [{ jti: "one", state }] }),
        ...(removed.success && { removed: [formatCanonicalJson({ format: "opaque", id })] }),
      };
      expect(parseStreamState(formatStreamState(kept))).toEqual(kept);
    }),
  );
});
