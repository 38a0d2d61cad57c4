import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { createAuthority, issueOnlineIntermediate, verifyAuthority } from "./authority.ts";
import {
  authorityExtensions,
  createTestDomain,
  forge,
  issueTestLeaf,
  NOW,
} from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { formatTrustBundle, parseTrustBundle } from "./trust-bundle.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const DAY = 86_400;
const domain = createTestDomain();
const code = (name: string) => expect.objectContaining({ code: name });
const parts = {
  bundle: domain.bundle,
  intermediateDer: domain.intermediate.der,
  intermediateSigner: domain.signers.intermediate,
  jwtSigner: domain.signers.jwt,
  random: randomBytes,
  now: NOW,
};
const creation = {
  trustDomain: domain.trustDomain,
  rootSigner: domain.signers.root,
  intermediateSigner: domain.signers.intermediate,
  jwtSigner: domain.signers.jwt,
  random: randomBytes,
  now: NOW,
};

describe("createAuthority", () => {
  it("makes a root, an intermediate of 90 days, a JWT key and bundle number 1", () => {
    expect(domain.intermediate.notAfter).toBe(NOW + 90 * DAY);
    expect(domain.root.notAfter).toBe(NOW + 5 * 365 * DAY);
    expect(domain.bundle.sequence).toBe(1);
    expect(domain.bundle.x509Authorities.map(({ sha256 }) => sha256)).toEqual([domain.root.sha256]);
    expect([...domain.bundle.jwtAuthorities.keys()]).toEqual([domain.jwtKid]);
  });

  it("refuses an intermediate of more than 90 days", () => {
    expect(createAuthority({ ...creation, intermediateTtlSeconds: DAY }).intermediate.notAfter).toBe(
      NOW + DAY,
    );
    expect(() => createAuthority({ ...creation, intermediateTtlSeconds: 90 * DAY + 1 })).toThrow(
      code("ttl_exceeds_limit"),
    );
    expect(() => createAuthority({ ...creation, intermediateTtlSeconds: 0 })).toThrow(code("ttl_malformed"));
  });

  it("refuses one key in two roles", () => {
    expect(() => createAuthority({ ...creation, jwtSigner: domain.signers.intermediate })).toThrow(
      "key of its own",
    );
    expect(() => createAuthority({ ...creation, rootSigner: domain.signers.intermediate })).toThrow(
      "key of its own",
    );
  });
});

describe("verifyAuthority", () => {
  it("X-19 brings an authority back from its document and its signers", () => {
    const bundle = parseTrustBundle(formatTrustBundle(domain.bundle), domain.trustDomain);
    const again = verifyAuthority({ ...parts, bundle });
    expect(again.jwtKid).toBe(domain.jwtKid);
    expect(again.root.sha256).toBe(domain.root.sha256);
    expect(again.intermediate.sha256).toBe(domain.intermediate.sha256);
  });

  it("refuses signers, a bundle or an intermediate that do not belong together", () => {
    const untrusted = code("svid_untrusted");
    const stranger = createTestDomain();
    expect(() => verifyAuthority({ ...parts, intermediateSigner: createTestSigner() })).toThrow(untrusted);
    expect(() => verifyAuthority({ ...parts, jwtSigner: createTestSigner() })).toThrow(untrusted);
    expect(() => verifyAuthority({ ...parts, bundle: stranger.bundle })).toThrow(untrusted);
    expect(() => verifyAuthority({ ...parts, intermediateDer: stranger.intermediate.der })).toThrow(
      untrusted,
    );
    const rootless = { ...domain.bundle, x509Authorities: [stranger.root] };
    expect(() => verifyAuthority({ ...parts, bundle: rootless })).toThrow(untrusted);
    expect(() => verifyAuthority({ ...parts, intermediateDer: new Uint8Array(1) })).toThrow(
      code("svid_malformed"),
    );
  });

  it("X-19 refuses a bundle whose root has the right name and key but has expired", () => {
    const expired = forge({
      signer: domain.signers.root,
      issuer: domain.root.subject,
      subject: domain.root.subject,
      spki: domain.root.spki,
      notAfter: NOW,
      extensions: Object.values(authorityExtensions(["spiffe://acme.test"])),
    });
    const bundle = { ...domain.bundle, x509Authorities: [parseCertificate(expired)] };
    expect(() => verifyAuthority({ ...parts, bundle })).toThrow(code("svid_expired"));
  });

  it("refuses to go on once the intermediate has expired", () => {
    verifyAuthority({ ...parts, now: NOW + 90 * DAY - 1 });
    expect(() => verifyAuthority({ ...parts, now: NOW + 90 * DAY })).toThrow(code("authority_expired"));
  });
});

describe("issueOnlineIntermediate", () => {
  it("rotates the intermediate under the same root: old and new leaves verify against the same bundle", () => {
    const now = NOW + 60 * DAY;
    const intermediateSigner = createTestSigner();
    const intermediateDer = issueOnlineIntermediate({
      ...creation,
      root: domain.root,
      intermediateSigner,
      now,
    });
    const rotated = verifyAuthority({ ...parts, intermediateDer, intermediateSigner, now });
    expect(rotated.intermediate.notAfter).toBe(now + 90 * DAY);
    expect(rotated.bundle).toBe(domain.bundle);
    const signers = { ...domain.signers, intermediate: intermediateSigner };
    const renewed = issueTestLeaf({ ...domain, ...rotated, signers }, now);
    const old = issueTestLeaf(domain, now);
    expect(verifyX509Svid([renewed.der, rotated.intermediate.der], domain.bundles, now).id).toBe(renewed.id);
    expect(verifyX509Svid([old.der, domain.intermediate.der], domain.bundles, now).id).toBe(old.id);
  });
});
