import { describe, expect, it } from "vitest";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { ProvenChains } from "./proven-chains.ts";

const domain = createTestDomain();
const { der, id } = issueTestLeaf(domain);
const chain = [der, domain.intermediate.der];
const code = (name: string) => expect.objectContaining({ code: name });

describe("chains that were proven before", () => {
  it("are the same proof again", () => {
    const chains = new ProvenChains(new Map([[domain.trustDomain, domain.bundle]]));
    const first = chains.verify(chain, NOW);
    expect(first.id).toBe(id);
    expect(chains.verify([...chain], NOW + 1)).toBe(first);
  });

  it("expire, and are not valid before their time, as if never proven", () => {
    const chains = new ProvenChains(new Map([[domain.trustDomain, domain.bundle]]));
    const { notBefore, notAfter } = parseCertificate(der);
    const proven = chains.verify(chain, NOW);
    expect(chains.verify(chain, notAfter - 1)).toBe(proven);
    expect(() => chains.verify(chain, notAfter + 1)).toThrow(code("svid_expired"));
    expect(chains.verify(chain, notBefore)).toBe(proven);
    expect(() => chains.verify(chain, notBefore - 3600)).toThrow(code("svid_not_yet_valid"));
  });

  it("lend nothing to another chain with the same leaf, nor to a leaf with one bit changed", () => {
    const chains = new ProvenChains(new Map([[domain.trustDomain, domain.bundle]]));
    chains.verify(chain, NOW);
    expect(() => chains.verify([der], NOW)).toThrow(code("svid_untrusted"));
    const altered = Uint8Array.from(der);
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(() => chains.verify([altered, domain.intermediate.der], NOW)).toThrow(code("svid_untrusted"));
  });

  it("are refused again when they were refused", () => {
    const { trustDomain, bundle } = createTestDomain();
    const chains = new ProvenChains(new Map([[trustDomain, bundle]]));
    for (let round = 0; round < 2; round += 1) {
      expect(() => chains.verify(chain, NOW)).toThrow(code("svid_untrusted"));
    }
  });

  it("are proven again when the bundle has changed, and refused when it is gone", () => {
    const bundles = new Map([[domain.trustDomain, domain.bundle]]);
    const chains = new ProvenChains(bundles);
    const first = chains.verify(chain, NOW);
    bundles.set(domain.trustDomain, { ...domain.bundle, sequence: 2 });
    expect(chains.verify(chain, NOW)).not.toBe(first);
    bundles.set(domain.trustDomain, { ...domain.bundle, sequence: 3, x509Authorities: [] });
    expect(() => chains.verify(chain, NOW)).toThrow(code("svid_untrusted"));
    bundles.clear();
    expect(() => chains.verify(chain, NOW)).toThrow(code("trust_domain_unknown"));
  });
});
