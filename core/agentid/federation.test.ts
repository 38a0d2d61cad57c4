import { describe, expect, it } from "vitest";
import { createTestDomain } from "./certificate.test.support.ts";
import {
  parseFederationEndpoint,
  refreshSecondsOf,
  requireNotOlder,
  requireOwnClaims,
  type UnverifiedEndpoint,
} from "./federation.ts";

const own = createTestDomain();
const partner = createTestDomain("partner.test");
const { trustDomain, bundle } = partner;
const code = (name: string) => expect.objectContaining({ code: name });
const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const web = {
  profile: "https_web",
  url: "https://partner.test/bundle",
  endpointSpiffeId: null,
  webCa: null,
} as const;
const spiffe = {
  profile: "https_spiffe",
  url: "https://127.0.0.1:8443/bundle",
  endpointSpiffeId: "spiffe://partner.test/spire/server",
  webCa: null,
} as const;
const parse = (asked: UnverifiedEndpoint) => parseFederationEndpoint(asked, trustDomain);

describe("a federation endpoint", () => {
  it("F-7 is an address, a profile and what proves it, all of them told", () => {
    expect(parse({ ...web, webCa: pem })).toEqual({ profile: "https_web", url: web.url, webCa: pem });
    expect(parse(spiffe)).toEqual({
      profile: "https_spiffe",
      url: spiffe.url,
      spiffeId: "spiffe://partner.test/spire/server",
    });
    expect(() => parse({ ...spiffe, endpointSpiffeId: null })).toThrow(code("federation_malformed"));
    expect(() => parse({ ...web, endpointSpiffeId: spiffe.endpointSpiffeId })).toThrow(
      code("federation_malformed"),
    );
    expect(() => parse({ ...spiffe, webCa: pem })).toThrow(code("federation_malformed"));
    expect(() => parse({ ...web, webCa: "none" })).toThrow(code("federation_malformed"));
  });

  it.each([
    "http://partner.test/bundle",
    "https://user@partner.test/",
    "https://:secret@partner.test/",
    "https://partner.test/#x",
    "partner.test",
    "",
    `https://partner.test/${"a".repeat(2048)}`,
  ])("F-2 is plain https: %s is refused", (url) => {
    expect(() => parse({ ...web, url })).toThrow(code("federation_malformed"));
  });

  it("F-4 is named in the federated trust domain itself, and is not the trust domain", () => {
    for (const endpointSpiffeId of ["spiffe://acme.test/spire/server", "spiffe://partner.test"]) {
      expect(() => parse({ ...spiffe, endpointSpiffeId })).toThrow(code("federation_malformed"));
    }
    expect(() => parse({ ...spiffe, endpointSpiffeId: "partner.test" })).toThrow(code("spiffe_id_malformed"));
  });

  it("F-8 is asked at the refresh hint, within a minute and an hour", () => {
    for (const [hint, seconds] of [
      [0, 60],
      [59, 60],
      [61, 61],
      [300, 300],
      [3600, 3600],
      [86_400, 3600],
    ] as const) {
      expect(refreshSecondsOf({ ...bundle, refreshHintSeconds: hint })).toBe(seconds);
    }
  });
});

describe("a federated bundle", () => {
  it("speaks for its own trust domain only", () => {
    requireOwnClaims(bundle, [own.bundle]);
    const claimed = { ...own.bundle, trustDomain };
    expect(() => requireOwnClaims(claimed, [])).toThrow(code("federation_bundle_refused"));
  });

  it("B-9 shares no key with another trust domain, of either kind", () => {
    const unnamed = own.bundle.x509Authorities.map((authority) => ({ ...authority, uris: [] }));
    const x509 = { ...bundle, x509Authorities: unnamed };
    expect(() => requireOwnClaims(x509, [own.bundle])).toThrow(code("federation_bundle_refused"));
    const jwt = { ...bundle, jwtAuthorities: own.bundle.jwtAuthorities };
    expect(() => requireOwnClaims(jwt, [own.bundle])).toThrow(code("federation_bundle_refused"));
    requireOwnClaims(bundle, [bundle, own.bundle]);
  });

  it("B-2 is not older than the one at hand, and says when it differs", () => {
    const other = { ...bundle, jwtAuthorities: new Map() };
    expect(requireNotOlder(bundle, undefined)).toEqual({ isNew: true });
    expect(requireNotOlder(bundle, bundle)).toEqual({ isNew: false });
    expect(requireNotOlder({ ...bundle, sequence: 2 }, bundle)).toEqual({ isNew: true });
    expect(requireNotOlder({ ...other, sequence: 2 }, bundle)).toEqual({ isNew: true });
    expect(() => requireNotOlder(bundle, { ...bundle, sequence: 2 })).toThrow(code("federation_rollback"));
    expect(() => requireNotOlder(other, bundle)).toThrow(code("federation_rollback"));
  });

  it("may change freely while it has no sequence", () => {
    const without = { ...bundle, sequence: 0 };
    expect(requireNotOlder({ ...without, jwtAuthorities: new Map() }, without)).toEqual({ isNew: true });
  });
});
