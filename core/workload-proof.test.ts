/** Proofs beside WIT-SVIDs: workload proof tokens, client attestations, and the record that is made of the first. */
import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PresentedAuditor } from "./agentledger/audit-presented.ts";
import { issueClientAttestation, verifyClientAttestation } from "./client-attestation.ts";
import { formatP256Jwk, formatThumbprint } from "./crypto.ts";
import { type ErrorCode, TrustWardenError } from "./error.ts";
import { type ControlRecord, type DecisionRecord, formatTime } from "./event.ts";
import { issueMessageSignature, verifyMessageSignature } from "./http-signature.ts";
import { issueJws } from "./jws.ts";
import { type PresentedIntent, parsePresentedIntent, requirePossession } from "./presented-intent.ts";
import type { Signer } from "./signer.ts";
import {
  formatTokenDigest,
  issueWorkloadProof,
  parseWorkloadProof,
  verifyWorkloadProof,
} from "./workload-proof.ts";

const NOW = 1_800_000_000;
const URL_OF_ITEM = "https://gateway.test:7445/shop/items";
const WIT = "header.payload.signature";

function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
  return { algorithm: "ES256", publicKey, sign: (data) => sign("sha256", data, key) };
}
const signer = newSigner();
const { publicKey } = signer;
const jkt = formatThumbprint(publicKey);

function codeOf(run: () => unknown): ErrorCode | "none" {
  try {
    run();
    return "none";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

describe("a workload proof token", () => {
  const asked = { urls: [URL_OF_ITEM], wit: WIT, headers: {}, now: NOW };
  const claims = { aud: URL_OF_ITEM, exp: NOW + 60, jti: "proof-0001", wth: formatTokenDigest(WIT) };
  const proofOf = (changes: object = {}, header: object = {}) =>
    issueJws({ header: { typ: "wpt+jwt", ...header }, payload: { ...claims, ...changes }, signer });
  const verify = (text: string, changes: Partial<typeof asked> & { headers?: Record<string, string> } = {}) =>
    codeOf(() => verifyWorkloadProof(text, publicKey, { ...asked, ...changes }));

  it("WPT-1 is by the key of the WIT-SVID, by ES256, and of its own type", () => {
    expect(verify(proofOf())).toBe("none");
    expect(
      verify(issueWorkloadProof({ url: URL_OF_ITEM, wit: WIT, jti: "proof-0001", now: NOW, signer })),
    ).toBe("none");
    const other = newSigner().publicKey;
    expect(codeOf(() => verifyWorkloadProof(proofOf(), other, asked))).toBe("wpt_invalid");
    expect(verify(proofOf({}, { typ: "JWT" }))).toBe("wpt_invalid");
    expect(verify(proofOf({}, { typ: "dpop+jwt" }))).toBe("wpt_invalid");
    const [, payload, signature] = proofOf().split(".");
    const none = Buffer.from('{"alg":"none","typ":"wpt+jwt"}').toString("base64url");
    expect(verify([none, payload, signature].join("."))).toBe("wpt_invalid");
  });

  it("WPT-2 is for the target of its request, without the query", () => {
    expect(verify(proofOf(), { urls: ["https://alias.test/shop/items", URL_OF_ITEM] })).toBe("none");
    expect(verify(proofOf(), { urls: [`${URL_OF_ITEM}/1`] })).toBe("wpt_invalid");
    expect(verify(proofOf({ aud: `${URL_OF_ITEM}?a=1` }))).toBe("wpt_invalid");
    expect(verify(proofOf({ aud: [URL_OF_ITEM] }))).toBe("wpt_invalid");
    expect(verify(proofOf({ aud: undefined }))).toBe("wpt_invalid");
  });

  it("WPT-3 is for the WIT-SVID that it comes with", () => {
    expect(verify(proofOf(), { wit: `${WIT}A` })).toBe("wpt_invalid");
    expect(verify(proofOf({ wth: undefined }))).toBe("wpt_invalid");
  });

  it("WPT-4 ends, and soon", () => {
    expect(verify(proofOf(), { now: NOW + 59 })).toBe("none");
    expect(verify(proofOf(), { now: NOW + 60 })).toBe("wpt_invalid");
    expect(verify(proofOf(), { now: NOW - 10 })).toBe("none");
    expect(verify(proofOf(), { now: NOW - 11 })).toBe("wpt_invalid");
    for (const exp of [undefined, "soon", -1, 1.5]) expect(verify(proofOf({ exp }))).toBe("wpt_invalid");
  });

  it("WPT-5 has a name of its own", () => {
    for (const jti of [undefined, "short", 12_345_678, "with space in it", "x".repeat(129)]) {
      expect(verify(proofOf({ jti }))).toBe("wpt_invalid");
    }
    expect(verify(proofOf({ jti: "12345678" }))).toBe("none");
  });

  it("WPT-6 covers a transaction token, and every other token that it names", () => {
    const headers = { "txn-token": "t.x.n", "x-user": " u " };
    const tth = formatTokenDigest("t.x.n");
    const oth = { "x-user": formatTokenDigest("u") };
    expect(verify(proofOf({ tth, oth }), { headers })).toBe("none");
    expect(verify(proofOf({ oth }), { headers })).toBe("wpt_invalid");
    expect(verify(proofOf({ tth }))).toBe("wpt_invalid");
    expect(verify(proofOf({ tth: formatTokenDigest("other") }), { headers })).toBe("wpt_invalid");
    expect(verify(proofOf({ oth }))).toBe("wpt_invalid");
    expect(verify(proofOf({ tth, oth: { "x-user": formatTokenDigest("v") } }), { headers })).toBe(
      "wpt_invalid",
    );
    expect(verify(proofOf({ tth, oth: [] }), { headers })).toBe("wpt_invalid");
    // What every object has is no header.
    expect(verify(proofOf({ oth: { constructor: formatTokenDigest("u") } }))).toBe("wpt_invalid");
  });

  it("may say more than we know", () => {
    expect(verify(proofOf({ "example.com/more": 1 }))).toBe("none");
  });

  it("crashes on no text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(codeOf(() => parseWorkloadProof(text, publicKey))).toBe("wpt_invalid");
      }),
    );
  });
});

describe("a message signature beside a WIT-SVID", () => {
  const headers = { authorization: "WPT p", "workload-identity-token": WIT };
  const message = { method: "GET", url: URL_OF_ITEM, headers, body: new Uint8Array() };
  const signed = () => ({
    ...message,
    headers: { ...headers, ...issueMessageSignature(message, { signer, now: NOW, nonce: "n-1" }) },
  });
  const options = { publicKey, now: NOW };

  it("WPT-7 covers the token and tells its nonce", () => {
    expect(verifyMessageSignature(signed(), options).nonce).toBe("n-1");
    const swapped = { ...signed().headers, "workload-identity-token": "another" };
    expect(codeOf(() => verifyMessageSignature({ ...message, headers: swapped }, options))).toBe(
      "message_signature_invalid",
    );
    const { "signature-input": input = "" } = issueMessageSignature(message, {
      signer,
      now: NOW,
      nonce: "n-1",
    });
    const uncovered = {
      ...signed().headers,
      "signature-input": input.replace(' "workload-identity-token"', ""),
    };
    expect(uncovered["signature-input"]).not.toBe(input);
    expect(codeOf(() => verifyMessageSignature({ ...message, headers: uncovered }, options))).toBe(
      "message_signature_invalid",
    );
  });
});

describe("a client attestation", () => {
  const asked = { audience: "https://acme.test/oauth", clientId: "spiffe://acme.test/a/inst-1", now: NOW };
  const proof = issueClientAttestation(asked, { jti: "proof-0001", signer });
  const withClaims = (changes: object, typ = "oauth-client-attestation-pop+jwt") =>
    issueJws({
      header: { typ },
      payload: { aud: asked.audience, iat: NOW, jti: "proof-0001", ...changes },
      signer,
    });
  const verify = (text: string, changes: Partial<typeof asked> = {}) =>
    codeOf(() => verifyClientAttestation(text, publicKey, { ...asked, ...changes }));

  it("CAT-1 is by the key of the WIT-SVID, for this issuer and this client", () => {
    expect(verify(proof)).toBe("none");
    expect(verify(withClaims({}))).toBe("none");
    expect(codeOf(() => verifyClientAttestation(proof, newSigner().publicKey, asked))).toBe(
      "client_attestation_invalid",
    );
    expect(verify(proof, { audience: "https://acme.test" })).toBe("client_attestation_invalid");
    expect(verify(proof, { clientId: "spiffe://acme.test/a/inst-2" })).toBe("client_attestation_invalid");
    expect(verify(withClaims({ aud: [asked.audience] }))).toBe("client_attestation_invalid");
    expect(verify(withClaims({}, "wpt+jwt"))).toBe("client_attestation_invalid");
  });

  it("CAT-2 is a minute old at most, and has a name", () => {
    expect(verify(proof, { now: NOW + 60 })).toBe("none");
    expect(verify(proof, { now: NOW + 61 })).toBe("client_attestation_invalid");
    expect(verify(proof, { now: NOW - 10 })).toBe("none");
    expect(verify(proof, { now: NOW - 11 })).toBe("client_attestation_invalid");
    expect(verify(withClaims({ exp: NOW + 1 }))).toBe("none");
    for (const wrong of [{ exp: NOW }, { iat: undefined }, { jti: undefined }, { jti: "short" }]) {
      expect(verify(withClaims(wrong))).toBe("client_attestation_invalid");
    }
  });
});

describe("the audit of a presented WIT-SVID", () => {
  const spiffeId = "spiffe://acme.test/a/inst-1";
  const proof = (jti: string, by = signer) =>
    issueWorkloadProof({ url: URL_OF_ITEM, wit: WIT, jti, now: NOW, signer: by });
  const intent = (changes: Partial<PresentedIntent> = {}): PresentedIntent => ({
    v: 1,
    event_id: "017f22e2-79b0-7000-8000-000000000000",
    agent: { id: "agt_1", spiffe_id: spiffeId },
    action: "read:items",
    resource: "shop://items",
    aud: "spiffe://acme.test/trustwarden/server/01J",
    token: { jti: "01K0", jkt },
    wit_key: formatP256Jwk(publicKey),
    proof: proof("proof-0001"),
    signature: { base_sha256: "A".repeat(43), value: "A".repeat(86) },
    time: formatTime(NOW * 1000),
    ...changes,
  });
  const issued = (kind: ControlRecord["kind"], subject = spiffeId, details = {}): ControlRecord => ({
    v: 1,
    event_id: "017f22e2-79b0-7000-8000-000000000001",
    kind,
    allow: true,
    reasons: [],
    principal: spiffeId,
    subject,
    chain: [],
    intent_sha256: null,
    epoch: 0,
    from: { peer: "127.0.0.1" },
    details: { jti: "01K0", confirmation_thumbprint: jkt, expires_at: NOW + 300, ...details },
    time: formatTime(NOW * 1000),
  });
  const faultOf = (event: ControlRecord, presented = intent()) => {
    const auditor = new PresentedAuditor();
    auditor.learn(event);
    return auditor.findFault(presented);
  };

  it("WPT-8 finds nothing in an honest one, and every way to forge it", () => {
    expect(faultOf(issued("wit"))).toBeNull();
    expect(faultOf(issued("wit", "spiffe://acme.test/b/inst-2"))).toBe("its token was issued to another");
    expect(faultOf(issued("wit", spiffeId, { jti: "01K1" }))).toBe("its token was never issued");
    expect(faultOf(issued("wit", spiffeId, { expires_at: NOW }))).toBe("its token had expired");
    expect(faultOf(issued("wit", spiffeId, { confirmation_thumbprint: "A".repeat(43) }))).toBe(
      "its token is bound to another key",
    );
    const token = { change: "issue", client_id: spiffeId, cnf: { jkt } };
    expect(faultOf(issued("token", spiffeId, token))).toBe("its proof is for another kind of token");
    const auditor = new PresentedAuditor();
    auditor.learn(issued("wit"));
    expect(auditor.findFault(intent())).toBeNull();
    expect(auditor.findFault(intent())).toBe("its proof was used before");
  });

  it("proves the possession again: the key, its thumbprint, the time", () => {
    expect(codeOf(() => requirePossession(intent()))).toBe("none");
    expect(codeOf(() => requirePossession(intent({ proof: proof("proof-0002", newSigner()) })))).toBe(
      "wpt_invalid",
    );
    expect(codeOf(() => requirePossession(intent({ token: { jti: "01K0", jkt: "A".repeat(43) } })))).toBe(
      "wpt_invalid",
    );
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW + 90) * 1000) })))).toBe("none");
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW + 91) * 1000) })))).toBe(
      "wpt_invalid",
    );
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW - 30) * 1000) })))).toBe("none");
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW - 31) * 1000) })))).toBe(
      "wpt_invalid",
    );
  });

  it("demands the message signature of every call, also of a read", () => {
    const auditor = new PresentedAuditor();
    const decision = { allow: true, class: "C" } as DecisionRecord; // the two members that are looked at
    expect(auditor.isUnsigned(intent(), decision)).toBe(false);
    expect(auditor.isUnsigned(intent({ signature: null }), decision)).toBe(true);
  });

  it("reads the record as it was signed, and no other key", () => {
    const honest = intent();
    const record = JSON.parse(JSON.stringify(honest));
    expect(parsePresentedIntent(record)).toEqual(honest);
    const bent = { ...record, wit_key: { ...record.wit_key, d: "A".repeat(43) } };
    expect(codeOf(() => parsePresentedIntent(bent))).toBe("record_malformed");
  });
});
