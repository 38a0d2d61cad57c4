import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeSpki } from "../crypto.ts";
import type { Signer } from "../signer.ts";
import { createTestDomain, NOW } from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { formatSpiffeId } from "./spiffe-id.ts";
import { createSerial, issueLeafCertificate, parseCaCertificate } from "./svid-profile.ts";
import { encodeTbs, encodeUsage, type Template, workloadName } from "./svid-profile-template.ts";
import { TbsStencils } from "./tbs-stencil.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const spki = encodeSpki(createTestSigner().publicKey);
const usage = encodeUsage({ basicConstraints: Uint8Array.of(0x30, 0), keyUsage: [0], extKeyUsage: [] });
const code = (name: string) => expect.objectContaining({ code: name });

/** A signer that counts, and answers rubbish from a signature on. */
function signerThat(options: {
  readonly isInProcess?: true;
  readonly breaksAt?: number;
  readonly mendsAt?: number;
}) {
  const { breaksAt = Number.POSITIVE_INFINITY, mendsAt = Number.POSITIVE_INFINITY, ...kind } = options;
  const counted = { made: 0 };
  const { intermediate } = domain.signers;
  const signer: Signer = {
    ...intermediate,
    ...kind,
    sign: (data) => {
      counted.made += 1;
      const isBroken = counted.made >= breaksAt && counted.made < mendsAt;
      return isBroken ? new Uint8Array(64).fill(1) : intermediate.sign(data);
    },
  };
  return { signer, counted };
}

/** An authority that nothing is remembered of. */
const freshCa = () => parseCaCertificate(domain.intermediate.der, domain.trustDomain);

function issueWith(
  signer: Signer,
  ca: ReturnType<typeof freshCa>,
  id = formatSpiffeId(domain.trustDomain, ["team", "a", "inst-1"]),
) {
  return issueLeafCertificate({
    id,
    spki,
    ca,
    signer,
    serial: createSerial(randomBytes),
    now: NOW,
    notAfter: NOW + 600,
  });
}

const template = fc.record({
  serial: fc
    .uint8Array({ minLength: 16, maxLength: 20 })
    .map((bytes) => Uint8Array.from(bytes, (byte, at) => (at === 0 ? 0x40 | (byte & 0x3f) : byte))),
  times: fc.tuple(fc.integer({ min: 0, max: 2_600_000_000 }), fc.integer({ min: 0, max: 2_600_000_000 })),
  segments: fc.array(fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}$/), {
    minLength: 1,
    maxLength: 6,
  }),
  key: fc.uint8Array({ minLength: 91, maxLength: 91 }),
});

describe("a stencil", () => {
  it("gives the encoder's bytes for everything that is asked for, whatever came before", () => {
    const stencils = new TbsStencils();
    fc.assert(
      fc.property(template, ({ serial, times, segments, key }) => {
        const id = formatSpiffeId(domain.trustDomain, segments);
        const asked: Template = {
          serial,
          issuer: domain.intermediate.subject,
          notBefore: times[0],
          notAfter: times[1],
          subject: workloadName(id),
          spki: key,
          uri: id,
          authorityKeyIdentifier: domain.intermediate.ski,
          usage,
        };
        const careful = encodeTbs(asked);
        expect(stencils.encode(asked).tbs).toEqual(careful);
        expect(stencils.encode(asked).tbs).toEqual(careful);
      }),
      { numRuns: 500 },
    );
  });

  it("leaves nothing of one certificate in the next, nor in one that was given out", () => {
    const ca = freshCa();
    const idOf = (name: string) => formatSpiffeId(domain.trustDomain, ["team", name, "inst-1"]);
    const first = issueWith(domain.signers.intermediate, ca, idOf("aaaa"));
    const kept = first.slice();
    const second = issueWith(domain.signers.intermediate, ca, idOf("bbbb"));
    expect(Buffer.from(second).includes("aaaa")).toBe(false);
    expect(first).toEqual(kept);
    for (const [der, name] of [
      [first, "aaaa"],
      [second, "bbbb"],
    ] as const) {
      expect(verifyX509Svid([der, domain.intermediate.der], domain.bundles, NOW).id).toBe(idOf(name));
    }
  });
});

describe("X-19 a leaf", () => {
  it("is proven each time when its signature was made elsewhere", () => {
    const { signer } = signerThat({ breaksAt: 5 });
    const ca = freshCa();
    for (let count = 1; count < 5; count += 1)
      expect(parseCertificate(issueWith(signer, ca)).isCa).toBe(false);
    for (let count = 0; count < 3; count += 1)
      expect(() => issueWith(signer, ca)).toThrow(code("svid_untrusted"));
  });

  it("is proven at the first of a signer of this process, under each authority", () => {
    const broken = signerThat({ isInProcess: true, breaksAt: 1 });
    const ca = freshCa();
    issueWith(domain.signers.intermediate, ca);
    for (let count = 0; count < 3; count += 1)
      expect(() => issueWith(broken.signer, ca)).toThrow(code("svid_untrusted"));
    const good = signerThat({ isInProcess: true });
    issueWith(good.signer, ca);
    const other = createTestDomain("other.test");
    const elsewhere = parseCaCertificate(other.intermediate.der, other.trustDomain);
    const id = formatSpiffeId(other.trustDomain, ["team", "a", "inst-1"]);
    expect(() => issueWith(good.signer, elsewhere, id)).toThrow(code("svid_untrusted"));
  });

  it("is proven one in 64, so that a signer that goes bad is found, and each one until it is good again", () => {
    const { signer, counted } = signerThat({ isInProcess: true, breaksAt: 3, mendsAt: 100 });
    const ca = freshCa();
    const refusedAt: number[] = [];
    for (let count = 1; count <= 200; count += 1) {
      try {
        issueWith(signer, ca);
      } catch {
        refusedAt.push(counted.made);
      }
    }
    expect(refusedAt[0]).toBe(65);
    // From there on nothing bad leaves.
    expect(refusedAt).toEqual(Array.from({ length: 35 }, (_, at) => 65 + at));
  });

  it("is proven at the first of each stencil, also in the middle of a run", () => {
    const { signer } = signerThat({ isInProcess: true, breaksAt: 3 });
    const ca = freshCa();
    issueWith(signer, ca);
    issueWith(signer, ca);
    const longer = formatSpiffeId(domain.trustDomain, ["team", "another", "inst-1"]);
    expect(() => issueWith(signer, ca, longer)).toThrow(code("svid_untrusted"));
  });
});
