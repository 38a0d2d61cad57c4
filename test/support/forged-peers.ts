/** Peers with keys of their own, each sound or broken in one way, under names of the client suite's catalogue. */
import {
  authorityExtensions,
  type ForgedExtension,
  forge,
  leafExtensions,
  uriNames,
} from "@trustwarden/core/agentid/certificate.test.support.ts";
import { OID } from "@trustwarden/core/agentid/certificate-oids.ts";
import { encodeImplicit, encodeNamedBits, encodeSequence } from "@trustwarden/core/agentid/der-writer.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { createSigner, type Domain, type OpenSigner } from "../../interop/domain.ts";

const HOUR_SECONDS = 3600;
const EMPTY_NAME = Uint8Array.of(0x30, 0);

export interface Peer {
  readonly name: string;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly signer: OpenSigner;
}

/** One leaf to be made; by the domain's intermediate unless it says so. */
interface Wanted {
  readonly extensions: readonly ForgedExtension[];
  readonly subject?: Uint8Array;
  readonly isByRoot?: boolean;
}

/** Leaves of the id that everybody accepts. @param now - Unix seconds. */
export function forgeSoundPeers(domain: Domain, id: string, now: number): readonly Peer[] {
  const good = leafExtensions([id]);
  const names = encodeSequence(
    encodeImplicit(2, Buffer.from("web.ours.test")),
    encodeImplicit(6, Buffer.from(id)),
    encodeImplicit(2, Buffer.from("*.ours.test")),
  );
  const wanted: Readonly<Record<string, Wanted>> = {
    "XV-1 issued by the root itself": { extensions: Object.values(good), isByRoot: true },
    "XV-2 issued by an intermediate": { extensions: Object.values(good) },
    "XV-3 with DNS names beside its id": {
      extensions: Object.values({ ...good, subjectAltName: { oid: OID.subjectAltName, value: names } }),
    },
    "XV-4 with an empty subject and a critical name": {
      extensions: Object.values({ ...good, subjectAltName: { ...good.subjectAltName, critical: true } }),
      subject: EMPTY_NAME,
    },
  };
  return Object.entries(wanted).map(([name, one]) => forgePeer(domain, { name, now, ...one }));
}

/** Leaves that nobody may accept under the bundles of both domains. @param now - Unix seconds. */
export function forgeBrokenPeers(domain: Domain, other: Domain, now: number): readonly Peer[] {
  const root = `spiffe://${domain.trustDomain}`;
  const good = leafExtensions([`${root}/a`]);
  const named = (...uris: readonly string[]) => Object.values(leafExtensions(uris));
  const usage = (...bits: readonly number[]) =>
    Object.values({
      ...good,
      keyUsage: { oid: OID.keyUsage, critical: true, value: encodeNamedBits(...bits) },
    });
  const noUri = {
    oid: OID.subjectAltName,
    value: encodeSequence(encodeImplicit(2, Buffer.from("ours.test"))),
  };
  const wanted: Readonly<Record<string, readonly ForgedExtension[]>> = {
    "XV-8 with cA=true": Object.values({
      ...good,
      basicConstraints: authorityExtensions([]).basicConstraints,
    }),
    "XV-9 with keyCertSign": usage(0, 5),
    "XV-10 with cRLSign": usage(0, 6),
    "XV-11 with two URIs": named(`${root}/a`, `${root}/b`),
    "XV-11 with one URI twice": named(`${root}/a`, `${root}/a`),
    "XV-12 without a URI": Object.values({ ...good, subjectAltName: noUri }),
    "XV-13 with a web address": named(`https://${domain.trustDomain}/a`),
    "XV-14 without a path": named(root),
    "XV-15 in another trust domain's name": named(`spiffe://${other.trustDomain}/a`),
    "ID-1 with a path that climbs": named(`${root}/a/../b`),
    "ID-1 with a percent-encoded path": Object.values({
      ...good,
      subjectAltName: { oid: OID.subjectAltName, value: uriNames([`${root}/%61`]) },
    }),
  };
  return Object.entries(wanted).map(([name, extensions]) => forgePeer(domain, { name, now, extensions }));
}

/** A root of a kind of key that we do not verify with. */
export function forgeRsaAuthority(spki: Uint8Array, now: number): Uint8Array {
  const extensions = Object.values(authorityExtensions([]));
  return forge({
    signer: createSigner(),
    spki,
    extensions,
    notBefore: now - 10,
    notAfter: now + HOUR_SECONDS,
  });
}

function forgePeer(
  domain: Domain,
  {
    name,
    now,
    extensions,
    subject,
    isByRoot = false,
  }: Wanted & { readonly name: string; readonly now: number },
): Peer {
  const signer = createSigner();
  const issuer = isByRoot ? domain.root : domain.intermediate;
  const leaf = forge({
    signer: isByRoot ? domain.signers.root : domain.signers.intermediate,
    issuer: issuer.subject,
    spki: encodeSpki(signer.publicKey),
    ...(subject === undefined ? {} : { subject }),
    extensions,
    notBefore: now - 10,
    notAfter: now + HOUR_SECONDS,
  });
  return { name, chain: isByRoot ? [leaf] : [leaf, domain.intermediate.der], signer };
}
