import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { issueEnvelope } from "./dsse.ts";
import { formatTime, type Intent } from "./event.ts";
import {
  formatParamsCommitment,
  formatRequestCommitment,
  issueIntent,
  requireSameRequest,
  verifyIntent,
} from "./intent.ts";
import type { Signer } from "./signer.ts";

const NOW = 1_800_000_000;
const SALT = new Uint8Array(32).fill(7);
const REQUEST = { method: "POST", target: "/transactions?x=1", body: encodeUtf8('{"amount":1}') };
const LEAF = encodeBase64url(new Uint8Array(32).fill(1));
const AUDIENCE = "spiffe://acme.test/trustwarden/verifier/finance/inst-1";

function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey,
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}
const signer = newSigner();
const leaf = { sha256: LEAF, publicKey: signer.publicKey };

function anIntent(change: Partial<Intent> = {}): Intent {
  return {
    v: 1,
    event_id: "017f22e2-79b0-7000-8000-000000000000",
    agent: { id: "agt_1", spiffe_id: "spiffe://acme.test/a/inst-1", svid_sha256: LEAF },
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    request: formatRequestCommitment(REQUEST, SALT),
    params: null,
    aud: AUDIENCE,
    job: null,
    time: formatTime(NOW * 1000),
    exp: NOW + 60,
    seq: 1,
    prev: null,
    seen: null,
    ...change,
  };
}
const verify = (
  intent: Intent,
  options: { readonly audience?: string; readonly now?: number; readonly by?: Signer } = {},
) =>
  verifyIntent(issueIntent(intent, options.by ?? signer).envelope, {
    leaf,
    audience: options.audience ?? AUDIENCE,
    now: options.now ?? NOW,
  });
const refusal = (code: string) => expect.objectContaining({ code });

describe("the intent", () => {
  it("is proven by the leaf's key, for its audience, now", () => {
    const issued = issueIntent(
      anIntent({ seen: { origin: "ledger.acme.test/2027q1", size: 3, root: "x" } }),
      signer,
    );
    const verified = verifyIntent(issued.envelope, { leaf, audience: AUDIENCE, now: NOW });
    expect(verified).toEqual(issued);
  });

  it("is refused under another key, another certificate of the same key, and another audience", () => {
    expect(() => verify(anIntent(), { by: newSigner() })).toThrow(refusal("signature_invalid"));
    const otherLeaf = encodeBase64url(new Uint8Array(32).fill(2));
    expect(() => verify(anIntent({ agent: { ...anIntent().agent, svid_sha256: otherLeaf } }))).toThrow(
      refusal("svid_mismatch"),
    );
    expect(() => verify(anIntent(), { audience: "spiffe://acme.test/other" })).toThrow(
      refusal("intent_audience"),
    );
  });

  it("38 is refused when it is expired, from the future or too long-lived, with 30 s of skew", () => {
    expect(() => verify(anIntent(), { now: NOW + 89 })).not.toThrow();
    expect(() => verify(anIntent(), { now: NOW + 90 })).toThrow(refusal("intent_expired"));
    expect(() => verify(anIntent(), { now: NOW - 30 })).not.toThrow();
    expect(() => verify(anIntent(), { now: NOW - 31 })).toThrow(refusal("intent_expired"));
    expect(() => verify(anIntent({ exp: NOW + 61 }))).toThrow(refusal("intent_expired"));
  });

  it("binds method, target and body", () => {
    const intent = anIntent();
    expect(() => requireSameRequest(intent, REQUEST, SALT)).not.toThrow();
    for (const change of [
      { method: "DELETE" },
      { target: "/transactions" },
      { body: encodeUtf8('{"amount":2}') },
    ]) {
      expect(() => requireSameRequest(intent, { ...REQUEST, ...change }, SALT)).toThrow(
        refusal("intent_mismatch"),
      );
    }
    expect(() => requireSameRequest(intent, REQUEST, new Uint8Array(32))).toThrow(refusal("intent_mismatch"));
    expect(() => requireSameRequest(anIntent({ request: null }), REQUEST, SALT)).toThrow(
      refusal("intent_mismatch"),
    );
  });

  it("commits to parameters without showing them", () => {
    const commitment = formatParamsCommitment({ to: "alice" }, SALT);
    expect(commitment).toHaveLength(43);
    expect(commitment).not.toBe(formatParamsCommitment({ to: "alice" }, new Uint8Array(32)));
  });

  it.each<[string, Record<string, unknown>]>([
    ["an unknown member", { extra: 1 }],
    ["a missing version", { v: 2 }],
    ["a sequence that is not an integer", { seq: 1.5 }],
    ["a negative expiry", { exp: -1 }],
    ["a time without milliseconds", { time: "2026-01-01T00:00:00Z" }],
    ["a time that does not exist", { time: "2026-13-01T00:00:00.000Z" }],
    ["an empty action", { action: "" }],
    ["a digest of the wrong length", { prev: "abc" }],
    ["an unknown member of the agent", { agent: { ...anIntent().agent, role: "admin" } }],
    ["a resource of 2049 characters", { resource: "r".repeat(2049) }],
  ])("refuses %s under a good signature", (_what, change) => {
    const json = JSON.parse(JSON.stringify({ ...anIntent(), ...change }));
    const envelope = issueEnvelope("intent", json, signer, LEAF);
    expect(() => verifyIntent(envelope, { leaf, audience: AUDIENCE, now: NOW })).toThrow(
      refusal("record_malformed"),
    );
  });
});
