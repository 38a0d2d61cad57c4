import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { formatP256Jwk, formatThumbprint } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { createTestDomain, NOW } from "./certificate.test.support.ts";
import { issueJwtSvid, verifyJwtSvid } from "./jwt-svid.ts";
import { parseSpiffeId } from "./spiffe-id.ts";
import { formatTrustBundle, formatWitJwks, parseTrustBundle } from "./trust-bundle.ts";
import { issueWitSvid, verifyWitSvid } from "./wit-svid.ts";

const domain = createTestDomain();
const other = createTestDomain("other.test");
const id = parseSpiffeId("spiffe://acme.test/team/pay/inst-1");
const holder = createTestSigner();
const code = (name: string) => expect.objectContaining({ code: name });
const malformed = code("svid_malformed");
const untrusted = code("svid_untrusted");
const verify = (token: string, now = NOW) => verifyWitSvid(token, { bundles: domain.bundles, now });
const base = {
  id,
  confirmationKey: holder.publicKey,
  kid: domain.witKid,
  jti: "jti-1",
  now: NOW,
  ttlSeconds: 300,
  signer: domain.signers.wit,
};
const header = { alg: "ES256", kid: domain.witKid, typ: "wit+jwt" };
const jwk = { ...formatP256Jwk(holder.publicKey), alg: "ES256" };
const claims = { sub: id, iss: "spiffe://acme.test", jti: "jti-1", iat: NOW, exp: NOW + 300, cnf: { jwk } };

/** A token with any header and payload, signed by the domain's WIT key unless told otherwise. */
function tokenOf(head: object, body: object | string, signer: Signer = domain.signers.wit): string {
  const parts = [head, body].map((part) =>
    encodeBase64url(encodeUtf8(typeof part === "string" ? part : JSON.stringify(part))),
  );
  return [...parts, encodeBase64url(signer.sign(encodeUtf8(parts.join("."))))].join(".");
}
const withHeader = (change: object) => tokenOf({ ...header, ...change }, claims);
const withClaims = (change: object) => tokenOf(header, { ...claims, ...change });
const without = (from: object, name: string) =>
  Object.fromEntries(Object.entries(from).filter(([key]) => key !== name));
const withJwk = (key: unknown) => withClaims({ cnf: { jwk: key } });

describe("issueWitSvid", () => {
  it("W-1 and W-2 always say alg, kid and typ wit+jwt, and sub, exp and the key in cnf.jwk with its alg", () => {
    const token = issueWitSvid(base);
    const [head = "", body = ""] = token.split(".");
    expect(JSON.parse(Buffer.from(head, "base64url").toString())).toEqual(header);
    expect(JSON.parse(Buffer.from(body, "base64url").toString())).toEqual(claims);
    expect(verify(token)).toMatchObject({
      id,
      kid: domain.witKid,
      expiresAt: NOW + 300,
      jti: "jti-1",
      issuer: "spiffe://acme.test",
      confirmationThumbprint: formatThumbprint(holder.publicKey),
    });
    expect(verify(token).confirmationKey.equals(holder.publicKey)).toBe(true);
  });

  it("W-3 never says aud, and no further claim stands in for a registered one", () => {
    expect(verify(issueWitSvid(base)).claims).not.toHaveProperty("aud");
    for (const name of ["sub", "aud", "exp", "nbf", "iat", "jti", "iss", "cnf"]) {
      expect(() => issueWitSvid({ ...base, claims: { [name]: "x" } }), name).toThrow("registered");
    }
    expect(verify(issueWitSvid({ ...base, claims: { status: {} } })).claims.status).toEqual({});
  });

  it("W-6 names as its issuer the trust domain, which is no place where OpenID Connect finds keys", () => {
    const { issuer = "" } = verify(issueWitSvid(base));
    expect(issuer).toBe("spiffe://acme.test");
    expect(issuer.startsWith("https:")).toBe(false);
  });

  it("lives for one second at least and one hour at most", () => {
    for (const ttlSeconds of [1, 3600]) verify(issueWitSvid({ ...base, ttlSeconds }));
    for (const ttlSeconds of [0, -1, 3601, 1.5, Number.NaN]) {
      expect(() => issueWitSvid({ ...base, ttlSeconds }), `${ttlSeconds}`).toThrow(code("ttl_malformed"));
    }
  });

  it("refuses to issue for the trust domain itself, and with a broken signer", () => {
    expect(() => issueWitSvid({ ...base, id: parseSpiffeId("spiffe://acme.test") })).toThrow(malformed);
    const broken = { ...domain.signers.wit, sign: () => new Uint8Array(64) };
    expect(() => issueWitSvid({ ...base, signer: broken })).toThrow("broken");
  });

  it("is accepted by jose with the plain JWK Set of the Workload API", async () => {
    const keys = createLocalJWKSet(JSON.parse(formatWitJwks(domain.bundle)));
    const options = { algorithms: ["ES256"], typ: "wit+jwt", currentDate: new Date(NOW * 1000) };
    expect((await jwtVerify(issueWitSvid(base), keys, options)).payload.sub).toBe(id);
  });
});

describe("verifyWitSvid", () => {
  it("accepts the forger's base case, so that each refusal below is for the one thing changed", () => {
    expect(verify(tokenOf(header, claims)).id).toBe(id);
  });

  it("W-1 refuses a token without kid, without typ, or of another typ", () => {
    for (const typ of [
      "JWT",
      "JOSE",
      "WIT+JWT",
      "wit",
      "application/wit+jwt",
      "wpt+jwt",
      "dpop+jwt",
      null,
      1,
    ]) {
      expect(() => verify(withHeader({ typ })), `${typ}`).toThrow(malformed);
    }
    for (const kid of ["", null, 1, "k".repeat(257)])
      expect(() => verify(withHeader({ kid })), `${kid}`).toThrow(malformed);
    for (const name of ["typ", "kid", "alg"]) {
      expect(() => verify(tokenOf(without(header, name), claims)), name).toThrow(malformed);
    }
  });

  it("W-1 refuses every algorithm that is not ours, and every further header", () => {
    for (const alg of ["none", "HS256", "EdDSA", "ES256K", "ES384", "RS256", "es256"]) {
      expect(() => verify(withHeader({ alg })), alg).toThrow(malformed);
    }
    for (const extra of [{ jwk }, { jku: "https://evil.test" }, { crit: [] }, { cty: "x" }, { x5c: [] }]) {
      expect(() => verify(withHeader(extra)), JSON.stringify(extra)).toThrow(malformed);
    }
  });

  it("W-2 refuses a token without sub, exp or cnf, and a sub without a path", () => {
    for (const name of ["sub", "exp", "cnf"]) {
      expect(() => verify(tokenOf(header, without(claims, name))), name).toThrow(malformed);
    }
    for (const sub of ["spiffe://acme.test", "https://acme.test/a", "", 1, null]) {
      expect(() => verify(withClaims({ sub })), `${sub}`).toThrow(malformed);
    }
    for (const exp of ["1", null, -1, 1.5, `${NOW + 300}`])
      expect(() => verify(withClaims({ exp })), `${exp}`).toThrow(malformed);
  });

  it("W-2 refuses a cnf.jwk without alg, of another alg or curve, off the curve, private, or none at all", () => {
    const [good, { d }] = [
      jwk,
      generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
    ];
    for (const key of [
      without(good, "alg"),
      { ...good, alg: "ES384" },
      { ...good, alg: "none" },
      { ...good, alg: "HS256" },
      { ...good, crv: "P-384" },
      { ...good, x: good.y },
      { ...good, kty: "oct", k: "AAAA" },
      { ...good, d },
      null,
      [],
      "key",
    ]) {
      expect(() => verify(withJwk(key)), JSON.stringify(key)).toThrow(malformed);
    }
    for (const cnf of [null, "x", [], {}, { jkt: "x" }, { "x5t#S256": "x" }])
      expect(() => verify(withClaims({ cnf })), JSON.stringify(cnf)).toThrow(malformed);
  });

  it("W-3 refuses any aud, also an empty one", () => {
    for (const aud of ["https://bank.test", "", [], ["a"], null, {}]) {
      expect(() => verify(withClaims({ aud })), JSON.stringify(aud)).toThrow(malformed);
    }
  });

  it("W-4 takes the same jti as often as it comes: it is no means against replay", () => {
    const token = issueWitSvid(base);
    expect([verify(token).jti, verify(token).jti]).toEqual(["jti-1", "jti-1"]);
    expect(verify(tokenOf(header, without(claims, "jti"))).jti).toBeUndefined();
  });

  it("W-5 refuses an nbf in the future, and does not look at iat", () => {
    expect(verify(withClaims({ nbf: NOW + 10 })).id).toBe(id);
    expect(() => verify(withClaims({ nbf: NOW + 11 }))).toThrow(code("svid_not_yet_valid"));
    expect(verify(withClaims({ iat: NOW + 250 })).id).toBe(id);
    expect(verify(tokenOf(header, without(claims, "iat"))).id).toBe(id);
  });

  it("refuses a token at its end, and one that would live for more than an hour", () => {
    expect(verify(tokenOf(header, claims), NOW + 299).id).toBe(id);
    expect(() => verify(tokenOf(header, claims), NOW + 300)).toThrow(code("svid_expired"));
    expect(() => verify(tokenOf(header, claims), Number.NaN)).toThrow(code("svid_expired"));
    expect(verify(withClaims({ exp: NOW + 3600 })).id).toBe(id);
    expect(() => verify(withClaims({ exp: NOW + 3601 }))).toThrow(code("svid_too_long_lived"));
  });

  it("refuses a signature of another key, and a key of the other kind", () => {
    expect(() => verify(tokenOf(header, claims, holder))).toThrow(untrusted);
    expect(() => verify(tokenOf(header, claims, domain.signers.jwt))).toThrow(untrusted);
    const asJwt = tokenOf({ ...header, kid: domain.jwtKid }, claims, domain.signers.jwt);
    expect(() => verify(asJwt)).toThrow(untrusted);
    expect(() => verify(withHeader({ kid: "unknown" }))).toThrow(untrusted);
  });

  it("believes a trust domain for its own names only", () => {
    const foreign = parseSpiffeId("spiffe://other.test/team/pay/inst-1");
    expect(() => verify(withClaims({ sub: foreign }))).toThrow(code("trust_domain_unknown"));
    const bundles = new Map([...domain.bundles, ...other.bundles]);
    const token = withClaims({ sub: foreign });
    expect(() => verifyWitSvid(token, { bundles, now: NOW })).toThrow(untrusted);
  });

  it("W-7 is no JWT-SVID, and a JWT-SVID is no WIT-SVID, whoever signed it", () => {
    const jwtOptions = { bundles: domain.bundles, audience: "https://bank.test", now: NOW };
    expect(() => verifyJwtSvid(issueWitSvid(base), jwtOptions)).toThrow(malformed);
    const bearer = issueJwtSvid({
      ...{ id, audience: "https://bank.test", issuer: "https://acme.test", kid: domain.witKid, jti: "j" },
      ...{ now: NOW, ttlSeconds: 300, signer: domain.signers.wit },
    });
    expect(() => verify(bearer)).toThrow(malformed);
  });

  it("never crashes on any text, and never believes one", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          verify(text);
          return false;
        } catch (error) {
          return error instanceof TrustWardenError;
        }
      }),
    );
    const [head = "", body = "", signature = ""] = issueWitSvid(base).split(".");
    const flipped = (text: string, index: number) =>
      `${text.slice(0, index)}${text[index] === "A" ? "B" : "A"}${text.slice(index + 1)}`;
    fc.assert(
      fc.property(fc.nat(body.length - 1), (index) => {
        const changed = `${head}.${flipped(body, index)}.${signature}`;
        expect(() => verify(changed)).toThrow(TrustWardenError);
      }),
    );
  });
});

describe("WIT keys in the bundle", () => {
  it("W-8 have use wit-svid and a kid, and come back as they went", () => {
    const document = JSON.parse(formatTrustBundle(domain.bundle));
    const wit = document.keys.filter(({ use }: { use: string }) => use === "wit-svid");
    expect(wit).toEqual([
      { ...formatP256Jwk(domain.signers.wit.publicKey), kid: domain.witKid, use: "wit-svid" },
    ]);
    const parsed = parseTrustBundle(formatTrustBundle(domain.bundle), domain.trustDomain);
    expect([...parsed.witAuthorities.keys()]).toEqual([domain.witKid]);
    expect([...parsed.jwtAuthorities.keys()]).toEqual([domain.jwtKid]);
  });

  it("W-8 refuses a kid that a JWT key has too, in either order", () => {
    const { keys, ...rest } = JSON.parse(formatTrustBundle(domain.bundle));
    const sameKid = keys.map((key: { use: string }) =>
      key.use === "x509-svid" ? key : { ...key, kid: "one" },
    );
    for (const list of [sameKid, sameKid.toReversed()]) {
      const text = JSON.stringify({ ...rest, keys: list });
      expect(() => parseTrustBundle(text, domain.trustDomain)).toThrow(code("bundle_malformed"));
    }
  });
});
