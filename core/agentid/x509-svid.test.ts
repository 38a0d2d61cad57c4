import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeUtf8 } from "../bytes.ts";
import { encodeSpki } from "../crypto.ts";
import type { Signer } from "../signer.ts";
import {
  authorityExtensions,
  createTestDomain,
  type ForgedExtension,
  type Forgery,
  forge,
  issueTestLeaf,
  leafExtensions,
  NOW,
  nameOf,
  purposes,
  uriNames,
} from "./certificate.test.support.ts";
import { parseCertificate } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import { encodeImplicit, encodeNamedBits, encodeOctetString, encodeSequence } from "./der-writer.ts";
import type { TrustDomain } from "./spiffe-id.ts";
import type { TrustBundle } from "./trust-bundle.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const other = createTestDomain("other.test");
const { der: leafDer, id, signer: leafSigner } = issueTestLeaf(domain);
const intermediateDer = domain.intermediate.der;
const URI = "spiffe://acme.test/team/pay";
const code = (name: string) => expect.objectContaining({ code: name });
const verify = (chain: readonly Uint8Array[], now = NOW) => verifyX509Svid(chain, domain.bundles, now);

/** A certificate that the real intermediate really signed, with whatever the test puts in. */
function signedLeaf(
  change: Partial<Forgery> & {
    readonly uris?: readonly (string | Uint8Array)[];
    readonly without?: string;
    readonly replace?: Record<string, ForgedExtension>;
  } = {},
) {
  const { uris = [URI], without, replace = {}, ...rest } = change;
  const extensions = Object.entries({ ...leafExtensions(uris), ...replace })
    .filter(([name]) => name !== without)
    .map(([, extension]) => extension);
  return forge({
    signer: domain.signers.intermediate,
    issuer: domain.intermediate.subject,
    ...rest,
    extensions,
  });
}

function bundleOf(authorities: readonly Uint8Array[]): ReadonlyMap<TrustDomain, TrustBundle> {
  const bundle = { ...domain.bundle, x509Authorities: authorities.map(parseCertificate) };
  return new Map([[domain.trustDomain, bundle]]);
}

describe("verifyX509Svid", () => {
  it("proves a leaf with its intermediate, and with the root sent along", () => {
    expect(verify([leafDer, intermediateDer]).id).toBe(id);
    expect(verify([leafDer, intermediateDer, domain.root.der]).chain).toHaveLength(3);
    expect(verify([leafDer, intermediateDer]).leaf.der).toEqual(new Uint8Array(leafDer));
  });

  it("proves a leaf whose intermediate is itself an authority of the bundle", () => {
    expect(verifyX509Svid([leafDer], bundleOf([intermediateDer]), NOW).id).toBe(id);
    expect(verifyX509Svid([leafDer, intermediateDer], bundleOf([intermediateDer]), NOW).id).toBe(id);
  });

  it("accepts the forger's base case, so that each refusal below is for the one thing changed", () => {
    expect(verify([signedLeaf(), intermediateDer]).id).toBe(URI);
  });

  it("refuses an empty chain and one of more than four", () => {
    expect(() => verify([])).toThrow(code("no_svid"));
    const root = domain.root.der;
    expect(verify([leafDer, intermediateDer, root, root]).id).toBe(id);
    expect(() => verify([leafDer, intermediateDer, root, root, root])).toThrow(code("svid_malformed"));
  });

  it("refuses a missing intermediate, a wrong order, and strangers behind the proof", () => {
    const untrusted = code("svid_untrusted");
    expect(() => verify([leafDer])).toThrow(untrusted);
    expect(() => verify([leafDer, domain.root.der])).toThrow(untrusted);
    expect(() => verify([leafDer, domain.root.der, intermediateDer])).toThrow(untrusted);
    expect(() => verify([leafDer, intermediateDer, other.root.der])).toThrow(untrusted);
    expect(() => verify([leafDer, intermediateDer, leafDer])).toThrow(untrusted);
  });

  it("X-1 and D7 refuse no URI, two URIs, and an id that is only in the common name", () => {
    const malformed = code("svid_malformed");
    expect(() => verify([signedLeaf({ uris: [URI, "spiffe://acme.test/admin"] }), intermediateDer])).toThrow(
      malformed,
    );
    expect(() => verify([signedLeaf({ uris: [URI, URI] }), intermediateDer])).toThrow(malformed);
    const nameOnly = { without: "subjectAltName", subject: nameOf(URI) };
    expect(() => verify([signedLeaf(nameOnly), intermediateDer])).toThrow(malformed);
    const dns = encodeSequence(encodeImplicit(2, encodeUtf8("acme.test")));
    const dnsOnly = { replace: { subjectAltName: { oid: OID.subjectAltName, value: dns } } };
    expect(() => verify([signedLeaf(dnsOnly), intermediateDer])).toThrow(malformed);
  });

  it("X-1 accepts other kinds of names beside the one URI", () => {
    const names = encodeSequence(
      encodeImplicit(2, encodeUtf8("pay.acme.test")),
      encodeImplicit(6, encodeUtf8(URI)),
    );
    const leaf = signedLeaf({ replace: { subjectAltName: { oid: OID.subjectAltName, value: names } } });
    expect(verify([leaf, intermediateDer]).id).toBe(URI);
  });

  it("D7 refuses NUL, upper case, percent, trailing slash, 2049 bytes and other schemes in the URI", () => {
    const uris = [
      "spiffe://acme.test/a\0.evil",
      "spiffe://ACME.test/a",
      "SPIFFE://acme.test/a",
      "spiffe://acme.test/a%2fb",
      "spiffe://acme.test/a/",
      "spiffe://acme.test/a//b",
      "spiffe://acme.test/../a",
      "https://acme.test/a",
      `spiffe://acme.test/${"a".repeat(2049 - 19)}`,
    ];
    for (const uri of uris) {
      expect(() => verify([signedLeaf({ uris: [uri] }), intermediateDer]), uri.slice(0, 40)).toThrow(
        code("svid_malformed"),
      );
    }
    const longest = `spiffe://acme.test/${"a".repeat(2048 - 19)}`;
    expect(verify([signedLeaf({ uris: [longest] }), intermediateDer]).id).toBe(longest);
  });

  it("X-2 and D7 refuse the id of the trust domain itself", () => {
    expect(() => verify([signedLeaf({ uris: ["spiffe://acme.test"] }), intermediateDer])).toThrow(
      code("svid_malformed"),
    );
  });

  it("X-3 refuses an empty subject unless the name is critical", () => {
    const empty = { subject: encodeSequence() };
    expect(() => verify([signedLeaf(empty), intermediateDer])).toThrow(code("svid_malformed"));
    const critical = { oid: OID.subjectAltName, critical: true, value: uriNames([URI]) };
    expect(
      verify([signedLeaf({ ...empty, replace: { subjectAltName: critical } }), intermediateDer]).id,
    ).toBe(URI);
  });

  it("X-4 and X-13 refuse a leaf that is an authority; without BasicConstraints it is none", () => {
    const { basicConstraints } = authorityExtensions([]);
    expect(() => verify([signedLeaf({ replace: { basicConstraints } }), intermediateDer])).toThrow(
      code("svid_malformed"),
    );
    expect(verify([signedLeaf({ without: "basicConstraints" }), intermediateDer]).id).toBe(URI);
  });

  it("X-5, X-6 and X-13 refuse key usages that the profile forbids", () => {
    const usage = (critical: boolean, ...bits: number[]) => ({
      replace: { keyUsage: { oid: OID.keyUsage, critical, value: encodeNamedBits(...bits) } },
    });
    const malformed = code("svid_malformed");
    expect(() => verify([signedLeaf({ without: "keyUsage" }), intermediateDer])).toThrow(malformed);
    expect(() => verify([signedLeaf(usage(false, 0)), intermediateDer])).toThrow(malformed);
    for (const bits of [[2], [0, 5], [0, 6], [5], [0, 5, 6]]) {
      expect(() => verify([signedLeaf(usage(true, ...bits)), intermediateDer]), `${bits}`).toThrow(malformed);
    }
    expect(verify([signedLeaf(usage(true, 0, 2, 4)), intermediateDer]).id).toBe(URI);
  });

  it("X-7 refuses an extended key usage that lacks one of the roles, and accepts none at all", () => {
    const usage = (...oids: string[]) => ({
      replace: { extKeyUsage: { oid: OID.extKeyUsage, value: purposes(...oids) } },
    });
    for (const oids of [[OID.serverAuth], [OID.clientAuth], ["1.3.6.1.5.5.7.3.3"]]) {
      expect(() => verify([signedLeaf(usage(...oids)), intermediateDer]), `${oids}`).toThrow(
        code("svid_malformed"),
      );
    }
    expect(
      verify([signedLeaf(usage(OID.clientAuth, "1.3.6.1.5.5.7.3.3", OID.serverAuth)), intermediateDer]).id,
    ).toBe(URI);
    expect(verify([signedLeaf({ without: "extKeyUsage" }), intermediateDer]).id).toBe(URI);
  });

  it("X-10 refuses an authority's certificate as an identity", () => {
    expect(() => verify([intermediateDer])).toThrow(code("svid_malformed"));
    expect(() => verify([domain.root.der])).toThrow(code("svid_malformed"));
  });

  it("X-12 refuses altered bytes, another key's signature, and a wrong key identifier", () => {
    const untrusted = code("svid_untrusted");
    const altered = leafDer.slice();
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(() => verify([altered, intermediateDer])).toThrow(untrusted);
    expect(() => verify([signedLeaf({ signer: createTestSigner() }), intermediateDer])).toThrow(untrusted);
    const aki = (key: Uint8Array) => ({
      aki: { oid: OID.authorityKeyIdentifier, value: encodeSequence(encodeImplicit(0, key)) },
    });
    expect(() => verify([signedLeaf({ replace: aki(domain.root.ski) }), intermediateDer])).toThrow(untrusted);
    expect(verify([signedLeaf({ replace: aki(domain.intermediate.ski) }), intermediateDer]).id).toBe(URI);
  });

  it("ID-17 signs the id and the public key: no bit of either can be changed", () => {
    const { spki } = parseCertificate(leafDer);
    const der = Buffer.from(leafDer);
    for (const part of [encodeUtf8(id), spki.subarray(-64)]) {
      const start = der.indexOf(part);
      expect(start).toBeGreaterThan(0);
      for (let offset = 0; offset < part.length; offset += 1) {
        const altered = leafDer.slice();
        altered[start + offset] = (altered[start + offset] ?? 0) ^ 1;
        expect(() => verify([altered, intermediateDer]), `byte ${offset}`).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^svid_|^trust_domain_unknown$/) }),
        );
      }
    }
  });

  it("X-12 refuses a forged signature directly under an authority of the bundle, at every place of the chain", () => {
    const untrusted = code("svid_untrusted");
    const forgedLeaf = signedLeaf({ signer: createTestSigner() });
    expect(() => verifyX509Svid([forgedLeaf], bundleOf([intermediateDer]), NOW)).toThrow(untrusted);
    const stranger = createTestSigner();
    const forgedIntermediate = forge({
      signer: stranger,
      issuer: domain.root.subject,
      subject: domain.intermediate.subject,
      spki: encodeSpki(stranger.publicKey),
      extensions: Object.values(authorityExtensions(["spiffe://acme.test"], 0)),
    });
    expect(() => verify([signedLeaf({ signer: stranger }), forgedIntermediate])).toThrow(untrusted);
  });

  it("X-12 refuses another issuer's name over the right signature", () => {
    expect(() => verify([signedLeaf({ issuer: domain.root.subject }), intermediateDer])).toThrow(
      code("svid_untrusted"),
    );
  });

  it("X-12 is valid from notBefore until one second before notAfter", () => {
    const window = { notBefore: NOW - 5, notAfter: NOW + 5 };
    const chain = [signedLeaf(window), intermediateDer];
    expect(verify(chain, NOW - 5).id).toBe(URI);
    expect(verify(chain, NOW + 4).id).toBe(URI);
    expect(() => verify(chain, NOW - 6)).toThrow(code("svid_not_yet_valid"));
    expect(() => verify(chain, NOW + 5)).toThrow(code("svid_expired"));
    expect(() => verify(chain, Number.NaN)).toThrow(code("svid_expired"));
  });

  it("X-12 refuses a leaf that outlives its intermediate or its root", () => {
    const long = signedLeaf({ notAfter: domain.root.notAfter + 100 });
    expect(verify([long, intermediateDer], domain.intermediate.notAfter - 1).id).toBe(URI);
    expect(() => verify([long, intermediateDer], domain.intermediate.notAfter)).toThrow(code("svid_expired"));
    const shortRoot = forgeAuthority({ notAfter: NOW + 10 });
    const leaf = under(shortRoot);
    expect(verifyX509Svid([leaf], bundleOf([shortRoot.der]), NOW + 9).id).toBe(URI);
    expect(() => verifyX509Svid([leaf], bundleOf([shortRoot.der]), NOW + 10)).toThrow(code("svid_expired"));
  });

  it("X-10 and D8 refuse what a leaf signed, also with the real chain behind it", () => {
    const evil = forge({
      signer: leafSigner,
      issuer: parseCertificate(leafDer).subject,
      extensions: Object.values(leafExtensions(["spiffe://acme.test/admin"])),
    });
    const untrusted = code("svid_untrusted");
    expect(() => verify([evil, leafDer, intermediateDer])).toThrow(untrusted);
    expect(() => verify([evil, leafDer])).toThrow(untrusted);
    expect(() => verify([evil])).toThrow(untrusted);
    // Nothing but the issuer's profile stands in the way where no path length does.
    const unlimited = forgeAuthority({});
    const signer = createTestSigner();
    const subject = nameOf("leaf");
    const extensions = Object.values(leafExtensions([URI]));
    const spki = encodeSpki(signer.publicKey);
    const leaf = forge({ signer: unlimited.signer, issuer: unlimited.subject, subject, spki, extensions });
    expect(verifyX509Svid([leaf], bundleOf([unlimited.der]), NOW).id).toBe(URI);
    const below = under({ der: leaf, signer, subject });
    expect(() => verifyX509Svid([below, leaf], bundleOf([unlimited.der]), NOW)).toThrow(untrusted);
    // Even a careless operator who put a leaf into the bundle does not make it an authority.
    expect(() => verifyX509Svid([evil, leafDer], bundleOf([leafDer]), NOW)).toThrow(untrusted);
  });

  it("X-8 and X-12 refuse an issuer without cA, keyCertSign, critical extensions, or with the wrong purposes", () => {
    const { basicConstraints, keyUsage } = authorityExtensions([]);
    const bad: readonly Forgery["extensions"][] = [
      [keyUsage],
      [basicConstraints],
      [{ ...basicConstraints, value: encodeSequence() }, keyUsage],
      [{ ...basicConstraints, critical: false }, keyUsage],
      [basicConstraints, { ...keyUsage, critical: false }],
      [basicConstraints, { ...keyUsage, value: encodeNamedBits(0) }],
      [basicConstraints, { ...keyUsage, value: encodeNamedBits(6) }],
      [basicConstraints, keyUsage, { oid: OID.extKeyUsage, value: purposes("1.3.6.1.5.5.7.3.3") }],
    ];
    for (const [index, extensions] of bad.entries()) {
      const authority = forgeAuthority({ extensions });
      expect(() => verifyX509Svid([under(authority)], bundleOf([authority.der]), NOW), `${index}`).toThrow(
        code("svid_untrusted"),
      );
    }
    const good = forgeAuthority({ extensions: [basicConstraints, keyUsage] });
    expect(verifyX509Svid([under(good)], bundleOf([good.der]), NOW).id).toBe(URI);
  });

  it("X-9 refuses an issuer with a workload's id or with another trust domain's", () => {
    for (const uri of ["spiffe://acme.test/ca", "spiffe://other.test", "https://acme.test"]) {
      const authority = forgeAuthority({ extensions: Object.values(authorityExtensions([uri])) });
      expect(() => verifyX509Svid([under(authority)], bundleOf([authority.der]), NOW), uri).toThrow(
        code("svid_untrusted"),
      );
    }
    const own = forgeAuthority({ extensions: Object.values(authorityExtensions(["spiffe://acme.test"])) });
    expect(verifyX509Svid([under(own)], bundleOf([own.der]), NOW).id).toBe(URI);
  });

  it("X-12 counts the path length: one intermediate too many is refused", () => {
    for (const [pathLen, isAccepted] of [
      [0, false],
      [1, true],
    ] as const) {
      const root = forgeAuthority({ extensions: Object.values(authorityExtensions([], pathLen)) });
      const middle = forgeAuthority({ parent: root, extensions: Object.values(authorityExtensions([], 0)) });
      const chain = [under(middle), middle.der];
      if (isAccepted) expect(verifyX509Svid(chain, bundleOf([root.der]), NOW).id).toBe(URI);
      else expect(() => verifyX509Svid(chain, bundleOf([root.der]), NOW)).toThrow(code("svid_untrusted"));
    }
    const signer = createTestSigner();
    const sub = forge({
      signer: domain.signers.intermediate,
      issuer: domain.intermediate.subject,
      subject: nameOf("sub"),
      spki: encodeSpki(signer.publicKey),
      extensions: Object.values(authorityExtensions([])),
    });
    const leaf = under({ der: sub, signer, subject: nameOf("sub") });
    expect(() => verify([leaf, sub, intermediateDer])).toThrow(code("svid_untrusted"));
  });

  it("X-14 proves an id against the bundle of its own trust domain only", () => {
    const both = new Map([...domain.bundles, ...other.bundles]);
    const foreign = issueTestLeaf(other);
    expect(verifyX509Svid([foreign.der, other.intermediate.der], both, NOW).id).toBe(foreign.id);
    // Another trust domain's authority signs an id of ours.
    const forged = forge({
      signer: other.signers.intermediate,
      issuer: other.intermediate.subject,
      extensions: Object.values(leafExtensions([URI])),
    });
    expect(() => verifyX509Svid([forged, other.intermediate.der], both, NOW)).toThrow(code("svid_untrusted"));
    expect(() => verify([foreign.der, other.intermediate.der])).toThrow(code("trust_domain_unknown"));
    const swapped = new Map([[domain.trustDomain, other.bundle]]);
    expect(() => verifyX509Svid([leafDer, intermediateDer], swapped, NOW)).toThrow(
      code("trust_domain_unknown"),
    );
  });

  it("B-1 trusts nobody when the bundle is empty", () => {
    expect(() => verifyX509Svid([leafDer, intermediateDer], bundleOf([]), NOW)).toThrow(
      code("svid_untrusted"),
    );
  });

  it("tries every authority of the bundle during a rotation", () => {
    const next = createTestDomain();
    const rotating = bundleOf([next.root.der, domain.root.der]);
    expect(verifyX509Svid([leafDer, intermediateDer], rotating, NOW).id).toBe(id);
    const later = issueTestLeaf(next);
    expect(verifyX509Svid([later.der, next.intermediate.der], rotating, NOW).id).toBe(later.id);
  });

  it("X-17 tells two authorities of one name apart by trying both", () => {
    const first = forgeAuthority({});
    const second = forgeAuthority({});
    expect(verifyX509Svid([under(second)], bundleOf([first.der, second.der]), NOW).id).toBe(URI);
  });

  it("refuses bytes that are no certificate anywhere in the chain", () => {
    for (const chain of [[encodeOctetString(new Uint8Array(9))], [leafDer, new Uint8Array(0)]]) {
      expect(() => verify(chain)).toThrow(code("svid_malformed"));
    }
  });
});

interface ForgedAuthority {
  readonly der: Uint8Array;
  readonly signer: Signer;
  readonly subject: Uint8Array;
}

/** A self-signed authority, or one below `parent`. */
function forgeAuthority(change: Partial<Forgery> & { readonly parent?: ForgedAuthority }): ForgedAuthority {
  const { parent, ...rest } = change;
  const signer = createTestSigner();
  const subject = nameOf(parent ? "middle" : "authority");
  const der = forge({
    signer: parent?.signer ?? signer,
    issuer: parent?.subject ?? subject,
    subject,
    spki: encodeSpki(signer.publicKey),
    extensions: Object.values(authorityExtensions([])),
    notBefore: NOW - 100,
    notAfter: NOW + 10_000,
    ...rest,
  });
  return { der, signer, subject };
}

/** A good leaf below a forged authority. */
function under(authority: ForgedAuthority): Uint8Array {
  return forge({
    signer: authority.signer,
    issuer: authority.subject,
    extensions: Object.values(leafExtensions([URI])),
  });
}
