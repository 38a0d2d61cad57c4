import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { AUDIENCE, NOW } from "./issuer.test.support.ts";
import {
  createCertificate,
  type SigningOptions,
  signDocument,
  type TestCertificate,
} from "./signed-documents.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const MALFORMED = expect.objectContaining({ code: "attestation_malformed" });
const EXPIRED = expect.objectContaining({ code: "attestation_expired" });
const UNTRUSTED = expect.objectContaining({ code: "attestation_untrusted_issuer" });

const region = createCertificate({ name: "eu-central-1" });
const otherRegion = createCertificate({ name: "us-east-1" });
const stranger = createCertificate({ name: "eu-central-1" });
const legacy = createCertificate({ name: "legacy", bits: 1024 });

const LAUNCHED = NOW - 60;
const instant = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** As served at /latest/dynamic/instance-identity/document. */
const document = (changed: object = {}) =>
  JSON.stringify(
    {
      accountId: "123456789012",
      architecture: "x86_64",
      availabilityZone: "eu-central-1a",
      billingProducts: null,
      devpayProductCodes: null,
      marketplaceProductCodes: null,
      imageId: "ami-0123456789abcdef0",
      instanceId: "i-0123456789abcdef0",
      instanceType: "t3.micro",
      kernelId: null,
      pendingTime: instant(LAUNCHED),
      privateIp: "10.0.0.7",
      ramdiskId: null,
      region: "eu-central-1",
      version: "2017-09-30",
      ...changed,
    },
    null,
    2,
  );

const attestors = (config: object = {}) =>
  createAttestors(
    attestationSettings.parse({
      aws: {
        certificates: { "eu-central-1": region.pem, "us-east-1": otherRegion.pem },
        legacyCertificates: { "eu-west-1": legacy.pem },
        singleUse: false,
        ...config,
      },
    }),
  );
const configured = attestors();
const context = { nowSeconds: NOW, audience: AUDIENCE };
const pkcs7 = (text: string, options: Partial<SigningOptions> = {}) =>
  ({ type: "aws_pkcs7", pkcs7: signDocument(text, { signer: region, ...options }) }) as const;
const attest = (text: string, options: Partial<SigningOptions> = {}) =>
  configured.attest(pkcs7(text, options), context);

describe("an EC2 instance identity document in PKCS #7", () => {
  it("proves account, region, instance, image and architecture", async () => {
    const attested = await attest(document());
    expect(formatSelectors(attested.selectors)).toEqual([
      "aws:account:123456789012",
      "aws:architecture:x86_64",
      "aws:availability_zone:eu-central-1a",
      "aws:image:ami-0123456789abcdef0",
      "aws:instance_id:i-0123456789abcdef0",
      "aws:instance_type:t3.micro",
      "aws:region:eu-central-1",
    ]);
    expect(attested).toMatchObject({
      type: "aws_pkcs7",
      subject: "aws:123456789012:eu-central-1:i-0123456789abcdef0",
      expiresAt: LAUNCHED + 900,
    });
  });

  it("is read in every form that services write: pieces of indefinite length, no attributes, no certificate, armour", async () => {
    for (const options of [
      { isStreamed: true },
      { hasAttributes: false },
      { hasAttributes: false, isStreamed: true },
      { hasSigner: false },
      { digest: "sha512" },
    ]) {
      await expect(attest(document(), options), JSON.stringify(options)).resolves.toBeDefined();
    }
    const lines = pkcs7(document()).pkcs7.replaceAll(/(.{64})/g, "$1\n");
    const armoured = `-----BEGIN PKCS7-----\n${lines}\n-----END PKCS7-----\n`;
    await expect(configured.attest({ type: "aws_pkcs7", pkcs7: armoured }, context)).resolves.toBeDefined();
  });

  it("is refused when another key signed it, whatever certificate lies in the bag (B4)", async () => {
    await expect(attest(document(), { signer: stranger, hasSigner: false })).rejects.toEqual(REFUSED);
    await expect(attest(document(), { signer: stranger })).rejects.toEqual(REFUSED);
    await expect(attest(document(), { signer: stranger, hasSigner: false, bag: [region] })).rejects.toEqual(
      REFUSED,
    );
    // Same name and serial number as the genuine one, and the genuine one beside it.
    const double = createCertificate({ name: "eu-central-1" });
    await expect(attest(document(), { signer: double, hasSigner: false, bag: [region] })).rejects.toEqual(
      REFUSED,
    );
    await expect(attest(document(), { bag: [stranger] })).rejects.toEqual(REFUSED);
  });

  it("is refused when its content was exchanged under a genuine signature (B3)", async () => {
    const [mine, theirs] = [document({ accountId: "999999999999" }), document()];
    const bytes = Buffer.from(pkcs7(mine).pkcs7, "base64").toString("latin1");
    const moved = Buffer.from(bytes.replace(mine, theirs), "latin1").toString("base64");
    await expect(configured.attest({ type: "aws_pkcs7", pkcs7: moved }, context)).rejects.toEqual(REFUSED);
  });

  it("is refused when another region's certificate signed it, or none is configured", async () => {
    await expect(attest(document(), { signer: otherRegion })).rejects.toEqual(REFUSED);
    await expect(attest(document({ region: "us-east-1" }))).rejects.toEqual(REFUSED);
    await expect(attest(document({ region: "ap-south-1" }))).rejects.toEqual(UNTRUSTED);
    await expect(attest(document({ region: "constructor" }))).rejects.toEqual(UNTRUSTED);
    // The weak certificates are for the other form only.
    await expect(attest(document({ region: "eu-west-1" }), { signer: legacy })).rejects.toEqual(UNTRUSTED);
  });

  it("has one signer and its content inside", async () => {
    await expect(attest(document(), { second: stranger })).rejects.toEqual(MALFORMED);
    await expect(attest(document(), { isDetached: true })).rejects.toEqual(MALFORMED);
    await expect(attest(document(), { digest: "sha1" })).rejects.toEqual(MALFORMED);
    const bag = Array.from({ length: 8 }, (_, index) =>
      createCertificate({ curve: "P-256", serial: 100 + index }),
    );
    await expect(attest(document(), { bag })).rejects.toEqual(MALFORMED);
  });

  it("is refused with any byte of it changed", async () => {
    const bytes = Buffer.from(pkcs7(document()).pkcs7, "base64");
    const step = 7;
    for (let index = 0; index < bytes.length; index += step) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 0x01;
      const evidence = { type: "aws_pkcs7", pkcs7: changed.toString("base64") } as const;
      const answer = await configured.attest(evidence, context).then(
        (attested) => formatSelectors(attested.selectors),
        (error: unknown) => error,
      );
      // Some bytes are under no signature (a version number, an algorithm's parameters): they change no fact.
      if (Array.isArray(answer)) expect(answer).toContain("aws:account:123456789012");
      else expect(answer, String(index)).toMatchObject({ code: expect.stringMatching(/^attestation_/) });
    }
  });

  it("says each thing once and in its type", async () => {
    const text = document();
    await expect(attest(text.replace("{", '{"accountId":"999999999999",'))).rejects.toEqual(MALFORMED);
    for (const changed of [
      { accountId: 123456789012 },
      { accountId: "12345678901" },
      { accountId: undefined },
      { instanceId: "i-xyz" },
      { instanceId: undefined },
      { imageId: ["ami"] },
      { architecture: { a: 1 } },
    ]) {
      await expect(attest(document(changed)), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
    for (const pendingTime of ["2026-13-01T00:00:00Z", "yesterday", instant(NOW).slice(0, -1)]) {
      await expect(attest(document({ pendingTime })), pendingTime).rejects.toEqual(MALFORMED);
    }
    await expect(attest("[]")).rejects.toEqual(MALFORMED);
    await expect(attest("")).rejects.toEqual(MALFORMED);
  });

  it("is taken for fifteen minutes after launch, and is meant to serve once", async () => {
    const once = attestors({ singleUse: true });
    const at = (nowSeconds: number) => configured.attest(pkcs7(document()), { ...context, nowSeconds });
    await expect(at(LAUNCHED + 899)).resolves.toBeDefined();
    await expect(at(LAUNCHED + 900)).rejects.toEqual(EXPIRED);
    await expect(at(LAUNCHED - 60)).resolves.toBeDefined();
    await expect(at(LAUNCHED - 61)).rejects.toEqual(EXPIRED);
    const { singleUse } = await once.attest(pkcs7(document()), context);
    expect(singleUse).toMatchObject({ expiresAt: LAUNCHED + 900 });
    // Another signature over the same document, and the other form.
    const again = await once.attest(pkcs7(document(), { hasAttributes: false }), context);
    const otherForm = await once.attest(plain(document(), region), context);
    expect([again.singleUse, otherForm.singleUse]).toEqual([singleUse, singleUse]);
  });

  it("is read or refused, whatever the text", async () => {
    const bytes = Buffer.from(pkcs7(document()).pkcs7, "base64");
    const mutated = fc
      .tuple(fc.nat(bytes.length - 1), fc.uint8Array({ maxLength: 40 }))
      .map(([at, insert]) =>
        Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at)]).toString("base64"),
      );
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, fc.base64String(), fc.string({ unit: "binary" })), async (text) => {
        const answer = await configured.attest({ type: "aws_pkcs7", pkcs7: text }, context).then(
          ({ subject }) => ({ code: "attestation_ok", subject }),
          (error: unknown) => error,
        );
        expect(answer).toMatchObject({ code: expect.stringMatching(/^attestation_/) });
      }),
      { numRuns: 300 },
    );
  });

  it("is refused before it is read when it is too deep, too wide or too long, and when the key is huge (B13)", async () => {
    const nested = Buffer.concat([Buffer.alloc(8000, Buffer.from([0x30, 0x80])), Buffer.alloc(8000)]);
    const wide = Buffer.concat([
      Buffer.from([0x30, 0x80]),
      Buffer.alloc(12_000, Buffer.from([0x05, 0x00])),
      Buffer.alloc(2),
    ]);
    for (const bytes of [nested, wide, Buffer.alloc(24_000, 0x30), Buffer.alloc(16_385)]) {
      const evidence = { type: "aws_pkcs7", pkcs7: bytes.toString("base64") } as const;
      await expect(configured.attest(evidence, context)).rejects.toEqual(MALFORMED);
    }
    const huge = createCertificate({ bits: 4104, name: "eu-central-1" });
    const withHuge = attestors({ certificates: { "eu-central-1": huge.pem } });
    await expect(withHuge.attest(pkcs7(document(), { signer: huge }), context)).rejects.toEqual(REFUSED);
  });
});

/** The base64 form: RSA with SHA-256 over the document as it is served. */
function plain(text: string, signer: TestCertificate, digest = "sha256") {
  const key = createPrivateKey(readFileSync(signer.keyFile));
  const signature = sign(digest, Buffer.from(text), key)
    .toString("base64")
    .replaceAll(/(.{76})/g, "$1\n");
  return { type: "aws_signature", document: text, signature } as const;
}

describe("an EC2 instance identity document with its plain signature", () => {
  it("proves the same", async () => {
    const attested = await configured.attest(plain(document(), region), context);
    expect(attested).toMatchObject({
      type: "aws_signature",
      subject: "aws:123456789012:eu-central-1:i-0123456789abcdef0",
    });
  });

  it("is refused for another document, another key, another digest or no signature (B3)", async () => {
    const { signature } = plain(document(), region);
    const other = {
      type: "aws_signature",
      document: document({ accountId: "999999999999" }),
      signature,
    } as const;
    await expect(configured.attest(other, context)).rejects.toEqual(REFUSED);
    await expect(configured.attest({ ...other, document: `${document()} ` }, context)).rejects.toEqual(
      REFUSED,
    );
    await expect(configured.attest(plain(document(), stranger), context)).rejects.toEqual(REFUSED);
    await expect(configured.attest(plain(document(), region, "sha1"), context)).rejects.toEqual(REFUSED);
    for (const odd of ["", "AAAA", "not base64", `${signature}=`]) {
      await expect(configured.attest({ ...other, signature: odd }, context)).rejects.toMatchObject({
        code: expect.stringMatching(/^attestation_(?:refused|malformed)$/),
      });
    }
  });

  it("is taken of RSA-1024 only where that certificate is listed as legacy", async () => {
    const weak = document({ region: "eu-west-1" });
    await expect(configured.attest(plain(weak, legacy), context)).resolves.toBeDefined();
    const strict = attestors({ legacyCertificates: {} });
    await expect(strict.attest(plain(weak, legacy), context)).rejects.toEqual(UNTRUSTED);
    const misplaced = attestors({ certificates: { "eu-west-1": legacy.pem }, legacyCertificates: {} });
    await expect(misplaced.attest(plain(weak, legacy), context)).rejects.toEqual(REFUSED);
    const tiny = createCertificate({ bits: 1023 });
    const broken = attestors({ legacyCertificates: { "eu-west-1": tiny.pem } });
    await expect(broken.attest(plain(weak, tiny), context)).rejects.toEqual(REFUSED);
  });
});
