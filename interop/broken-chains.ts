/** Chains that nobody may accept, each broken in one way: by an accident, by a careless issuer, or by an attacker. */
import {
  authorityExtensions,
  type ForgedExtension,
  forge,
  leafExtensions,
  purposes,
  uriNames,
} from "@trustwarden/core/agentid/certificate.test.support.ts";
import { OID } from "@trustwarden/core/agentid/certificate-oids.ts";
import { encodeNamedBits } from "@trustwarden/core/agentid/der-writer.ts";
import { createSigner, type Domain, type IssuedSvid, issueSvid } from "./domain.ts";

const HOUR_SECONDS = 3600;

/** A chain, leaf first, and what is wrong with it. */
export interface BrokenChain {
  readonly name: string;
  readonly chain: readonly Uint8Array[];
  /** Unix seconds at which it is shown. */
  readonly at: number;
  /** Why SPIFFE's own library takes it all the same, where it does; ours never does. */
  readonly theyAccept?: string;
}

/** One leaf's worth of extensions. */
interface ForgedLeaf {
  readonly name: string;
  readonly extensions: readonly ForgedExtension[];
  readonly theyAccept?: string;
}

/** Chains that are refused with the bundles of `domain` and of `other`. @param now - Unix seconds. */
export function breakChains(domain: Domain, other: Domain, now: number): readonly BrokenChain[] {
  const svid = issueSvid(domain, ["team", "pay", "inst-1"], now);
  const [leaf = new Uint8Array(), intermediate = new Uint8Array()] = svid.chain;
  const at = now;
  return [
    { name: "expired", chain: svid.chain, at: now + HOUR_SECONDS + 1 },
    { name: "not yet valid", chain: svid.chain, at: now - 60 },
    { name: "without its intermediate", chain: [leaf], at },
    { name: "leaf with one bit flipped", chain: [flipLastBit(leaf), intermediate], at },
    { name: "intermediate with one bit flipped", chain: [leaf, flipLastBit(intermediate)], at },
    { name: "leaf behind another trust domain's intermediate", chain: [leaf, other.intermediate.der], at },
    { name: "X-10 an authority as leaf", chain: [intermediate], at },
    { name: "X-10 issued by a workload", chain: issueByLeaf(svid, now), at },
    ...forgedLeaves(domain, other).map(({ name, extensions, ...rest }) => ({
      name,
      chain: [forgeLeaf(domain, extensions, now), intermediate],
      at,
      ...rest,
    })),
  ];
}

/** A forged chain that is not broken: the forged ones above differ from it in the one thing that they are named for. */
export function forgeSoundChain(domain: Domain, now: number): readonly Uint8Array[] {
  const extensions = Object.values(leafExtensions([`spiffe://${domain.trustDomain}/a`]));
  return [forgeLeaf(domain, extensions, now), domain.intermediate.der];
}

function forgedLeaves(domain: Domain, other: Domain): readonly ForgedLeaf[] {
  const root = `spiffe://${domain.trustDomain}`;
  const good = leafExtensions([`${root}/a`]);
  const without = (oid: string) => Object.values(good).filter((extension) => extension.oid !== oid);
  const named = (...uris: readonly string[]) => Object.values(leafExtensions(uris));
  const usage = (...bits: readonly number[]): ForgedExtension => ({
    oid: OID.keyUsage,
    critical: true,
    value: encodeNamedBits(...bits),
  });
  const clientOnly = { oid: OID.extKeyUsage, value: purposes(OID.clientAuth) };
  const unknown = { oid: "1.3.6.1.4.1.99999.1", critical: true, value: Uint8Array.of(5, 0) };
  return [
    { name: "X-1 with two URIs", extensions: named(`${root}/a`, `${root}/b`) },
    { name: "X-1 without a name", extensions: without(OID.subjectAltName) },
    {
      name: "X-2 without a path",
      extensions: named(root),
      theyAccept: "go-spiffe 2.8.1 does not check a peer's path",
    },
    {
      name: "X-5 without KeyUsage",
      extensions: without(OID.keyUsage),
      theyAccept: "go-spiffe 2.8.1 does not require KeyUsage",
    },
    {
      name: "X-7 for one role of TLS",
      extensions: [...without(OID.extKeyUsage), clientOnly],
      theyAccept: "go-spiffe 2.8.1 takes any extended key usage",
    },
    { name: "X-12 with an unknown critical extension", extensions: [...Object.values(good), unknown] },
    {
      name: "X-13 with cA=true",
      extensions: [...without(OID.basicConstraints), authorityExtensions([]).basicConstraints],
    },
    { name: "X-13 with keyCertSign", extensions: [...without(OID.keyUsage), usage(0, 5)] },
    { name: "X-13 with cRLSign", extensions: [...without(OID.keyUsage), usage(0, 6)] },
    { name: "X-13 with a web address", extensions: named("https://acme.test/a") },
    { name: "X-14 in another trust domain's name", extensions: named(`spiffe://${other.trustDomain}/a`) },
    { name: "ID-10 with a path that climbs", extensions: named(`${root}/a/../b`) },
    {
      name: "ID-9 with a percent-encoded path",
      extensions: [
        ...without(OID.subjectAltName),
        { oid: OID.subjectAltName, value: uriNames([`${root}/%61`]) },
      ],
    },
  ];
}

function forgeLeaf(domain: Domain, extensions: readonly ForgedExtension[], now: number): Uint8Array {
  return forge({
    signer: domain.signers.intermediate,
    issuer: domain.intermediate.subject,
    notBefore: now - 10,
    notAfter: now + HOUR_SECONDS,
    extensions,
  });
}

/** a parent agent plays authority for its child. */
function issueByLeaf(parent: IssuedSvid, now: number): readonly Uint8Array[] {
  const child = forge({
    signer: parent.signer,
    // The name of an SVID is empty, and so is its child's issuer.
    issuer: Uint8Array.of(0x30, 0),
    spki: createSigner().publicKey.export({ type: "spki", format: "der" }),
    notBefore: now - 10,
    notAfter: now + HOUR_SECONDS,
    extensions: Object.values(leafExtensions([`${parent.id}/child`])),
  });
  return [child, ...parent.chain];
}

/** The last byte belongs to the signature. */
function flipLastBit(der: Uint8Array): Uint8Array {
  const copy = new Uint8Array(der);
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
}
