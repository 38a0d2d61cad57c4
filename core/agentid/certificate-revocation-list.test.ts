import "./reflect.test.support.ts";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509Certificate as PeculiarCertificate, X509Crl } from "@peculiar/x509";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeHex } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import {
  issueCertificateRevocationList,
  parseCertificateRevocationList,
  verifyCertificateRevocationList,
} from "./certificate-revocation-list.ts";
import { encodeCrl, encodeTbsCrl, type RevokedCertificate } from "./certificate-revocation-list-der.ts";
import { encodeDerSignature } from "./certificate-signature.ts";
import {
  encodeElement,
  encodeExplicit,
  encodeInteger,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
  encodeTrue,
} from "./der-writer.ts";

const domain = createTestDomain();
const other = createTestDomain("other.test");
const code = (name: string) => expect.objectContaining({ code: name });
const leaf = parseCertificate(issueTestLeaf(domain).der);
const ENTRY: RevokedCertificate = {
  serialHex: leaf.serialHex,
  revokedAt: NOW - 5,
  reason: "privilege_withdrawn",
};

const listOf = (change: Partial<Parameters<typeof issueCertificateRevocationList>[0]> = {}) =>
  issueCertificateRevocationList({
    ca: domain.intermediate,
    signer: domain.signers.intermediate,
    number: 7,
    now: NOW,
    ttlSeconds: 3600,
    revoked: [ENTRY],
    ...change,
  });

describe("a revocation list", () => {
  it("CRL-1 says which serials of its issuer are void, since when and why", () => {
    const { der, tbs, signature, ...content } = verifyCertificateRevocationList(
      listOf(),
      domain.intermediate,
      NOW,
    );
    expect(content).toEqual({
      issuer: domain.intermediate.subject,
      aki: domain.intermediate.ski,
      number: 7,
      thisUpdate: NOW,
      nextUpdate: NOW + 3600,
      revoked: [ENTRY],
    });
    expect([der.length > tbs.length, signature.length]).toEqual([true, 64]);
  });

  it("CRL-2 of nothing revoked is a list without entries", () => {
    expect(
      verifyCertificateRevocationList(listOf({ revoked: [] }), domain.intermediate, NOW).revoked,
    ).toEqual([]);
  });

  it("CRL-3 is in force from its first date up to its second, and not a second longer", () => {
    const at = (now: number) => verifyCertificateRevocationList(listOf(), domain.intermediate, now);
    expect(at(NOW + 3599).number).toBe(7);
    expect(() => at(NOW + 3600)).toThrow(code("crl_expired"));
    expect(() => at(NOW - 1)).toThrow(code("crl_expired"));
    expect(() => at(Number.NaN)).toThrow(code("crl_expired"));
  });

  it("CRL-4 is refused under another authority, and from one that may not sign lists", () => {
    expect(() => verifyCertificateRevocationList(listOf(), domain.root, NOW)).toThrow(code("crl_untrusted"));
    expect(() => verifyCertificateRevocationList(listOf(), other.intermediate, NOW)).toThrow(
      code("crl_untrusted"),
    );
    expect(() => listOf({ signer: createTestSigner() })).toThrow(code("crl_untrusted"));
    const { keyUsage } = domain.intermediate;
    if (keyUsage === undefined) throw new Error("the profile has a key usage");
    const mute = { ...domain.intermediate, keyUsage: { ...keyUsage, cRLSign: false } };
    expect(() => verifyCertificateRevocationList(listOf(), mute, NOW)).toThrow(code("crl_untrusted"));
  });

  it("CRL-5 does not outlive its issuer and is not made after it", () => {
    const { notAfter } = domain.intermediate;
    const last = parseCertificateRevocationList(listOf({ now: notAfter - 60 }));
    expect(last.nextUpdate).toBe(notAfter);
    expect(() => listOf({ now: notAfter })).toThrow(code("authority_expired"));
  });

  it("CRL-6 has whole numbers from 1, up to six bytes", () => {
    for (const number of [1, 127, 128, 255, 256, 2 ** 48 - 1]) {
      expect(parseCertificateRevocationList(listOf({ number })).number).toBe(number);
    }
    for (const number of [0, -1, 1.5, 2 ** 48]) expect(() => listOf({ number })).toThrow("counts from 1");
  });

  it("CRL-7 lists a serial once", () => {
    expect(() => listOf({ revoked: [ENTRY, ENTRY] })).toThrow(code("crl_malformed"));
  });

  it("CRL-8 holds what thousands of revocations at once leave, in order", () => {
    const revoked = Array.from({ length: 5000 }, (_, index) => ({
      serialHex: `40${encodeHex(new TextEncoder().encode(String(index).padStart(16, "0")))}`,
      revokedAt: NOW - (index % 60),
      reason: "privilege_withdrawn" as const,
    }));
    const list = verifyCertificateRevocationList(listOf({ revoked }), domain.intermediate, NOW);
    expect(list.revoked).toEqual(revoked);
  });

  it("CRL-9 comes back as it was written, whatever is on it", () => {
    const serialHex = fc
      .uint8Array({ minLength: 1, maxLength: 19 })
      .filter(([first = 0]) => first > 0)
      .map((bytes) => encodeHex(bytes));
    const entry = fc.record({
      serialHex,
      revokedAt: fc.integer({ min: 0, max: 4_000_000_000 }),
      reason: fc.constantFrom(
        "key_compromise" as const,
        "ca_compromise" as const,
        "superseded" as const,
        "cessation_of_operation" as const,
        "privilege_withdrawn" as const,
      ),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(entry, { selector: (one) => one.serialHex, maxLength: 20 }),
        fc.integer({ min: 1, max: 2 ** 48 - 1 }),
        (revoked, number) => {
          const list = parseCertificateRevocationList(listOf({ revoked, number }));
          expect([list.revoked, list.number]).toEqual([revoked, number]);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("the reader of revocation lists", () => {
  it("never throws anything but crl_malformed, whatever bytes are changed", () => {
    const good = listOf();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.nat(good.length),
        (changes, end) => {
          const bytes = Uint8Array.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          for (const der of [bytes, bytes.subarray(0, end)]) {
            try {
              parseCertificateRevocationList(der);
            } catch (error) {
              expect(error).toBeInstanceOf(TrustWardenError);
              expect(error).toHaveProperty("code", "crl_malformed");
            }
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("refuses a list with any bit of it flipped", () => {
    const good = listOf();
    for (let at = 0; at < good.length; at += 1) {
      const bytes = Uint8Array.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(() => verifyCertificateRevocationList(bytes, domain.intermediate, NOW)).toThrow(
        TrustWardenError,
      );
    }
  });

  const content = {
    issuer: domain.intermediate.subject,
    aki: domain.intermediate.ski,
    number: 7,
    thisUpdate: NOW,
    nextUpdate: NOW + 3600,
    revoked: [ENTRY],
  };
  const signed = (tbs: Uint8Array) =>
    encodeCrl(tbs, encodeDerSignature(domain.signers.intermediate.sign(tbs)));
  const algorithm = encodeSequence(encodeOid(OID.ecdsaWithSha256));
  const version = encodeInteger(Uint8Array.of(1));
  const times = [encodeTime(NOW), encodeTime(NOW + 3600)];
  const tail = (...extensions: readonly Uint8Array[]) => encodeExplicit(0, encodeSequence(...extensions));
  const aki = encodeSequence(
    encodeOid(OID.authorityKeyIdentifier),
    encodeOctetString(encodeSequence(encodeElement(0x80, content.aki))),
  );
  const number = encodeSequence(encodeOid(OID.cRLNumber), encodeOctetString(encodeInteger(Uint8Array.of(7))));
  const delta = encodeSequence(
    encodeOid("2.5.29.27"),
    encodeTrue(),
    encodeOctetString(encodeInteger(Uint8Array.of(1))),
  );

  it.each([
    ["ends before it begins", encodeTbsCrl({ ...content, nextUpdate: NOW })],
    ["is of version 1", encodeSequence(algorithm, content.issuer, ...times)],
    [
      "has no next update",
      encodeSequence(version, algorithm, content.issuer, encodeTime(NOW), tail(aki, number)),
    ],
    [
      "writes an empty list out",
      encodeSequence(version, algorithm, content.issuer, ...times, encodeSequence(), tail(aki, number)),
    ],
    ["has no number", encodeSequence(version, algorithm, content.issuer, ...times, tail(aki))],
    ["names no key", encodeSequence(version, algorithm, content.issuer, ...times, tail(number))],
    [
      "is only a difference to another",
      encodeSequence(version, algorithm, content.issuer, ...times, tail(aki, number, delta)),
    ],
    [
      "is signed in another way",
      encodeSequence(
        version,
        encodeSequence(encodeOid("1.2.840.10045.4.3.3")),
        content.issuer,
        ...times,
        tail(aki, number),
      ),
    ],
  ])("refuses a list that %s", (_name, tbs) => {
    expect(() => verifyCertificateRevocationList(signed(tbs), domain.intermediate, NOW)).toThrow(
      code("crl_malformed"),
    );
  });

  it("reads the same layout when nothing is wrong with it", () => {
    const tbs = encodeSequence(version, algorithm, content.issuer, ...times, tail(aki, number));
    expect(verifyCertificateRevocationList(signed(tbs), domain.intermediate, NOW).revoked).toEqual([]);
  });

  it("refuses more than 14 MB without reading it", () => {
    expect(() => parseCertificateRevocationList(new Uint8Array(14_000_001))).toThrow(code("crl_malformed"));
  });
});

describe("independent judges of revocation lists", () => {
  it("@peculiar/x509 reads the same fields and verifies the signature", async () => {
    const crl = new X509Crl(listOf());
    const issuer = new PeculiarCertificate(domain.intermediate.der);
    expect(await crl.verify({ publicKey: issuer })).toBe(true);
    expect(await crl.verify({ publicKey: new PeculiarCertificate(other.intermediate.der) })).toBe(false);
    expect(crl.issuer).toBe(issuer.subject);
    expect(crl.thisUpdate.getTime()).toBe(NOW * 1000);
    expect(crl.nextUpdate?.getTime()).toBe((NOW + 3600) * 1000);
    const [entry] = crl.entries;
    expect(entry?.serialNumber).toBe(leaf.serialHex);
    expect(entry?.revocationDate.getTime()).toBe(ENTRY.revokedAt * 1000);
    expect(crl.findRevoked(new PeculiarCertificate(leaf.der))).not.toBeNull();
    expect(crl.findRevoked(new PeculiarCertificate(issueTestLeaf(domain).der))).toBeNull();
  });

  it("OpenSSL prints it, verifies it, and refuses the certificate that is on it", () => {
    const directory = mkdtempSync(join(tmpdir(), "tw-crl-"));
    try {
      const file = (name: string, ...parts: readonly (readonly [string, Uint8Array])[]) => {
        const text = parts.map(
          ([label, der]) =>
            `-----BEGIN ${label}-----\n${Buffer.from(der).toString("base64")}\n-----END ${label}-----\n`,
        );
        writeFileSync(join(directory, name), text.join(""));
        return join(directory, name);
      };
      const revoked = issueTestLeaf(domain).der;
      const rootList = listOf({ ca: domain.root, signer: domain.signers.root, revoked: [] });
      const lists = file(
        "crl.pem",
        ["X509 CRL", listOf({ revoked: [{ ...ENTRY, serialHex: parseCertificate(revoked).serialHex }] })],
        ["X509 CRL", rootList],
      );
      const ca = file("root.pem", ["CERTIFICATE", domain.root.der]);
      const chain = file("chain.pem", ["CERTIFICATE", domain.intermediate.der]);
      const issuer = file(
        "issuer.pem",
        ["CERTIFICATE", domain.intermediate.der],
        ["CERTIFICATE", domain.root.der],
      );
      const printed = spawnSync("openssl", ["crl", "-in", lists, "-noout", "-text", "-CAfile", issuer], {
        encoding: "utf8",
      });
      expect(printed.stderr).toContain("verify OK");
      expect(printed.stdout).toContain("Version 2 (0x1)");
      expect(printed.stdout).toContain("Privilege Withdrawn");
      const verify = (der: Uint8Array) =>
        execFileSync(
          "openssl",
          [
            ...["verify", "-x509_strict", "-crl_check_all", "-CRLfile", lists, "-attime", String(NOW + 10)],
            ...["-CAfile", ca, "-untrusted", chain, file("leaf.pem", ["CERTIFICATE", der])],
          ],
          { encoding: "utf8", stdio: "pipe" },
        );
      expect(verify(leaf.der)).toContain("OK");
      expect(() => verify(revoked)).toThrow("certificate revoked");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
