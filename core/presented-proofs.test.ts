/** Proofs that OAuth clients present: DPoP, message signatures, and the record that is made of them. */
import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AccessToken, issueAccessToken, verifyAccessToken } from "./access-token.ts";
import { PresentedAuditor } from "./agentledger/audit-presented.ts";
import { encodeUtf8 } from "./bytes.ts";
import { formatThumbprint } from "./crypto.ts";
import { issueDpopProof, parseDpopProof, verifyDpopProof } from "./dpop.ts";
import { type ErrorCode, TrustWardenError } from "./error.ts";
import { type ControlRecord, formatTime } from "./event.ts";
import { formatSignatureBase, issueMessageSignature, verifyMessageSignature } from "./http-signature.ts";
import { type PresentedIntent, requirePossession } from "./presented-intent.ts";
import { parseScope } from "./scope.ts";
import type { Signer } from "./signer.ts";

const NOW = 1_800_000_000;
const URL_OF_ITEM = "https://gateway.test:7445/shop/items";

function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
  return { algorithm: "ES256", publicKey, sign: (data) => sign("sha256", data, key) };
}
const signer = newSigner();
const jkt = formatThumbprint(signer.publicKey);

function codeOf(run: () => unknown): ErrorCode | "none" {
  try {
    run();
    return "none";
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

describe("a DPoP proof", () => {
  const made = { method: "GET", url: URL_OF_ITEM, jti: "proof-0001", now: NOW, signer, nonce: "n" };
  const asked = { method: "GET", urls: [URL_OF_ITEM], accessToken: "t", now: NOW };

  it("is believed for a minute, for the request and the token that it names", () => {
    const proof = issueDpopProof({ ...made, accessToken: "t" });
    expect(verifyDpopProof(proof, asked)).toMatchObject({ jti: "proof-0001", nonce: "n", thumbprint: jkt });
    expect(codeOf(() => verifyDpopProof(proof, { ...asked, now: NOW + 60 }))).toBe("none");
    for (const other of [
      { method: "POST" },
      { urls: [`${URL_OF_ITEM}/1`] },
      { accessToken: "u" },
      { accessToken: null },
      { now: NOW + 61 },
      { now: NOW - 11 },
    ]) {
      expect(codeOf(() => verifyDpopProof(proof, { ...asked, ...other }))).toBe("dpop_invalid");
    }
  });

  it("crashes on no text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(codeOf(() => parseDpopProof(text))).toBe("dpop_invalid");
      }),
    );
  });
});

describe("an access token", () => {
  const token: AccessToken = {
    issuer: "https://acme.test/oauth",
    subject: "spiffe://acme.test/a/inst-1",
    actors: ["spiffe://acme.test/b/inst-2", "spiffe://acme.test/c/inst-3"],
    clientId: "spiffe://acme.test/b/inst-2",
    audience: "https://api.test",
    scope: parseScope(["read:items"]),
    jti: "01K0",
    issuedAt: NOW,
    expiresAt: NOW + 300,
    confirmation: { kind: "jkt", digest: jkt },
    status: { uri: "https://acme.test/v1/status-list/0", index: 7 },
  };
  const expected = {
    keyOf: (kid: string) => (kid === "k1" ? signer.publicKey : undefined),
    issuer: token.issuer,
    now: NOW,
  };

  it("says what it was issued with, until it ends", () => {
    const text = issueAccessToken(token, { kid: "k1", signer });
    expect(verifyAccessToken(text, expected)).toEqual(token);
    expect(codeOf(() => verifyAccessToken(text, { ...expected, now: NOW + 299 }))).toBe("none");
    expect(codeOf(() => verifyAccessToken(text, { ...expected, now: NOW + 300 }))).toBe(
      "access_token_expired",
    );
  });

  it("is refused by another issuer's server, under another key, and a second too long", () => {
    const text = issueAccessToken(token, { kid: "k1", signer });
    expect(codeOf(() => verifyAccessToken(text, { ...expected, issuer: "https://b.test" }))).toBe(
      "access_token_invalid",
    );
    const strange = issueAccessToken(token, { kid: "k1", signer: newSigner() });
    expect(codeOf(() => verifyAccessToken(strange, expected))).toBe("access_token_invalid");
    const long = { ...token, expiresAt: NOW + 301 };
    expect(codeOf(() => issueAccessToken(long, { kid: "k1", signer }))).toBe("access_token_invalid");
  });
});

describe("a message signature", () => {
  const message = {
    method: "POST",
    url: `${URL_OF_ITEM}?x=1`,
    headers: { authorization: "DPoP t" },
    body: encodeUtf8('{"n":1}'),
  };
  const options = { publicKey: signer.publicKey, now: NOW };
  const signed = (changes: Partial<typeof message> = {}) => {
    const made: typeof message & { readonly headers: Record<string, string> } = { ...message, ...changes };
    const added = issueMessageSignature(made, { signer, now: NOW, nonce: "n-1" });
    return { ...made, headers: { ...made.headers, ...added } };
  };

  it("covers method, target, credential and body, for a minute", () => {
    const sent = signed();
    expect(codeOf(() => verifyMessageSignature(sent, options))).toBe("none");
    expect(codeOf(() => verifyMessageSignature(sent, { ...options, now: NOW + 60 }))).toBe("none");
    const bent = [
      { ...sent, method: "PUT" },
      { ...sent, url: `${URL_OF_ITEM}?x=2` },
      { ...sent, body: encodeUtf8('{"n":2}') },
      { ...sent, headers: { ...sent.headers, authorization: "DPoP u" } },
    ];
    for (const other of bent) {
      expect(codeOf(() => verifyMessageSignature(other, options))).toBe("message_signature_invalid");
    }
    for (const now of [NOW + 61, NOW - 11]) {
      expect(codeOf(() => verifyMessageSignature(sent, { ...options, now }))).toBe(
        "message_signature_invalid",
      );
    }
    const { publicKey } = newSigner();
    expect(codeOf(() => verifyMessageSignature(sent, { publicKey, now: NOW }))).toBe(
      "message_signature_invalid",
    );
    expect(codeOf(() => verifyMessageSignature(message, options))).toBe("message_signature_missing");
  });

  it("is refused when it leaves out what matters, or says what nobody knows", () => {
    const sent = signed();
    const input = sent.headers["signature-input"] ?? "";
    for (const other of [
      input.replace(' "content-digest"', ""),
      input.replace('"@method" ', ""),
      input.replace(' "authorization"', ""),
      input.replace('"@method"', '"@method" "@method"'),
      input.replace('"@method"', '"x-other"'),
      input.replace(";alg", ";unknown=1;alg"),
      input.replace("ecdsa-p256-sha256", "hmac-sha256"),
      input.replace(`;created=${NOW}`, ""),
      `${input}, other=("@method")`,
    ]) {
      expect(other).not.toBe(input);
      const headers = { ...sent.headers, "signature-input": other };
      expect(codeOf(() => verifyMessageSignature({ ...sent, headers }, options))).toBe(
        "message_signature_invalid",
      );
    }
  });

  it("is over the base of RFC 9421 §2.5", () => {
    const base = formatSignatureBase(
      ["@method", "authorization"],
      '("@method" "authorization");created=1',
      (name) => (name === "@method" ? "GET" : "DPoP t"),
    );
    expect(base).toBe(
      '"@method": GET\n"authorization": DPoP t\n"@signature-params": ("@method" "authorization");created=1',
    );
  });
});

describe("the audit of what was presented", () => {
  const proof = (jti: string) =>
    issueDpopProof({ method: "GET", url: URL_OF_ITEM, jti, now: NOW, signer, accessToken: "t" });
  const intent = (changes: Partial<PresentedIntent> = {}): PresentedIntent => ({
    v: 1,
    event_id: "017f22e2-79b0-7000-8000-000000000000",
    agent: { id: "agt_1", spiffe_id: "spiffe://acme.test/a/inst-1" },
    action: "read:items",
    resource: "shop://items",
    aud: "spiffe://acme.test/trustwarden/server/01J",
    token: { jti: "01K0", jkt },
    proof: proof("proof-0001"),
    signature: null,
    time: formatTime(NOW * 1000),
    ...changes,
  });
  const event = (details: ControlRecord["details"], at = NOW): ControlRecord => ({
    v: 1,
    event_id: "017f22e2-79b0-7000-8000-000000000001",
    kind: "token",
    allow: true,
    reasons: [],
    principal: "spiffe://acme.test/a/inst-1",
    subject: null,
    chain: [],
    intent_sha256: null,
    epoch: 0,
    from: { peer: "127.0.0.1" },
    details,
    time: formatTime(at * 1000),
  });
  const issued = (changes: ControlRecord["details"] = {}) =>
    event({
      change: "issue",
      jti: "01K0",
      client_id: "spiffe://acme.test/a/inst-1",
      cnf: { jkt },
      expires_at: NOW + 300,
      ...changes,
    });
  const faultOf = (control: ControlRecord | null, presented = intent()) => {
    const auditor = new PresentedAuditor();
    if (control !== null) auditor.learn(control);
    return auditor.findFault(presented);
  };

  it("finds nothing in an honest one, and every way to forge it", () => {
    expect(faultOf(issued())).toBeNull();
    expect(faultOf(null)).toBe("its token was never issued");
    expect(faultOf(issued({ client_id: "spiffe://acme.test/b/inst-2" }))).toBe(
      "its token was issued to another",
    );
    expect(faultOf(issued({ cnf: { jkt: "A".repeat(43) } }))).toBe("its token is bound to another key");
    expect(faultOf(issued({ expires_at: NOW }))).toBe("its token had expired");
    const auditor = new PresentedAuditor();
    auditor.learn(issued());
    expect(auditor.findFault(intent())).toBeNull();
    expect(auditor.findFault(intent())).toBe("its proof was used before");
    auditor.learn(event({ change: "revoke", jti: "01K0" }, NOW - 5));
    expect(auditor.findFault(intent({ proof: proof("proof-0002") }))).toBe("its token was revoked");
  });

  it("proves the possession again: the key, a token, the time", () => {
    expect(codeOf(() => requirePossession(intent()))).toBe("none");
    expect(codeOf(() => requirePossession(intent({ token: { jti: "01K0", jkt: "A".repeat(43) } })))).toBe(
      "dpop_invalid",
    );
    const unshown = issueDpopProof({ method: "GET", url: URL_OF_ITEM, jti: "proof-0003", now: NOW, signer });
    expect(codeOf(() => requirePossession(intent({ proof: unshown })))).toBe("dpop_invalid");
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW + 91) * 1000) })))).toBe(
      "dpop_invalid",
    );
    expect(codeOf(() => requirePossession(intent({ time: formatTime((NOW + 90) * 1000) })))).toBe("none");
  });
});
