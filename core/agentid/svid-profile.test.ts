import "./reflect.test.support.ts";
import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  X509Certificate as PeculiarCertificate,
  X509ChainBuilder,
} from "@peculiar/x509";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeSpki } from "../crypto.ts";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import { formatSpiffeId, parseSpiffeId, parseTrustDomain } from "./spiffe-id.ts";
import {
  createSerial,
  draftIntermediate,
  draftRoot,
  issueIntermediate,
  issueLeafCertificate,
  issueRoot,
  parseCaCertificate,
} from "./svid-profile.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const other = createTestDomain("other.test");
const code = (name: string) => expect.objectContaining({ code: name });
const leafOf = (change: Partial<Parameters<typeof issueLeafCertificate>[0]> = {}) =>
  issueLeafCertificate({
    id: formatSpiffeId(domain.trustDomain, ["team", "pay", "inst-1"]),
    spki: encodeSpki(createTestSigner().publicKey),
    ca: domain.intermediate,
    signer: domain.signers.intermediate,
    serial: createSerial(randomBytes),
    now: NOW,
    notAfter: NOW + 600,
    ...change,
  });
const leaf = parseCertificate(leafOf());
const authorities = [domain.root, domain.intermediate];

describe("the leaf profile", () => {
  it("X-1 has exactly one URI", () => {
    expect(leaf.uris).toEqual(["spiffe://acme.test/team/pay/inst-1"]);
  });

  it("X-3 has a critical URI where its subject is empty, and only there", () => {
    expect(leaf.isSanCritical).toBe(false);
    const nameless = parseCertificate(leafOf({ id: parseSpiffeId("spiffe://acme.test/pay/inst-1") }));
    expect(nameless.subject).toHaveLength(2);
    expect(nameless.isSanCritical).toBe(true);
  });

  it.each([
    ["/team/pay/inst-1", "O=acme.test\nCN=team/pay"],
    ["/team/pay", "O=acme.test\nCN=team/pay"],
    ["/trustwarden/server/01K9", "O=acme.test\nCN=trustwarden/server/01K9"],
    [`/team/${"a".repeat(59)}/inst-1`, `O=acme.test\nCN=team/${"a".repeat(59)}`],
    [`/team/${"a".repeat(60)}/inst-1`, undefined],
    // Without a slash it could be taken for the name of a host.
    ["/pay.example/inst-1", undefined],
    ["/pay.example", undefined],
  ])("names the class of %s whole or not at all", (path, subject) => {
    const der = leafOf({ id: parseSpiffeId(`spiffe://acme.test${path}`) });
    expect(new X509Certificate(der).subject || undefined).toBe(subject);
  });

  it("has no subject where its trust domain does not fit in one", () => {
    const longest = createTestDomain(`${"a".repeat(59)}.test`);
    const tooLong = createTestDomain(`${"a".repeat(60)}.test`);
    const subjectIn = (home: typeof domain) => parseCertificate(issueTestLeaf(home).der).subject.length > 2;
    expect([subjectIn(longest), subjectIn(tooLong)]).toEqual([true, false]);
  });

  it("X-2 is refused for an id without a path, and for another trust domain", () => {
    const refused = code("spiffe_id_malformed");
    expect(() => leafOf({ id: parseSpiffeId("spiffe://acme.test") })).toThrow(refused);
    expect(() => leafOf({ id: parseSpiffeId("spiffe://other.test/a") })).toThrow(refused);
  });

  it("X-4 writes BasicConstraints although it says nothing but cA=false", () => {
    const extension = new PeculiarCertificate(leaf.der).getExtension(BasicConstraintsExtension);
    expect(extension?.ca).toBe(false);
    expect(extension?.critical).toBe(true);
    expect(leaf.isCa).toBe(false);
    expect(leaf.isBasicConstraintsCritical).toBe(true);
  });

  it("X-5 and X-6 have a critical KeyUsage of digitalSignature only", () => {
    expect(leaf.keyUsage).toEqual({
      isCritical: true,
      digitalSignature: true,
      keyCertSign: false,
      cRLSign: false,
    });
  });

  it("X-7 is for both roles of TLS", () => {
    expect(leaf.extKeyUsage).toEqual([OID.serverAuth, OID.clientAuth]);
  });

  it("X-18 is backdated by ten seconds and ends exactly when asked", () => {
    expect(leaf.notBefore).toBe(NOW - 10);
    expect(leaf.notAfter).toBe(NOW + 600);
  });

  it("X-18 names its issuer's key and its own", () => {
    expect(leaf.aki).toEqual(domain.intermediate.ski);
    expect(leaf.ski).toHaveLength(20);
    expect(leaf.ski).not.toEqual(leaf.aki);
  });

  it("X-18 never outlives its issuer", () => {
    const end = domain.intermediate.notAfter;
    expect(parseCertificate(leafOf({ notAfter: end })).notAfter).toBe(end);
    expect(parseCertificate(leafOf({ notAfter: end + 1 })).notAfter).toBe(end);
    expect(parseCertificate(leafOf({ now: end - 1, notAfter: end + 600 })).notAfter).toBe(end);
    expect(() => leafOf({ now: end, notAfter: end + 600 })).toThrow(code("authority_expired"));
    const begin = domain.intermediate.notBefore;
    expect(parseCertificate(leafOf({ now: begin })).notBefore).toBe(begin);
    expect(() => leafOf({ now: begin - 1 })).toThrow(code("clock_rolled_back"));
  });

  it("X-18 has a positive serial of 17 bytes that no other certificate has", () => {
    const serials = Array.from({ length: 500 }, () => createSerial(randomBytes));
    expect(new Set(serials.map((serial) => Buffer.from(serial).toString("hex"))).size).toBe(500);
    for (const serial of serials) expect([serial.length, (serial[0] ?? 0) & 0xc0]).toEqual([17, 0x40]);
    const serial = createSerial(randomBytes);
    expect(parseCertificate(leafOf({ serial })).serialHex).toBe(Buffer.from(serial).toString("hex"));
    for (const bad of [
      new Uint8Array(17),
      new Uint8Array(17).fill(0x80),
      new Uint8Array(15).fill(1),
      new Uint8Array(21).fill(1),
    ]) {
      expect(() => leafOf({ serial: bad })).toThrow("createSerial");
    }
  });

  it("X-18 leaves createSerial's source of randomness untouched", () => {
    const source = new Uint8Array(17);
    createSerial(() => source);
    expect(source).toEqual(new Uint8Array(17));
  });

  it("B15 is refused for a lifetime that is none", () => {
    for (const notAfter of [NOW, NOW - 1, Number.NaN, Number.POSITIVE_INFINITY, NOW + 0.5]) {
      expect(() => leafOf({ notAfter }), `${notAfter}`).toThrow(code("ttl_malformed"));
    }
    expect(parseCertificate(leafOf({ notAfter: NOW + 1 })).notAfter).toBe(NOW + 1);
  });

  it("B8 is refused for weak keys, other kinds of keys, and points off the curve", () => {
    const spkiOf = (key: { export(options: { type: "spki"; format: "der" }): Buffer }) =>
      key.export({ type: "spki", format: "der" });
    const offCurve = new Uint8Array(encodeSpki(createTestSigner().publicKey));
    offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
    const keys = [
      spkiOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey),
      spkiOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey),
      spkiOf(generateKeyPairSync("ed25519").publicKey),
      offCurve,
      new Uint8Array(0),
    ];
    for (const spki of keys) expect(() => leafOf({ spki })).toThrow(code("public_key_refused"));
  });

  it("X-19 does not leave when the signer is not the issuer's, or is broken", () => {
    const stranger = createTestSigner();
    expect(() => leafOf({ signer: stranger })).toThrow(code("svid_untrusted"));
    const broken = { ...domain.signers.intermediate, sign: () => new Uint8Array(64).fill(1) };
    expect(() => leafOf({ signer: broken })).toThrow(code("svid_untrusted"));
  });

  it("keeps every id it is asked for, byte for byte", () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,30}$/);
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 20 }), (segments) => {
        const id = formatSpiffeId(domain.trustDomain, segments);
        const chain = [leafOf({ id }), domain.intermediate.der];
        expect(verifyX509Svid(chain, domain.bundles, NOW).id).toBe(id);
      }),
      { numRuns: 60 },
    );
  });

  it("ID-13 holds an id of 2048 bytes", () => {
    const id = formatSpiffeId(domain.trustDomain, ["a".repeat(2048 - "spiffe://acme.test/".length)]);
    expect(verifyX509Svid([leafOf({ id }), domain.intermediate.der], domain.bundles, NOW).id).toBe(id);
  });
});

describe("the authorities' profile", () => {
  it("X-8 is cA with keyCertSign and cRLSign, and without digitalSignature", () => {
    for (const authority of authorities) {
      expect(authority.isCa).toBe(true);
      expect(authority.isBasicConstraintsCritical).toBe(true);
      const usage = { isCritical: true, digitalSignature: false, keyCertSign: true, cRLSign: true };
      expect(authority.keyUsage).toEqual(usage);
      expect(authority.extKeyUsage).toBeUndefined();
    }
  });

  it("X-9 and ID-16 carry the trust domain's own id, without a path", () => {
    for (const authority of authorities) expect(authority.uris).toEqual(["spiffe://acme.test"]);
  });

  it("X-11 allows one intermediate below the root and only leaves below that", () => {
    expect(authorities.map(({ pathLen }) => pathLen)).toEqual([1, 0]);
    expect(() =>
      issueIntermediate({
        trustDomain: domain.trustDomain,
        spki: encodeSpki(createTestSigner().publicKey),
        ca: domain.intermediate,
        signer: domain.signers.intermediate,
        serial: createSerial(randomBytes),
        now: NOW,
        notAfter: NOW + 60,
      }),
    ).toThrow(code("svid_untrusted"));
  });

  it("X-17 have subjects of their own, even in the same second", () => {
    const again = Array.from({ length: 3 }, () => createTestDomain());
    const subjects = [...again, domain].flatMap(({ root, intermediate }) => [
      root.subject,
      intermediate.subject,
    ]);
    expect(new Set(subjects.map((subject) => Buffer.from(subject).toString("hex"))).size).toBe(8);
  });

  it("issue for their own trust domain only", () => {
    expect(() => parseCaCertificate(other.intermediate.der, domain.trustDomain)).toThrow(
      code("svid_untrusted"),
    );
    expect(() =>
      issueIntermediate({
        trustDomain: other.trustDomain,
        spki: encodeSpki(createTestSigner().publicKey),
        ca: domain.root,
        signer: domain.signers.root,
        serial: createSerial(randomBytes),
        now: NOW,
        notAfter: NOW + 60,
      }),
    ).toThrow(code("svid_untrusted"));
  });

  it("are never a leaf", () => {
    expect(() => parseCaCertificate(leaf.der, domain.trustDomain)).toThrow(code("svid_untrusted"));
  });

  it("can live past 2049, where the encoding of time changes", () => {
    const notAfter = 2_524_608_000 + 86_400;
    const signer = createTestSigner();
    const der = issueRoot({
      trustDomain: parseTrustDomain("td"),
      signer,
      serial: createSerial(randomBytes),
      now: NOW,
      notAfter,
    });
    expect(parseCertificate(der).notAfter).toBe(notAfter);
    expect(new X509Certificate(der).validToDate.getTime() / 1000).toBe(notAfter);
  });
});

describe("independent judges", () => {
  it("@peculiar/x509 reads the same fields and builds the same chain", async () => {
    const { der, id } = issueTestLeaf(domain);
    const [theirLeaf, intermediate, root] = [der, domain.intermediate.der, domain.root.der].map(
      (bytes) => new PeculiarCertificate(bytes),
    );
    if (!theirLeaf || !intermediate || !root) throw new Error("three certificates");
    expect(theirLeaf.serialNumber).toBe(parseCertificate(der).serialHex);
    expect(theirLeaf.subject).toBe("O=acme.test, CN=team/pay");
    expect(await theirLeaf.verify({ publicKey: intermediate, signatureOnly: true })).toBe(true);
    expect(await intermediate.verify({ publicKey: root, signatureOnly: true })).toBe(true);
    const chain = await new X509ChainBuilder({ certificates: [intermediate, root] }).build(theirLeaf);
    expect(chain.map(({ serialNumber }) => serialNumber)).toHaveLength(3);
    expect(new X509Certificate(der).subjectAltName).toBe(`URI:${id}`);
  });

  it("node:crypto agrees on issuer and signature", () => {
    const [theirLeaf, intermediate, root] = [leaf.der, domain.intermediate.der, domain.root.der].map(
      (bytes) => new X509Certificate(bytes),
    );
    if (!theirLeaf || !intermediate || !root) throw new Error("three certificates");
    expect(theirLeaf.checkIssued(intermediate) && theirLeaf.verify(intermediate.publicKey)).toBe(true);
    expect(intermediate.checkIssued(root) && intermediate.verify(root.publicKey)).toBe(true);
    expect(theirLeaf.checkIssued(root)).toBe(false);
  });

  const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
  if (!hasOpenssl) console.warn("openssl is not on PATH: its verdict on our chains was NOT asked for");

  it.runIf(hasOpenssl)(
    "openssl verify accepts the chain strictly, for both roles, and no other domain's",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "tw-openssl-"));
      try {
        const files = {
          root: domain.root.der,
          other: other.root.der,
          intermediate: domain.intermediate.der,
          leaf: leaf.der,
        };
        for (const [name, der] of Object.entries(files)) {
          writeFileSync(join(folder, name), new X509Certificate(der).toString());
        }
        const verify = (root: string, purpose: string) =>
          spawnSync(
            "openssl",
            [
              "verify",
              "-x509_strict",
              "-purpose",
              purpose,
              "-attime",
              String(NOW),
              "-CAfile",
              root,
              "-no-CApath",
              "-untrusted",
              "intermediate",
              "leaf",
            ],
            { cwd: folder, encoding: "utf8" },
          );
        for (const purpose of ["sslserver", "sslclient"]) {
          const verdict = verify("root", purpose);
          expect(verdict.stderr + verdict.stdout).toContain("leaf: OK");
          expect(verify("other", purpose).status).not.toBe(0);
        }
        const text = execFileSync("openssl", ["x509", "-in", "leaf", "-noout", "-text"], {
          cwd: folder,
          encoding: "utf8",
        });
        expect(text).toContain("URI:spiffe://acme.test/team/pay/inst-1");
        expect(text).toContain("CA:FALSE");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe("a draft for a key that signs elsewhere", () => {
  const signer = createTestSigner();
  const times = { serial: createSerial(randomBytes), now: NOW, notAfter: NOW + 600 };
  const { trustDomain } = domain;

  it("is completed by the issuer's signature", () => {
    const root = draftRoot({ ...times, trustDomain, spki: encodeSpki(signer.publicKey) });
    const ca = parseCaCertificate(root.complete(signer.sign(root.tbs)), trustDomain);
    const spki = encodeSpki(createTestSigner().publicKey);
    const below = draftIntermediate({ ...times, trustDomain, spki, ca });
    expect(parseCaCertificate(below.complete(signer.sign(below.tbs)), trustDomain).spki).toEqual(
      Uint8Array.from(spki),
    );
  });

  it("refuses another key's signature, or one over other bytes", () => {
    const root = draftRoot({ ...times, trustDomain, spki: encodeSpki(signer.publicKey) });
    expect(() => root.complete(createTestSigner().sign(root.tbs))).toThrow(code("svid_untrusted"));
    expect(() => root.complete(signer.sign(root.tbs.subarray(1)))).toThrow(code("svid_untrusted"));
  });
});
