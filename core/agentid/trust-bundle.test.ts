import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeBase64 } from "../bytes.ts";
import { formatP256Jwk } from "../crypto.ts";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import {
  digestOfAuthorities,
  findBundle,
  formatJwks,
  formatTrustBundle,
  parseTrustBundle,
  type TrustBundle,
} from "./trust-bundle.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const next = createTestDomain();
const { trustDomain, bundle } = domain;
const code = (name: string) => expect.objectContaining({ code: name });
const malformed = code("bundle_malformed");
const x509Key = {
  ...formatP256Jwk(domain.root.publicKey),
  use: "x509-svid",
  x5c: [encodeBase64(domain.root.der)],
};
const jwtKey = { ...formatP256Jwk(domain.signers.jwt.publicKey), use: "jwt-svid", kid: domain.jwtKid };
const parse = (document: object | string) =>
  parseTrustBundle(typeof document === "string" ? document : JSON.stringify(document), trustDomain);
const sizes = ({ x509Authorities, jwtAuthorities }: TrustBundle) => [
  x509Authorities.length,
  jwtAuthorities.size,
];

describe("parseTrustBundle", () => {
  it("gives back what formatTrustBundle wrote", () => {
    const again = parse(formatTrustBundle(bundle));
    expect(again.sequence).toBe(1);
    expect(again.refreshHintSeconds).toBe(300);
    expect(again.trustDomain).toBe(trustDomain);
    expect(formatTrustBundle(again)).toBe(formatTrustBundle(bundle));
    expect(digestOfAuthorities(again)).toBe(digestOfAuthorities(bundle));
  });

  it("B-1 requires keys, which may be empty: then nothing is trusted", () => {
    expect(sizes(parse({ keys: [] }))).toEqual([0, 0]);
    for (const document of [{}, { keys: null }, { keys: {} }, { keys: "x" }])
      expect(() => parse(document)).toThrow(malformed);
    for (const text of ["", "[]", "null", "{", '{"keys":[],"keys":[]}']) {
      expect(() => parse(text), text).toThrow(expect.objectContaining({ status: 400 }));
    }
    const leaf = issueTestLeaf(domain);
    const empty = new Map([[trustDomain, parse({ keys: [] })]]);
    expect(() => verifyX509Svid([leaf.der, domain.intermediate.der], empty, NOW)).toThrow(
      code("svid_untrusted"),
    );
  });

  it("B-2 reads a sequence that JavaScript holds exactly and refuses any other", () => {
    expect(parse({ keys: [] }).sequence).toBe(0);
    expect(parse({ keys: [], spiffe_sequence: Number.MAX_SAFE_INTEGER }).sequence).toBe(
      Number.MAX_SAFE_INTEGER,
    );
    for (const value of ["9007199254740993", "-1", "1.5", '"1"', "null"]) {
      expect(() => parse(`{"keys":[],"spiffe_sequence":${value}}`), value).toThrow(malformed);
    }
    const notANumber = expect.objectContaining({ code: "json_malformed" });
    expect(() => parse('{"keys":[],"spiffe_sequence":1e400}')).toThrow(notANumber);
  });

  it("B-3 reads a refresh hint in whole seconds, five minutes by default", () => {
    expect(parse({ keys: [] }).refreshHintSeconds).toBe(300);
    expect(parse({ keys: [], spiffe_refresh_hint: 60 }).refreshHintSeconds).toBe(60);
    for (const value of [1.5, -1, "60"])
      expect(() => parse({ keys: [], spiffe_refresh_hint: value })).toThrow(malformed);
  });

  it("B-4 ignores unknown kinds and uses, case-sensitively, and keeps the rest", () => {
    const strange = [
      { ...jwtKey, kty: "RSA" },
      { ...jwtKey, kty: "ec" },
      { ...jwtKey, kty: undefined },
      { ...jwtKey, crv: "P-384" },
      { ...jwtKey, use: "WIT-SVID" },
      { ...jwtKey, use: "JWT-SVID" },
      { ...jwtKey, use: "sig" },
      { ...jwtKey, use: undefined },
      { ...jwtKey, alg: "ES384" },
      { ...jwtKey, key_ops: ["encrypt"] },
      { kty: "oct", k: "AAAA", use: "jwt-svid", kid: "h" },
      "text",
      null,
      [],
    ];
    for (const jwk of strange)
      expect(sizes(parse({ keys: [jwk, x509Key, jwtKey] })), JSON.stringify(jwk)).toEqual([1, 1]);
  });

  it("B-5 and B-6 write no parameter of our own and require none", () => {
    expect(Object.keys(JSON.parse(formatTrustBundle(bundle))).sort()).toEqual([
      "keys",
      "spiffe_refresh_hint",
      "spiffe_sequence",
    ]);
    expect(
      sizes(
        parse({
          keys: [
            { ...x509Key, extra: 1 },
            { ...jwtKey, extra: 1 },
          ],
          extra: 1,
        }),
      ),
    ).toEqual([1, 1]);
  });

  it("B-7 keeps the bundle with its trust domain's name: another's is not found under it", () => {
    const other = createTestDomain("other.test");
    expect(findBundle(domain.bundles, trustDomain)).toBe(bundle);
    expect(() => findBundle(domain.bundles, other.trustDomain)).toThrow(code("trust_domain_unknown"));
    expect(() => findBundle(new Map([[trustDomain, other.bundle]]), trustDomain)).toThrow(
      code("trust_domain_unknown"),
    );
  });

  it("X-15 writes each root with its use, one certificate in standard base64, and no kid", () => {
    const { keys } = JSON.parse(formatTrustBundle(bundle));
    const [root] = keys.filter((jwk: { use: string }) => jwk.use === "x509-svid");
    expect(root).toEqual(x509Key);
    expect(Object.hasOwn(root, "kid")).toBe(false);
    expect(Buffer.from(root.x5c[0], "base64")).toEqual(Buffer.from(domain.root.der));
  });

  it("X-16 ignores an entry without x5c and uses only the first of several", () => {
    expect(sizes(parse({ keys: [{ ...x509Key, x5c: undefined }, jwtKey] }))).toEqual([0, 1]);
    const several = parse({ keys: [{ ...x509Key, x5c: [...x509Key.x5c, encodeBase64(next.root.der)] }] });
    expect(several.x509Authorities.map(({ sha256 }) => sha256)).toEqual([domain.root.sha256]);
  });

  it("refuses a certificate that is malformed, base64url, or of another key than its JWK", () => {
    const base64url = Buffer.from(domain.root.der).toString("base64url");
    for (const x5c of [
      [],
      [""],
      ["AAAA"],
      [base64url],
      [` ${x509Key.x5c[0]}`],
      "x",
      [1],
      [encodeBase64(next.root.der)],
    ]) {
      expect(() => parse({ keys: [{ ...x509Key, x5c }] }), JSON.stringify(x5c).slice(0, 30)).toThrow(
        malformed,
      );
    }
  });

  it("J-13 refuses a JWT key without kid, with a repeated one, or off the curve", () => {
    for (const kid of [undefined, "", 1, "k".repeat(257)])
      expect(() => parse({ keys: [{ ...jwtKey, kid }] })).toThrow(malformed);
    const second = { ...formatP256Jwk(createTestSigner().publicKey), use: "jwt-svid" };
    expect(() => parse({ keys: [jwtKey, { ...second, kid: jwtKey.kid }] })).toThrow(malformed);
    expect(sizes(parse({ keys: [jwtKey, { ...second, kid: "2" }] }))).toEqual([0, 2]);
    expect(() => parse({ keys: [{ ...jwtKey, x: jwtKey.y }] })).toThrow(malformed);
    expect(() => parse({ keys: [{ ...jwtKey, x: undefined }] })).toThrow(malformed);
  });

  it("refuses a document with a private key in it", () => {
    expect(() => parse({ keys: [{ ...jwtKey, d: "AAAA" }] })).toThrow(malformed);
  });

  it("accepts 64 keys and refuses 65", () => {
    parse({ keys: Array(64).fill(x509Key) });
    expect(() => parse({ keys: Array(65).fill(x509Key) })).toThrow(malformed);
  });

  it("never throws anything but a 4xx code, whatever the document", () => {
    const jwk = fc.record(
      {
        kty: fc.constantFrom("EC", "RSA"),
        crv: fc.constantFrom("P-256", "P-384"),
        use: fc.constantFrom("jwt-svid", "x509-svid", "x"),
        kid: fc.jsonValue(),
        x: fc.jsonValue(),
        y: fc.jsonValue(),
        x5c: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.array(jwk).map((keys) => JSON.stringify({ keys })),
        ),
        (text) => {
          try {
            parse(text);
          } catch (error) {
            expect([400, 413]).toContain((error as { status?: number }).status); // cast: only the status is looked at
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("formatJwks", () => {
  it("A-12 holds only the JWT keys, each with kid and without use", () => {
    const { use: _, ...plain } = jwtKey;
    expect(JSON.parse(formatJwks(bundle))).toEqual({ keys: [plain] });
  });
});

describe("revoked intermediates in a bundle", () => {
  it("survive the document, and are absent from one without any", () => {
    const revokedAuthorities = new Set(["b".repeat(40), "a".repeat(40)]);
    const text = formatTrustBundle({ ...bundle, revokedAuthorities });
    expect([...parse(text).revokedAuthorities]).toEqual(["a".repeat(40), "b".repeat(40)]);
    expect(formatTrustBundle(bundle)).not.toContain("trustwarden_revoked");
    expect(parse(formatTrustBundle(bundle)).revokedAuthorities.size).toBe(0);
  });

  it("refuse the whole document when one entry is odd, or when there are more than 64", () => {
    const many = (length: number) => Array.from({ length }, (_, index) => String(index).padStart(40, "0"));
    expect(parse({ keys: [], trustwarden_revoked: many(64) }).revokedAuthorities.size).toBe(64);
    for (const trustwarden_revoked of [many(65), "a", null, [1], ["A".repeat(40)], ["a".repeat(39)]])
      expect(() => parse({ keys: [], trustwarden_revoked })).toThrow(malformed);
  });
});

describe("digestOfAuthorities", () => {
  const both = { ...bundle, x509Authorities: [domain.root, next.root] };

  it("is the base64url SHA-256 over each sorted root behind its length in four bytes", () => {
    const hash = createHash("sha256");
    for (const der of [domain.root.der, next.root.der]
      .map((bytes) => Buffer.from(bytes))
      .sort(Buffer.compare)) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(der.length);
      hash.update(length).update(der);
    }
    expect(digestOfAuthorities(both)).toBe(hash.digest("base64url"));
  });

  it("does not depend on the order, the JWT keys or the sequence, and does on each root", () => {
    const digest = digestOfAuthorities(both);
    expect(digestOfAuthorities({ ...both, x509Authorities: [next.root, domain.root] })).toBe(digest);
    expect(digestOfAuthorities({ ...both, sequence: 9, jwtAuthorities: new Map() })).toBe(digest);
    expect(digestOfAuthorities(bundle)).not.toBe(digest);
    expect(digestOfAuthorities({ ...bundle, x509Authorities: [] })).not.toBe(digest);
  });
});
