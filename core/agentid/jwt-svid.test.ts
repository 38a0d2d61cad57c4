import { createHmac, sign } from "node:crypto";
import fc from "fast-check";
import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { encodeSpki } from "../crypto.ts";
import type { Signer } from "../signer.ts";
import { createTestDomain, NOW } from "./certificate.test.support.ts";
import { issueJwtSvid, verifyJwtSvid } from "./jwt-svid.ts";
import { parseSpiffeId } from "./spiffe-id.ts";
import { formatJwks } from "./trust-bundle.ts";

const domain = createTestDomain();
const other = createTestDomain("other.test");
const id = parseSpiffeId("spiffe://acme.test/team/pay/inst-1");
const audience = "https://bank.test";
const code = (name: string) => expect.objectContaining({ code: name });
const malformed = code("svid_malformed");
const options = { bundles: domain.bundles, audience, now: NOW };
const verify = (token: string, now = NOW) => verifyJwtSvid(token, { ...options, now });
const base = {
  id,
  audience,
  issuer: "https://acme.test",
  kid: domain.jwtKid,
  jti: "jti-1",
  now: NOW,
  ttlSeconds: 300,
  signer: domain.signers.jwt,
};
const header = { alg: "ES256", kid: domain.jwtKid, typ: "JWT" };
const claims = { sub: id, aud: audience, iss: "https://acme.test", jti: "jti-1", iat: NOW, exp: NOW + 300 };

/** A token with any header and payload, signed by the domain's key unless told otherwise. Texts are taken as JSON. */
function tokenOf(head: object | string, body: object | string, signer: Signer = domain.signers.jwt): string {
  const parts = [head, body].map((part) =>
    encodeBase64url(encodeUtf8(typeof part === "string" ? part : JSON.stringify(part))),
  );
  return [...parts, encodeBase64url(signer.sign(encodeUtf8(parts.join("."))))].join(".");
}
const withHeader = (change: object) => tokenOf({ ...header, ...change }, claims);
const withClaims = (change: object) => tokenOf(header, { ...claims, ...change });
const withoutClaim = (name: keyof typeof claims) =>
  tokenOf(header, Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name)));

describe("issueJwtSvid", () => {
  it("J-4, J-6, J-7, J-8 and J-14 always say kid, sub, one aud, exp, iat, jti and iss", () => {
    const svid = verify(issueJwtSvid({ ...base, claims: { "https://acme.test/owner": "own_1" } }));
    expect(svid).toMatchObject({
      id,
      kid: domain.jwtKid,
      audience: [audience],
      issuedAt: NOW,
      expiresAt: NOW + 300,
      jti: "jti-1",
      issuer: "https://acme.test",
    });
    expect(svid.claims["https://acme.test/owner"]).toBe("own_1");
    expect(svid.claims.aud).toBe(audience);
  });

  it("J-2 writes no header but alg, kid and typ", () => {
    const [head = ""] = issueJwtSvid(base).split(".");
    expect(JSON.parse(Buffer.from(head, "base64url").toString())).toEqual(header);
  });

  it("J-15 lives for one second at least and one hour at most", () => {
    for (const ttlSeconds of [1, 3600]) verify(issueJwtSvid({ ...base, ttlSeconds }));
    for (const ttlSeconds of [0, -1, 3601, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => issueJwtSvid({ ...base, ttlSeconds }), `${ttlSeconds}`).toThrow(code("ttl_malformed"));
    }
  });

  it("J-11 never lets a private claim stand in for a registered one", () => {
    for (const name of ["sub", "aud", "exp", "nbf", "iat", "jti", "iss"]) {
      expect(() => issueJwtSvid({ ...base, claims: { [name]: "x" } }), name).toThrow("registered");
    }
  });

  it("refuses to issue for the trust domain itself, and with a broken signer", () => {
    expect(() => issueJwtSvid({ ...base, id: parseSpiffeId("spiffe://acme.test") })).toThrow(malformed);
    const broken = { ...domain.signers.jwt, sign: () => new Uint8Array(64) };
    expect(() => issueJwtSvid({ ...base, signer: broken })).toThrow("broken");
  });

  it("A-12 is accepted by jose with our plain JWK Set", async () => {
    const keys = createLocalJWKSet(JSON.parse(formatJwks(domain.bundle)));
    const { payload } = await jwtVerify(issueJwtSvid(base), keys, {
      audience,
      issuer: "https://acme.test",
      algorithms: ["ES256"],
      currentDate: new Date(NOW * 1000),
    });
    expect(payload.sub).toBe(id);
  });
});

describe("verifyJwtSvid", () => {
  it("accepts the forger's base case, so that each refusal below is for the one thing changed", () => {
    expect(verify(tokenOf(header, claims)).id).toBe(id);
  });

  it("J-1 refuses the JSON serialization and anything without three parts", () => {
    const [head = "", body = "", signature = ""] = tokenOf(header, claims).split(".");
    const general = JSON.stringify({ payload: body, signatures: [{ protected: head, signature }] });
    const flat = JSON.stringify({ payload: body, protected: head, signature });
    const texts = [
      general,
      flat,
      "",
      ".",
      "..",
      "...",
      head,
      `${head}.${body}`,
      `${head}.${body}.`,
      `.${body}.${signature}`,
    ];
    for (const text of [
      ...texts,
      `${head}..${signature}`,
      `${head}.${body}.${signature}.x`,
      `${head}.${body}.${signature}..`,
    ]) {
      expect(() => verify(text), text.slice(0, 30)).toThrow(malformed);
    }
  });

  it("J-2 and D3 refuse every other header: jwk, jku, x5u, x5c, crit, b64, cty", () => {
    for (const extra of [
      { jwk: { kty: "EC" } },
      { jku: "https://evil.test" },
      { x5u: "https://evil.test" },
      { x5c: ["AA=="] },
      { crit: ["exp"] },
      { crit: [] },
      { b64: false },
      { b64: false, crit: ["b64"] },
      { cty: "JWT" },
      { zip: "DEF" },
      { x: 1 },
    ]) {
      expect(() => verify(withHeader(extra)), JSON.stringify(extra)).toThrow(malformed);
    }
  });

  it("J-3 and D3 refuse every algorithm but ES256, whatever signed the token", () => {
    for (const alg of [
      "none",
      "None",
      "NONE",
      "HS256",
      "RS256",
      "ES384",
      "PS256",
      "EdDSA",
      "es256",
      "",
      " ES256",
      null,
      1,
      ["ES256"],
    ]) {
      expect(() => verify(withHeader({ alg })), `${alg}`).toThrow(malformed);
    }
    expect(() => verify(tokenOf({ kid: domain.jwtKid }, claims))).toThrow(malformed);
  });

  it("D3 refuses an HMAC made with the public key, and no signature at all", () => {
    const parts = [{ ...header, alg: "HS256" }, claims].map((part) =>
      encodeBase64url(encodeUtf8(JSON.stringify(part))),
    );
    const secret = encodeSpki(domain.signers.jwt.publicKey);
    const mac = createHmac("sha256", secret).update(parts.join(".")).digest();
    expect(() => verify([...parts, mac.toString("base64url")].join("."))).toThrow(malformed);
    const es256 = [header, claims].map((part) => encodeBase64url(encodeUtf8(JSON.stringify(part))));
    const wrong = createHmac("sha256", secret).update(es256.join(".")).digest();
    expect(() => verify([...es256, wrong.toString("base64url")].join("."))).toThrow(code("svid_untrusted"));
    expect(() => verify(`${es256.join(".")}.`)).toThrow(malformed);
  });

  it("D3 refuses a key identifier that is a path, a query or no text", () => {
    for (const kid of ["../../dev/null", "x' OR '1'='1", "__proto__", "constructor"]) {
      expect(() => verify(withHeader({ kid })), kid).toThrow(code("svid_untrusted"));
    }
    for (const kid of [1, null, "", ["a"], "k".repeat(257)]) {
      expect(() => verify(withHeader({ kid })), JSON.stringify(kid)).toThrow(malformed);
    }
  });

  it("J-4 accepts a token without kid by trying each key, and refuses it when none fits", () => {
    const anonymous = { alg: "ES256" };
    expect(verify(tokenOf(anonymous, claims)).kid).toBeUndefined();
    expect(() => verify(tokenOf(anonymous, claims, createTestSigner()))).toThrow(code("svid_untrusted"));
  });

  it("J-5 and D3 accept typ JWT and JOSE and refuse the rest", () => {
    for (const typ of ["JWT", "JOSE"]) verify(withHeader({ typ }));
    for (const typ of ["jwt", "wit+jwt", "at+jwt", "", 1, null])
      expect(() => verify(withHeader({ typ })), `${typ}`).toThrow(malformed);
  });

  it("J-6 and J-9 refuse a sub that is not a workload's SPIFFE ID", () => {
    for (const sub of [
      "spiffe://acme.test",
      "https://acme.test/a",
      "spiffe://ACME.test/a",
      "own_1",
      "",
      1,
      null,
      [id],
    ]) {
      expect(() => verify(withClaims({ sub })), `${sub}`).toThrow(malformed);
    }
    expect(() => verify(withoutClaim("sub"))).toThrow(malformed);
  });

  it("A-11 says all the audiences that were asked for, each of which may read it, and nobody else", () => {
    const token = issueJwtSvid({ ...base, audience: [audience, "https://second.test"] });
    expect(verify(token).audience).toEqual([audience, "https://second.test"]);
    const asReader = (name: string) => verifyJwtSvid(token, { ...options, audience: name });
    expect(asReader("https://second.test").id).toBe(id);
    expect(() => asReader("https://third.test")).toThrow(code("svid_audience"));
  });

  it("J-7 accepts a text or a list with us in it", () => {
    expect(verify(withClaims({ aud: [audience] })).audience).toEqual([audience]);
    expect(verify(withClaims({ aud: ["https://a.test", audience] })).audience).toHaveLength(2);
  });

  it("J-9 and D4 refuse no audience, another's, a longer or shorter one, and ill-typed ones", () => {
    for (const aud of [
      "https://evil.test",
      `${audience}/`,
      "https://bank",
      audience.toUpperCase(),
      ["https://evil.test"],
    ]) {
      expect(() => verify(withClaims({ aud })), `${aud}`).toThrow(code("svid_audience"));
    }
    for (const aud of [[], "", [""], 1, null, [audience, 1], { a: audience }, Array(17).fill(audience)]) {
      expect(() => verify(withClaims({ aud })), JSON.stringify(aud)).toThrow(malformed);
    }
    expect(() => verify(withoutClaim("aud"))).toThrow(malformed);
  });

  it("J-8 expires to the second, without leeway", () => {
    const token = withClaims({ exp: NOW + 10 });
    verify(token, NOW + 9);
    for (const now of [NOW + 10, NOW + 1000, Number.NaN])
      expect(() => verify(token, now)).toThrow(code("svid_expired"));
  });

  it("D4 refuses no exp, and exp, nbf and iat that are not whole seconds", () => {
    expect(() => verify(withoutClaim("exp"))).toThrow(malformed);
    for (const name of ["exp", "nbf", "iat"]) {
      for (const value of [
        `"${NOW + 300}"`,
        `${NOW}.5`,
        "1e400",
        "-1",
        "null",
        "true",
        "[1]",
        "9007199254740993",
      ]) {
        const body = JSON.stringify({ ...claims, [name]: "@" }).replace('"@"', value);
        expect(() => verify(tokenOf(header, body)), `${name} ${value}`).toThrow(malformed);
      }
    }
  });

  it("J-9 and D4 refuse nbf and iat in the future, beyond ten seconds of skew", () => {
    for (const name of ["nbf", "iat"]) {
      verify(withClaims({ [name]: NOW + 10 }));
      expect(() => verify(withClaims({ [name]: NOW + 11 })), name).toThrow(code("svid_not_yet_valid"));
    }
  });

  it("refuses a lifetime of more than one hour, also without iat", () => {
    verify(withClaims({ exp: NOW + 3600 }));
    expect(() => verify(withClaims({ exp: NOW + 3601 }))).toThrow(code("svid_too_long_lived"));
    verify(withoutClaim("iat"));
    const body = { sub: id, aud: audience, exp: NOW + 3601 };
    expect(() => verify(tokenOf(header, body))).toThrow(code("svid_too_long_lived"));
  });

  it("D4 refuses iss and jti that are not texts", () => {
    for (const name of ["iss", "jti"]) {
      for (const value of [["https://acme.test"], 1, null, {}]) {
        expect(() => verify(withClaims({ [name]: value })), name).toThrow(malformed);
      }
    }
  });

  it("D4 refuses repeated claims and repeated headers", () => {
    const twice = JSON.stringify(claims).replace("{", `{"sub":"spiffe://acme.test/admin",`);
    expect(() => verify(tokenOf(header, twice))).toThrow(malformed);
    expect(() => verify(tokenOf(`{"alg":"none",${JSON.stringify(header).slice(1)}`, claims))).toThrow(
      malformed,
    );
    const escaped = JSON.stringify(claims).replace("{", `{"s\\u0075b":"spiffe://acme.test/admin",`);
    expect(() => verify(tokenOf(header, escaped))).toThrow(malformed);
  });

  it("D5 refuses padding, white space and changed spare bits: no second spelling of the same bytes", () => {
    const token = tokenOf(header, claims);
    const parts = token.split(".");
    const spellings = [
      `${token}=`,
      `${token} `,
      ` ${token}`,
      `${token}\n`,
      `${token}==`,
      token.replace(".", ".\n"),
    ];
    for (const [index, part] of parts.entries()) {
      for (const suffix of ["=", "\n", " ", "+", "/", "\0"]) {
        spellings.push(parts.map((text, at) => (at === index ? text + suffix : text)).join("."));
      }
      spellings.push(
        parts.map((text, at) => (at === index ? `${part.slice(0, 5)}\n${part.slice(5)}` : text)).join("."),
      );
    }
    // 64 bytes leave four spare bits in the last character; any other value of them decodes to the same bytes.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const last = alphabet.indexOf(token.at(-1) ?? "");
    for (let spare = 1; spare < 16; spare += 1) spellings.push(token.slice(0, -1) + alphabet[last | spare]);
    expect(spellings.length).toBeGreaterThan(30);
    for (const text of spellings)
      expect(() => verify(text), JSON.stringify(text.slice(-12))).toThrow(malformed);
  });

  it("D5 gives a token with its signature's other form the same jti, so that revocation finds it", () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const token = tokenOf(header, claims);
    const [head = "", body = "", signature = ""] = token.split(".");
    const bytes = Buffer.from(signature, "base64url");
    const s = order - BigInt(`0x${bytes.subarray(32).toString("hex")}`);
    const flipped = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, "0"), "hex"),
    ]);
    const twin = `${head}.${body}.${flipped.toString("base64url")}`;
    expect(twin).not.toBe(token);
    expect(verify(twin)).toEqual(verify(token));
  });

  it("J-9 refuses another key's signature and every altered part", () => {
    const token = tokenOf(header, claims);
    expect(() => verify(tokenOf(header, claims, createTestSigner()))).toThrow(code("svid_untrusted"));
    const [head = "", body = "", signature = ""] = token.split(".");
    const admin = encodeBase64url(encodeUtf8(JSON.stringify({ ...claims, sub: "spiffe://acme.test/admin" })));
    expect(() => verify(`${head}.${admin}.${signature}`)).toThrow(code("svid_untrusted"));
    const der = sign("sha256", encodeUtf8(`${head}.${body}`), createTestSigner().privateKey);
    expect(() => verify(`${head}.${body}.${der.toString("base64url")}`)).toThrow(code("svid_untrusted"));
    for (const length of [63, 65]) {
      const cut = encodeBase64url(
        Buffer.concat([Buffer.from(signature, "base64url"), Buffer.alloc(1)]).subarray(0, length),
      );
      expect(() => verify(`${head}.${body}.${cut}`)).toThrow(code("svid_untrusted"));
    }
  });

  it("J-10 proves a token against the bundle of its subject's trust domain only", () => {
    const foreign = parseSpiffeId("spiffe://other.test/a");
    const theirs = issueJwtSvid({ ...base, id: foreign, kid: other.jwtKid, signer: other.signers.jwt });
    expect(() => verify(theirs)).toThrow(code("trust_domain_unknown"));
    const both = { ...options, bundles: new Map([...domain.bundles, ...other.bundles]) };
    expect(verifyJwtSvid(theirs, both).id).toBe(foreign);
    // Their key signs an id of ours, and the reverse.
    expect(() =>
      verifyJwtSvid(tokenOf({ ...header, kid: other.jwtKid }, claims, other.signers.jwt), both),
    ).toThrow(code("svid_untrusted"));
    expect(() => verifyJwtSvid(withClaims({ sub: foreign }), both)).toThrow(code("svid_untrusted"));
  });

  it("refuses a JWE around a token, and a token above 8 KiB", () => {
    const jwe = `${tokenOf({ alg: "ECDH-ES", enc: "A256GCM" }, claims)}.a.b`;
    expect(() => verify(jwe)).toThrow(malformed);
    const filler = (chars: number) => withClaims({ x: "a".repeat(chars) });
    verify(filler(5000));
    expect(() => verify(filler(6200))).toThrow(malformed);
  });

  it("never throws anything but a 401 code, whatever the text", () => {
    const part = fc.oneof(
      fc.base64String({ maxLength: 40 }),
      fc.string({ maxLength: 20 }),
      fc.json().map((json) => encodeBase64url(encodeUtf8(json))),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        expect(() => verify(parts.join("."))).toThrow(expect.objectContaining({ status: 401 }));
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("sub", "aud", "exp", "iat", "nbf", "jti", "iss"), fc.jsonValue()),
        (change) => {
          try {
            verify(withClaims(change));
          } catch (error) {
            expect(error).toEqual(expect.objectContaining({ status: 401 }));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
