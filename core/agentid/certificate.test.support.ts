/** For tests: a whole trust domain, and a forger that writes any certificate an attacker could. */
import { randomBytes } from "node:crypto";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeUtf8 } from "../bytes.ts";
import { encodeSpki, formatThumbprint } from "../crypto.ts";
import type { Signer } from "../signer.ts";
import { type Authority, createAuthority } from "./authority.ts";
import { OID } from "./certificate-oids.ts";
import { encodeDerSignature } from "./certificate-signature.ts";
import {
  encodeBitString,
  encodeElement,
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOfOne,
  encodeTime,
  encodeTrue,
  encodeUtf8String,
} from "./der-writer.ts";
import { formatSpiffeId, parseTrustDomain } from "./spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "./svid-profile.ts";
import type { TrustBundle } from "./trust-bundle.ts";

/** 2026-11-14T22:13:20Z: the one clock of these tests. */
export const NOW = 1_794_694_400;

export interface TestDomain extends Authority {
  readonly signers: {
    readonly root: Signer;
    readonly intermediate: Signer;
    readonly jwt: Signer;
    readonly wit: Signer;
  };
  readonly witKid: string;
  readonly bundles: ReadonlyMap<Authority["trustDomain"], TrustBundle>;
}

/** A fresh trust domain with its keys. */
export function createTestDomain(name = "acme.test"): TestDomain {
  const signers = {
    root: createTestSigner(),
    intermediate: createTestSigner(),
    jwt: createTestSigner(),
    wit: createTestSigner(),
  };
  const trustDomain = parseTrustDomain(name);
  const authority = createAuthority({
    trustDomain,
    rootSigner: signers.root,
    intermediateSigner: signers.intermediate,
    jwtSigner: signers.jwt,
    random: randomBytes,
    now: NOW,
  });
  const witKid = formatThumbprint(signers.wit.publicKey);
  const bundle = { ...authority.bundle, witAuthorities: new Map([[witKid, signers.wit.publicKey]]) };
  return { ...authority, bundle, witKid, signers, bundles: new Map([[trustDomain, bundle]]) };
}

/** A proper leaf of the domain and its key. */
export function issueTestLeaf(domain: TestDomain, now = NOW) {
  const signer = createTestSigner();
  const id = formatSpiffeId(domain.trustDomain, ["team", "pay", "inst-1"]);
  const der = issueLeafCertificate({
    id,
    spki: encodeSpki(signer.publicKey),
    ca: domain.intermediate,
    signer: domain.signers.intermediate,
    serial: createSerial(randomBytes),
    now,
    notAfter: now + 3600,
  });
  return { id, der, signer };
}

export interface ForgedExtension {
  readonly oid: string;
  readonly critical?: boolean;
  /** DER inside the OCTET STRING. */
  readonly value: Uint8Array;
}

export interface Forgery {
  readonly signer: Signer;
  readonly spki?: Uint8Array;
  readonly issuer?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly extensions: readonly ForgedExtension[];
  readonly version?: Uint8Array;
  readonly serial?: Uint8Array;
  readonly algorithm?: Uint8Array;
  readonly outerAlgorithm?: Uint8Array;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly trailer?: readonly Uint8Array[];
}

export const ES256_ALGORITHM = encodeSequence(encodeOid(OID.ecdsaWithSha256));

/** Any certificate at all, properly signed. */
export function forge(forgery: Forgery): Uint8Array {
  const algorithm = forgery.algorithm ?? ES256_ALGORITHM;
  const tbs = encodeSequence(
    forgery.version ?? encodeExplicit(0, encodeInteger(Uint8Array.of(2))),
    forgery.serial ?? encodeInteger(createSerial(randomBytes)),
    algorithm,
    forgery.issuer ?? nameOf("forger"),
    encodeSequence(encodeTime(forgery.notBefore ?? NOW - 10), encodeTime(forgery.notAfter ?? NOW + 3600)),
    forgery.subject ?? nameOf("forged"),
    forgery.spki ?? encodeSpki(createTestSigner().publicKey),
    ...(forgery.trailer ?? []),
    encodeExplicit(3, encodeSequence(...forgery.extensions.map(encodeForgedExtension))),
  );
  const signature = encodeBitString(encodeDerSignature(forgery.signer.sign(tbs)));
  return encodeSequence(tbs, forgery.outerAlgorithm ?? algorithm, signature);
}

/** The extensions of a good leaf, by name, so that a test replaces or drops one. */
export function leafExtensions(uris: readonly (string | Uint8Array)[]) {
  return {
    basicConstraints: { oid: OID.basicConstraints, critical: true, value: encodeSequence() },
    keyUsage: { oid: OID.keyUsage, critical: true, value: encodeNamedBits(0) },
    extKeyUsage: { oid: OID.extKeyUsage, value: purposes(OID.serverAuth, OID.clientAuth) },
    subjectAltName: { oid: OID.subjectAltName, value: uriNames(uris) },
  };
}

/** The extensions of a good authority. */
export function authorityExtensions(uris: readonly string[], pathLen?: number) {
  const limit = pathLen === undefined ? [] : [encodeInteger(Uint8Array.of(pathLen))];
  return {
    basicConstraints: {
      oid: OID.basicConstraints,
      critical: true,
      value: encodeSequence(encodeTrue(), ...limit),
    },
    keyUsage: { oid: OID.keyUsage, critical: true, value: encodeNamedBits(5, 6) },
    ...(uris.length === 0 ? {} : { subjectAltName: { oid: OID.subjectAltName, value: uriNames(uris) } }),
  };
}

export function purposes(...oids: readonly string[]): Uint8Array {
  return encodeSequence(...oids.map(encodeOid));
}

export function uriNames(uris: readonly (string | Uint8Array)[]): Uint8Array {
  return encodeSequence(
    ...uris.map((uri) => encodeImplicit(6, typeof uri === "string" ? encodeUtf8(uri) : uri)),
  );
}

/** A name with one common name. */
export function nameOf(commonName: string): Uint8Array {
  return encodeSequence(
    encodeSetOfOne(encodeSequence(encodeOid(OID.commonName), encodeUtf8String(commonName))),
  );
}

/** `depth` sequences, one inside the other. */
export function nested(depth: number): Uint8Array {
  let der: Uint8Array = new Uint8Array(0);
  for (let level = 0; level < depth && der.length < 65_000; level += 1) der = encodeElement(0x30, der);
  return der;
}

function encodeForgedExtension({ oid, critical, value }: ForgedExtension): Uint8Array {
  return encodeSequence(encodeOid(oid), ...(critical ? [encodeTrue()] : []), encodeOctetString(value));
}
