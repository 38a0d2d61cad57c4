import { describe, expect, it } from "vitest";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import { ProvenIssuers } from "./proven-issuers.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const { trustDomain, bundle, intermediate } = domain;
const chainOf = () => [issueTestLeaf(domain).der, intermediate.der];
const bundles = new Map([[trustDomain, bundle]]);
const code = (name: string) => expect.objectContaining({ code: name });

describe("issuers that were proven before", () => {
  it("are the same certificate in the next chain, whose leaf is proven all the same", () => {
    const issuers = new ProvenIssuers();
    const first = verifyX509Svid(chainOf(), bundles, NOW, issuers);
    const second = verifyX509Svid(chainOf(), bundles, NOW, issuers);
    expect(second.leaf.serialHex).not.toBe(first.leaf.serialHex);
    expect(second.chain[1]).toBe(first.chain[1]);
    const [der, issuer] = chainOf();
    const altered = Uint8Array.from(der ?? []);
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(() => verifyX509Svid([altered, issuer ?? altered], bundles, NOW, issuers)).toThrow(
      code("svid_untrusted"),
    );
  });

  it("are proven against a bundle that has changed, and looked at for time and revocation each time", () => {
    const issuers = new ProvenIssuers();
    verifyX509Svid(chainOf(), bundles, NOW, issuers);
    const without = new Map([[trustDomain, { ...bundle, x509Authorities: [] }]]);
    expect(() => verifyX509Svid(chainOf(), without, NOW, issuers)).toThrow(code("svid_untrusted"));
    const other = createTestDomain();
    const others = new Map([[trustDomain, { ...bundle, x509Authorities: other.bundle.x509Authorities }]]);
    expect(() => verifyX509Svid(chainOf(), others, NOW, issuers)).toThrow(code("svid_untrusted"));
    const ski = Buffer.from(intermediate.ski ?? []).toString("hex");
    const revoked = new Map([[trustDomain, { ...bundle, revokedAuthorities: new Set([ski]) }]]);
    expect(() => verifyX509Svid(chainOf(), revoked, NOW, issuers)).toThrow(code("authority_revoked"));
    const late = intermediate.notAfter + 1;
    expect(() => verifyX509Svid(chainOf(), bundles, late, issuers)).toThrow(code("svid_expired"));
    expect(() => verifyX509Svid(chainOf(), bundles, NOW, issuers)).not.toThrow();
  });

  it("are never what a stranger's chain brought, nor a leaf", () => {
    const issuers = new ProvenIssuers();
    const stranger = createTestDomain();
    const chain = [issueTestLeaf(stranger).der, stranger.intermediate.der];
    expect(() => verifyX509Svid(chain, bundles, NOW, issuers)).toThrow(code("svid_untrusted"));
    expect(issuers.find(stranger.intermediate.der)).toBeUndefined();
    const own = chainOf();
    verifyX509Svid(own, bundles, NOW, issuers);
    expect(own.map((der) => issuers.find(der) !== undefined)).toEqual([false, true]);
  });
});
