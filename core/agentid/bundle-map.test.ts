import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import { parseJsonObject } from "../json.ts";
import { formatBundleMap, MAX_BUNDLES, parseBundleMap } from "./bundle-map.ts";
import { createTestDomain } from "./certificate.test.support.ts";
import { parseTrustDomain } from "./spiffe-id.ts";
import { formatTrustBundle } from "./trust-bundle.ts";

const own = createTestDomain();
const partner = createTestDomain("partner.test");
const code = (name: string) => expect.objectContaining({ code: name });
const documentOf = ({ bundle }: typeof own) => parseJsonObject(formatTrustBundle(bundle));
const both = formatBundleMap(
  new Map([
    [own.trustDomain, documentOf(own)],
    [partner.trustDomain, documentOf(partner)],
  ]),
);

describe("bundle maps", () => {
  it("B-8 keep each bundle under its own name, and give back what was written", () => {
    const bundles = parseBundleMap(both);
    expect([...bundles.keys()].sort()).toEqual([own.trustDomain, partner.trustDomain].sort());
    for (const domain of [own, partner]) {
      const bundle = bundles.get(domain.trustDomain);
      expect(bundle && formatTrustBundle(bundle)).toBe(formatTrustBundle(domain.bundle));
    }
  });

  it("B-8 refuse a name that appears twice, also when it is spelled with an escape", () => {
    const bundle = '{"keys":[]}';
    for (const again of ["partner.test", "partn\\u0065r.test"]) {
      const text = `{"trust_domains":{"partner.test":${bundle},"${again}":${bundle}}}`;
      expect(() => parseBundleMap(text), again).toThrow(code("json_duplicate_key"));
    }
    const twice = `{"trust_domains":{},"trust_domains":{"partner.test":${bundle}}}`;
    expect(() => parseBundleMap(twice)).toThrow(code("json_duplicate_key"));
  });

  it("B-8 need trust_domains, which may be empty", () => {
    expect(parseBundleMap('{"trust_domains":{}}').size).toBe(0);
    for (const text of [
      "{}",
      '{"trust_domains":[]}',
      '{"trust_domains":null}',
      '{"trust_domains":{"a":1}}',
    ]) {
      expect(() => parseBundleMap(text), text).toThrow(code("bundle_malformed"));
    }
  });

  it("refuse a name that is no trust domain, and one bundle that is malformed", () => {
    expect(() => parseBundleMap('{"trust_domains":{"Partner.test":{"keys":[]}}}')).toThrow(
      code("spiffe_id_malformed"),
    );
    expect(() => parseBundleMap('{"trust_domains":{"partner.test":{"keys":1}}}')).toThrow(
      code("bundle_malformed"),
    );
  });

  it("hold so many trust domains and not one more", () => {
    const mapOf = (count: number) =>
      formatBundleMap(
        new Map(Array.from({ length: count }, (_, index) => [parseTrustDomain(`d${index}`), { keys: [] }])),
      );
    expect(parseBundleMap(mapOf(MAX_BUNDLES)).size).toBe(MAX_BUNDLES);
    expect(() => parseBundleMap(mapOf(MAX_BUNDLES + 1))).toThrow(code("bundle_malformed"));
  });

  it("are refused with one of our codes, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseBundleMap(text);
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });
});
