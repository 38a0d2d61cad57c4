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

/** A signer that answers rubbish for a while. */
function signerThat({ breaksAt, mendsAt }: { readonly breaksAt: number; readonly mendsAt: number }): Signer {
  const { intermediate } = domain.signers;
  let made = 0;
  return {
    ...intermediate,
    sign: (data) => {
      made += 1;
      const isBroken = made >= breaksAt && made < mendsAt;
      return isBroken ? new Uint8Array(64).fill(1) : intermediate.sign(data);
    },
  };
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
        expect(stencils.encode(asked)).toEqual(careful);
        expect(stencils.encode(asked)).toEqual(careful);
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
  it("is proven each time, also one that a stencil gave", () => {
    const signer = signerThat({ breaksAt: 5, mendsAt: 8 });
    const ca = freshCa();
    for (let count = 1; count < 5; count += 1)
      expect(parseCertificate(issueWith(signer, ca)).isCa).toBe(false);
    for (let count = 5; count < 8; count += 1)
      expect(() => issueWith(signer, ca)).toThrow(code("svid_untrusted"));
    expect(parseCertificate(issueWith(signer, ca)).isCa).toBe(false);
  });
});
