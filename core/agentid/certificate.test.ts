import { generateKeyPairSync, X509Certificate } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeUtf8 } from "../bytes.ts";
import { encodeSpki } from "../crypto.ts";
import {
  createTestDomain,
  ES256_ALGORITHM,
  type Forgery,
  forge,
  issueTestLeaf,
  leafExtensions,
  NOW,
  nameOf,
  nested,
  purposes,
  uriNames,
} from "./certificate.test.support.ts";
import { isSignedBy, parseCertificate } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import {
  encodeElement,
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOfOne,
  encodeTrue,
} from "./der-writer.ts";

const refused = expect.objectContaining({ code: "svid_malformed" });
const otherKind = expect.objectContaining({ code: "svid_key_refused" });
const domain = createTestDomain();
const signer = createTestSigner();
const good = leafExtensions(["spiffe://acme.test/a"]);
const forged = (change: Partial<Forgery>) => forge({ signer, extensions: Object.values(good), ...change });
const withExtension = (name: keyof typeof good, value: Uint8Array) =>
  forged({ extensions: Object.values({ ...good, [name]: { ...good[name], value } }) });
const False = Uint8Array.of(1, 1, 0);

describe("parseCertificate", () => {
  it("reads what node:crypto reads", () => {
    const { der, id, signer: key } = issueTestLeaf(domain);
    const ours = parseCertificate(der);
    const theirs = new X509Certificate(der);
    expect(ours.serialHex).toBe(theirs.serialNumber.toLowerCase());
    expect(ours.notBefore).toBe(theirs.validFromDate.getTime() / 1000);
    expect(ours.notAfter).toBe(theirs.validToDate.getTime() / 1000);
    expect(theirs.subjectAltName).toBe(`URI:${id}`);
    expect(ours.uris).toEqual([id]);
    expect(ours.publicKey.equals(key.publicKey)).toBe(true);
    expect(ours.spki).toEqual(new Uint8Array(encodeSpki(key.publicKey)));
    expect(ours.sha256).toBe(
      Buffer.from(theirs.fingerprint256.replaceAll(":", ""), "hex").toString("base64url"),
    );
    expect(ours.isCa).toBe(theirs.ca);
    expect(isSignedBy(ours, domain.intermediate)).toBe(true);
    expect(isSignedBy(ours, domain.root)).toBe(false);
    expect(domain.root.isCa).toBe(true);
    expect(domain.root.pathLen).toBe(1);
    expect(domain.intermediate.pathLen).toBe(0);
  });

  it("does not change when the caller's buffer does", () => {
    const buffer = issueTestLeaf(domain).der.slice();
    const certificate = parseCertificate(buffer);
    const before = certificate.tbs.slice();
    buffer.fill(0);
    expect(certificate.tbs).toEqual(before);
  });

  it("accepts the forger's base case, so that each refusal below is for the one thing changed", () => {
    expect(parseCertificate(forged({})).uris).toEqual(["spiffe://acme.test/a"]);
  });

  it("refuses other versions, algorithms, serials and validities", () => {
    const sha384 = encodeSequence(encodeOid("1.2.840.10045.4.3.3"));
    const unknown = encodeSequence(encodeOid("1.2.840.10045.4.3.1"));
    const withNull = encodeSequence(encodeOid(OID.ecdsaWithSha256), Uint8Array.of(5, 0));
    const changes: readonly Partial<Forgery>[] = [
      { version: encodeExplicit(0, encodeInteger(Uint8Array.of(1))) },
      { version: encodeInteger(Uint8Array.of(2)) },
      { algorithm: withNull },
      { algorithm: unknown },
      { serial: encodeInteger(Uint8Array.of(0)) },
      { serial: Uint8Array.of(2, 1, 0xff) },
      { serial: encodeInteger(new Uint8Array(21).fill(0x7f)) },
      { notBefore: NOW + 1, notAfter: NOW },
      { trailer: [encodeImplicit(1, Uint8Array.of(0, 1))] },
      { issuer: encodeSequence(encodeSetOfOne(encodeSequence())) },
      { subject: encodeSequence(encodeElement(0x31)) },
      { subject: encodeOctetString(encodeUtf8("name")) },
    ];
    for (const [index, change] of changes.entries()) {
      expect(() => parseCertificate(forged(change)), `change ${index}`).toThrow(refused);
    }
    for (const change of [
      { algorithm: sha384 },
      { algorithm: sha384, outerAlgorithm: ES256_ALGORITHM },
      { outerAlgorithm: sha384 },
    ]) {
      expect(() => parseCertificate(forged(change))).toThrow(otherKind);
    }
    expect(
      parseCertificate(forged({ serial: encodeInteger(new Uint8Array(20).fill(0x7f)) })).serialHex,
    ).toHaveLength(40);
  });

  it("B8 refuses weak keys, other kinds of keys, and points off the curve", () => {
    const spkiOf = (key: { export(options: { type: "spki"; format: "der" }): Buffer }) =>
      new Uint8Array(key.export({ type: "spki", format: "der" }));
    const offCurve = new Uint8Array(encodeSpki(signer.publicKey));
    offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
    const others = [
      spkiOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey),
      spkiOf(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey),
      spkiOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey),
      spkiOf(generateKeyPairSync("ed25519").publicKey),
    ];
    for (const [index, spki] of others.entries()) {
      expect(() => parseCertificate(forged({ spki })), `other ${index}`).toThrow(otherKind);
    }
    const keys = [
      spkiOf(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey),
      offCurve,
      encodeSequence(),
    ];
    for (const [index, spki] of keys.entries()) {
      expect(() => parseCertificate(forged({ spki })), `key ${index}`).toThrow(refused);
    }
  });

  it("X-12 refuses an unknown critical extension and ignores an uncritical one", () => {
    const unknown = { oid: "1.2.3.4", value: encodeOctetString(new Uint8Array(3)) };
    expect(() =>
      parseCertificate(forged({ extensions: [...Object.values(good), { ...unknown, critical: true }] })),
    ).toThrow(refused);
    parseCertificate(forged({ extensions: [...Object.values(good), unknown] }));
  });

  it("X-12 refuses name constraints, which are critical and not supported", () => {
    const constraints = { oid: "2.5.29.30", critical: true, value: encodeSequence() };
    expect(() => parseCertificate(forged({ extensions: [...Object.values(good), constraints] }))).toThrow(
      refused,
    );
  });

  it("refuses a repeated extension and a default written out", () => {
    expect(() => parseCertificate(forged({ extensions: [...Object.values(good), good.keyUsage] }))).toThrow(
      refused,
    );
    expect(() => parseCertificate(withExtension("basicConstraints", encodeSequence(False)))).toThrow(refused);
  });

  it("B14 refuses an empty extended key usage", () => {
    expect(() => parseCertificate(withExtension("extKeyUsage", purposes()))).toThrow(refused);
  });

  it("refuses malformed contents of each extension it reads", () => {
    const bad: readonly (readonly [keyof typeof good, Uint8Array])[] = [
      ["basicConstraints", encodeSequence(encodeInteger(Uint8Array.of(0)))],
      ["basicConstraints", encodeSequence(encodeTrue(), encodeInteger(Uint8Array.of(0xff)))],
      ["basicConstraints", encodeSequence(encodeTrue(), encodeTrue(), encodeTrue())],
      ["keyUsage", Uint8Array.of(3, 2, 7, 0)],
      ["keyUsage", encodeSequence(encodeNamedBits(0))],
      ["subjectAltName", uriNames([])],
      ["subjectAltName", encodeSequence(encodeElement(0x89, Uint8Array.of(1)))],
      ["subjectAltName", encodeSequence(encodeImplicit(2, encodeUtf8("a\0.test")))],
      ["subjectAltName", uriNames(["spiffe://acme.test/a\0.evil.test"])],
      ["subjectAltName", uriNames(["spiffe://acme.test/é"])],
      ["subjectAltName", uriNames(["spiffe://acme.test/a b"])],
    ];
    for (const [index, [name, value]] of bad.entries()) {
      expect(() => parseCertificate(withExtension(name, value)), `${name} ${index}`).toThrow(refused);
    }
  });

  it("B14 refuses ten thousand nested elements, wherever they are put", () => {
    const deep = nested(4000);
    expect(() => parseCertificate(nested(10_000))).toThrow(refused);
    expect(() => parseCertificate(deep)).toThrow(refused);
    expect(() => parseCertificate(withExtension("subjectAltName", deep))).toThrow(refused);
    expect(() => parseCertificate(forged({ subject: deep }))).toThrow(refused);
    expect(() => parseCertificate(forged({ spki: deep }))).toThrow(refused);
  });

  it("refuses every truncation and trailing bytes", () => {
    const { der } = issueTestLeaf(domain);
    for (let length = 0; length < der.length; length += 1) {
      expect(() => parseCertificate(der.subarray(0, length)), `${length}`).toThrow(refused);
    }
    expect(() => parseCertificate(Uint8Array.from([...der, 0]))).toThrow(refused);
  });

  it("never throws anything but its two codes, whatever bytes are changed", () => {
    const { der } = issueTestLeaf(domain);
    const change = fc.record({ at: fc.nat(der.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const altered = der.slice();
        for (const { at, to } of changes) altered[at] = to;
        try {
          parseCertificate(altered);
        } catch (error) {
          expect(["svid_malformed", "svid_key_refused"]).toContain(Object(error).code);
        }
      }),
      { numRuns: 1500 },
    );
  });

  it("keeps names as bytes, so that a common name means nothing", () => {
    const certificate = parseCertificate(forged({ subject: nameOf("spiffe://acme.test/admin") }));
    expect(certificate.uris).toEqual(["spiffe://acme.test/a"]);
  });
});
