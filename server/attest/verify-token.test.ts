import fc from "fast-check";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AUDIENCE, forgeToken, NOW, startIssuer, type TestIssuer, TestKey } from "./issuer.test.support.ts";
import { createDiscoveredKeys, createInlineKeys, createPublishedKeys } from "./key-source.ts";
import { createSafeFetch } from "./safe-fetch.ts";
import { type TokenRules, verifyToken } from "./verify-token.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const REFUSED = code("attestation_refused");
const MALFORMED = code("attestation_malformed");
const EXPIRED = code("attestation_expired");
const UNAVAILABLE = code("attestation_unavailable");

const rsa = new TestKey("rsa-1");
const ec = new TestKey("ec-1", "ES256");
const stranger = new TestKey("rsa-1");
const ISSUER = "https://issuer.test";
const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: "workload", iat: NOW - 10, exp: NOW + 600 };

const rules: TokenRules = {
  issuer: ISSUER,
  audience: AUDIENCE,
  algorithms: ["RS256", "ES256"],
  maxTokenSeconds: 3600,
  keys: createInlineKeys({ keys: [rsa.jwk, ec.jwk] }),
};
const verify = (token: string, changed: Partial<TokenRules> = {}, now = NOW) =>
  verifyToken(token, { ...rules, ...changed }, now);

describe("a platform's token", () => {
  it("is proven when the named key signed it, by RSA and by ECDSA", async () => {
    expect((await verify(rsa.token(CLAIMS))).claims.sub).toBe("workload");
    expect((await verify(ec.token({ ...CLAIMS, aud: [AUDIENCE] }))).expiresAt).toBe(NOW + 600);
  });

  it("is proven as an independent library makes it", async () => {
    const token = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: "ES256", kid: "ec-1" })
      .sign(ec.privateKey);
    expect((await verify(token)).claims).toEqual(CLAIMS);
  });

  it("has one digest, whichever form its ECDSA signature has", async () => {
    const [first, second] = [ec.token(CLAIMS), ec.token(CLAIMS)];
    expect(first).not.toBe(second);
    expect((await verify(first)).digest).toBe((await verify(second)).digest);
  });

  it("is refused with another key, and with any part of another token (D3)", async () => {
    await expect(verify(stranger.token(CLAIMS))).rejects.toEqual(REFUSED);
    const [header, payload, signature] = rsa.token(CLAIMS).split(".");
    const other = rsa.token({ ...CLAIMS, sub: "other" }).split(".");
    await expect(verify([header, other[1], signature].join("."))).rejects.toEqual(REFUSED);
    await expect(verify([header, payload, other[2]].join("."))).rejects.toEqual(REFUSED);
  });

  it("never chooses its algorithm (D3)", async () => {
    const none = (alg: string) => forgeToken({ alg, kid: "rsa-1" }, CLAIMS, () => Buffer.from("x"));
    for (const alg of ["none", "None", "NONE", "HS256", "rs256", "RS256 ", "RS384", "EdDSA", ""]) {
      await expect(verify(none(alg)), alg).rejects.toEqual(REFUSED);
    }
    for (const token of rsa.confusedToken(CLAIMS)) await expect(verify(token)).rejects.toEqual(REFUSED);
    await expect(verify(ec.token(CLAIMS), { algorithms: ["RS256"] })).rejects.toEqual(REFUSED);
    // A key of one family under the other's algorithm.
    await expect(verify(rsa.token(CLAIMS, { kid: "ec-1" }))).rejects.toEqual(REFUSED);
    await expect(verify(ec.token(CLAIMS, { kid: "rsa-1" }))).rejects.toEqual(REFUSED);
  });

  it("brings no key, and no header that changes what is signed (D3)", async () => {
    const headers = [
      { jwk: stranger.jwk },
      { jku: "https://evil.test/keys" },
      { x5u: "https://evil.test/cert" },
      { x5c: ["AAAA"] },
      { crit: ["exp"] },
      { crit: ["b64"], b64: false },
      { zip: "DEF" },
      { cty: "JWT" },
      { typ: "JOSE+JSON" },
      { typ: 1 },
      { kid: 1 },
      { kid: "" },
      { kid: "k".repeat(513) },
      { alg: ["RS256"] },
    ];
    for (const header of headers) {
      await expect(verify(rsa.token(CLAIMS, header)), JSON.stringify(header)).rejects.toEqual(MALFORMED);
    }
    for (const kid of ["../../etc/passwd", "rsa-1' OR 1=1--", "RSA-1", "rsa-1\0"]) {
      await expect(verify(rsa.token(CLAIMS, { kid })), kid).rejects.toEqual(REFUSED);
    }
  });

  it("has one spelling (D5)", async () => {
    const token = rsa.token(CLAIMS);
    const [header = "", payload = "", signature = ""] = token.split(".");
    const spellings = [
      `${token}=`,
      `${token} `,
      `\n${token}`,
      `${token}.`,
      `${header}=.${payload}.${signature}`,
      `${header}.${payload}..${signature}`,
      token.replaceAll("-", "+"),
      `Bearer ${token}`,
      JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
      "",
      "..",
      "a.b.c",
      `${"a".repeat(16_385)}.b.c`,
    ].filter((spelling) => spelling !== token);
    for (const spelling of spellings) {
      await expect(verify(spelling), spelling.slice(0, 40)).rejects.toEqual(MALFORMED);
    }
  });

  it("says each claim once", async () => {
    const twice = `{"iss":"${ISSUER}","aud":"${AUDIENCE}","sub":"a","sub":"b","iat":${NOW},"exp":${NOW + 60}}`;
    await expect(verify(rsa.token(twice))).rejects.toEqual(MALFORMED);
    for (const claims of ["[]", "null", '"x"', "{", "\u{feff}{}"]) {
      await expect(verify(rsa.token(claims)), claims).rejects.toEqual(MALFORMED);
    }
  });

  it("is for us and for nobody else beside us (D4)", async () => {
    for (const aud of [
      undefined,
      "",
      "spiffe://other.test",
      [],
      [AUDIENCE, "other"],
      [[AUDIENCE]],
      { 0: AUDIENCE },
      1,
    ]) {
      await expect(verify(rsa.token({ ...CLAIMS, aud })), JSON.stringify(aud)).rejects.toEqual(REFUSED);
    }
  });

  it("is from the configured issuer, byte for byte (D4)", async () => {
    for (const iss of [undefined, "https://evil.test", `${ISSUER}/`, ISSUER.toUpperCase(), [ISSUER], null]) {
      await expect(verify(rsa.token({ ...CLAIMS, iss })), JSON.stringify(iss)).rejects.toEqual(
        code("attestation_untrusted_issuer"),
      );
    }
  });

  it("ends at exp to the second, and may start ten seconds ahead", async () => {
    const at = (claims: object, now = NOW) => verify(rsa.token({ ...CLAIMS, ...claims }), {}, now);
    await expect(at({}, NOW + 599)).resolves.toBeDefined();
    await expect(at({}, NOW + 600)).rejects.toEqual(EXPIRED);
    await expect(at({}, Number.NaN)).rejects.toEqual(EXPIRED);
    await expect(at({ iat: NOW + 10 })).resolves.toBeDefined();
    await expect(at({ iat: NOW + 11 })).rejects.toEqual(EXPIRED);
    await expect(at({ nbf: NOW + 11 })).rejects.toEqual(EXPIRED);
    await expect(at({ iat: NOW - 10, exp: NOW + 3590 })).resolves.toBeDefined();
    await expect(at({ iat: NOW - 10, exp: NOW + 3591 })).rejects.toEqual(EXPIRED);
  });

  it("has times that are whole seconds (D4)", async () => {
    for (const claims of [
      { exp: undefined },
      { iat: undefined },
      { exp: "9" },
      { exp: 1.5 },
      { nbf: "0" },
      { iat: -1 },
    ]) {
      await expect(verify(rsa.token({ ...CLAIMS, ...claims })), JSON.stringify(claims)).rejects.toEqual(
        MALFORMED,
      );
    }
    const huge = JSON.stringify(CLAIMS).replace(String(NOW + 600), "1e400");
    await expect(verify(rsa.token(huge))).rejects.toEqual(MALFORMED);
  });

  it("is read or refused, whatever the text", async () => {
    const anyToken = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .tuple(fc.json(), fc.json(), fc.base64String())
        .map((parts) => parts.map((part) => Buffer.from(part).toString("base64url")).join(".")),
    );
    await fc.assert(
      fc.asyncProperty(anyToken, async (token) => {
        await expect(verify(token)).rejects.toMatchObject({ code: expect.stringMatching(/^attestation_/) });
      }),
    );
  });
});

describe("the keys of an issuer", () => {
  const only = (jwk: object) => createInlineKeys({ keys: [{ ...jwk }] });

  it("need a name in the token only when there are several", async () => {
    const unnamed = rsa.token(CLAIMS, { kid: undefined });
    await expect(verify(unnamed)).rejects.toEqual(REFUSED);
    await expect(verify(unnamed, { keys: only(rsa.jwk) })).resolves.toBeDefined();
    await expect(verify(rsa.token(CLAIMS), { keys: only(rsa.bareJwk) })).resolves.toBeDefined();
    const ambiguous = createInlineKeys({ keys: [rsa.jwk, stranger.jwk] });
    await expect(verify(rsa.token(CLAIMS), { keys: ambiguous })).rejects.toEqual(REFUSED);
  });

  it("are left out when they are weak, huge, private, symmetric, for encryption or of an odd exponent", async () => {
    const weak = new TestKey("rsa-1", "RS256", 1024);
    await expect(verify(weak.token(CLAIMS), { keys: only(weak.jwk) })).rejects.toEqual(REFUSED);
    const huge = { ...rsa.jwk, n: Buffer.alloc(2048, 0xff).toString("base64url") };
    const others = [
      huge,
      { ...rsa.jwk, use: "enc" },
      { ...rsa.jwk, e: "Aw" },
      { ...rsa.jwk, d: "AQ" },
      { ...rsa.jwk, n: `${rsa.jwk.n}=` },
      { ...rsa.jwk, kty: "oct", k: "AAAA" },
      { ...rsa.jwk, kid: "" },
      { ...rsa.jwk, alg: "PS256" },
    ];
    for (const jwk of others) {
      await expect(
        verify(rsa.token(CLAIMS), { keys: only(jwk) }),
        JSON.stringify(jwk).slice(0, 60),
      ).rejects.toEqual(REFUSED);
    }
  });

  it("are a JWK Set of at most 100 keys", () => {
    expect(() => createInlineKeys({ keys: Array.from({ length: 101 }, () => rsa.jwk) })).toThrow(UNAVAILABLE);
    expect(() => createInlineKeys({})).toThrow(UNAVAILABLE);
  });
});

describe("published keys", () => {
  let issuer: TestIssuer;
  beforeAll(async () => {
    issuer = await startIssuer([rsa]);
  });
  afterAll(() => issuer.close());

  const allow = () => createSafeFetch([{ url: issuer.url, allowPrivate: true }]);
  const published = () => createPublishedKeys(`${issuer.url}/keys`, allow());

  it("are found by discovery, on the issuer's own origin only", async () => {
    const url = `${issuer.url}/.well-known/openid-configuration`;
    const keys = createDiscoveredKeys({ url, issuer: issuer.url }, allow());
    const token = rsa.token({ ...CLAIMS, iss: issuer.url });
    await expect(verify(token, { issuer: issuer.url, keys })).resolves.toBeDefined();
    const impostor = createDiscoveredKeys({ url, issuer: ISSUER }, allow());
    await expect(verify(rsa.token(CLAIMS), { keys: impostor })).rejects.toEqual(UNAVAILABLE);
  });

  it("are kept for ten minutes", async () => {
    const keys = published();
    const before = issuer.requests.length;
    await verify(rsa.token(CLAIMS), { keys });
    await verify(rsa.token(CLAIMS), { keys }, NOW + 599);
    expect(issuer.requests.length - before).toBe(1);
    await keys.find("rsa-1", NOW + 600);
    expect(issuer.requests.length - before).toBe(2);
  });

  it("are asked for again when a token names an unknown one, but not more than twice a minute", async () => {
    const keys = published();
    const before = issuer.requests.length;
    await keys.find("rsa-1", NOW);
    for (let second = 0; second < 30; second += 1) {
      await expect(keys.find(`made-up-${second}`, NOW + second)).rejects.toEqual(REFUSED);
    }
    expect(issuer.requests.length - before).toBe(1);
    issuer.keys = [rsa, ec];
    await expect(keys.find("ec-1", NOW + 30)).resolves.toMatchObject({ kid: "ec-1" });
    expect(issuer.requests.length - before).toBe(2);
    issuer.keys = [rsa];
  });

  it("serve for an hour when the issuer is away, and then no longer; a withdrawn key is gone when it is back", async () => {
    const keys = published();
    await keys.find("rsa-1", NOW);
    issuer.isDown = true;
    await expect(keys.find("rsa-1", NOW + 3599)).resolves.toMatchObject({ kid: "rsa-1" });
    await expect(keys.find("rsa-1", NOW + 3600)).rejects.toEqual(UNAVAILABLE);
    issuer.isDown = false;
    issuer.keys = [ec];
    await expect(keys.find("rsa-1", NOW + 3700)).rejects.toEqual(REFUSED);
    issuer.keys = [rsa];
  });

  it("are not young because a clock went back", async () => {
    const keys = published();
    await keys.find("rsa-1", NOW);
    issuer.isDown = true;
    await expect(keys.find("rsa-1", NOW - 1)).rejects.toEqual(UNAVAILABLE);
    issuer.isDown = false;
  });

  it("are asked for once by many at a time", async () => {
    const keys = published();
    const before = issuer.requests.length;
    await Promise.all(Array.from({ length: 50 }, () => keys.find("rsa-1", NOW)));
    expect(issuer.requests.length - before).toBe(1);
  });
});
