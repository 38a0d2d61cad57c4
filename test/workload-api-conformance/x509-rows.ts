/** The X.509 profile as a black box shows it: the SVIDs of `FetchX509SVID` and the bundles beside them. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import type { X509Svid } from "./api.ts";
import { type Certificate, splitCertificates } from "./certificates.ts";
import { type Bench, NotSeen, type Row, requireThat } from "./row.ts";

const MAX_HINT_BYTES = 1024;
const MAX_ID_BYTES = 2048;
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}((\/[a-zA-Z0-9._-]+)*)$/;

interface ReadSvid extends X509Svid {
  readonly leaf: Certificate;
  readonly chain: readonly Certificate[];
  readonly authorities: readonly Certificate[];
}

/** Each SVID with its certificates. */
function readSvids({ snapshot }: Bench): readonly ReadSvid[] {
  return snapshot.x509.svids.map((svid) => {
    const chain = splitCertificates(svid.x509Svid);
    const [leaf] = chain;
    requireThat(leaf !== undefined, `${svid.spiffeId}: no certificate`);
    return { ...svid, chain, leaf, authorities: splitCertificates(svid.bundle) };
  });
}

/** Holds a rule for every SVID, and says over how many. */
function eachSvid(bench: Bench, hold: (svid: ReadSvid) => void): string {
  const svids = readSvids(bench);
  for (const svid of svids) hold(svid);
  return `${svids.length} SVID(s)`;
}

/** True for `spiffe://td` and `spiffe://td/path` without empty or dot segments. */
export function isSpiffeId(id: string): boolean {
  const path = SPIFFE_ID.exec(id)?.[1];
  if (path === undefined || Buffer.byteLength(id) > MAX_ID_BYTES) return false;
  return !path.split("/").some((segment) => segment === "." || segment === "..");
}

/** `spiffe://td` of an id. */
export function domainOf(id: string): string {
  return id.split("/").slice(0, 3).join("/");
}

const deliveryRows: readonly Row[] = [
  {
    id: "A-6a",
    level: "M",
    text: "FetchX509SVID answers with at least one SVID, each with an id, a chain, a key and a bundle",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, x509Svid, x509SvidKey, bundle }) =>
        requireThat(
          spiffeId !== "" && x509Svid.length > 0 && x509SvidKey.length > 0 && bundle.length > 0,
          `${spiffeId || "an SVID"}: a mandatory field is empty`,
        ),
      ),
  },
  {
    id: "A-6b",
    level: "M",
    text: "the chain is concatenated DER, leaf first, and each certificate is signed by the next",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, chain }) => {
        for (const [index, certificate] of chain.entries()) {
          const issuer = chain[index + 1];
          requireThat(
            issuer === undefined || certificate.isSignedBy(issuer),
            `${spiffeId}: certificate ${index} is not signed by the one after it`,
          );
        }
      }),
  },
  {
    id: "A-6c",
    level: "M",
    text: "the key is unencrypted PKCS#8 DER and belongs to the leaf",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf, x509SvidKey }) => {
        const key = createPrivateKey({ key: Buffer.from(x509SvidKey), format: "der", type: "pkcs8" });
        requireThat(createPublicKey(key).equals(leaf.publicKey), `${spiffeId}: the key is not the leaf's`);
      }),
  },
  {
    id: "A-6d",
    level: "M",
    text: "the bundle is concatenated DER of authorities only, and the chain ends at one of them",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, chain, authorities }) => {
        requireThat(authorities.length > 0, `${spiffeId}: an empty bundle`);
        requireThat(
          authorities.every(({ isAuthority }) => isAuthority === true),
          `${spiffeId}: a certificate in the bundle is not an authority`,
        );
        const last = chain.at(-1);
        requireThat(
          last !== undefined && authorities.some((authority) => last.isSignedBy(authority)),
          `${spiffeId}: the chain ends at no authority of its own bundle`,
        );
      }),
  },
  {
    id: "A-8a",
    level: "M",
    text: "hints are unique within a response",
    check: ({ snapshot }) => {
      const hints = snapshot.x509.svids.map(({ hint }) => hint).filter((hint) => hint !== "");
      if (hints.length === 0) throw new NotSeen("no SVID has a hint");
      requireThat(new Set(hints).size === hints.length, `a hint comes twice: ${hints.join(", ")}`);
      return `${hints.length} hint(s)`;
    },
  },
  {
    id: "A-8b",
    level: "S",
    text: "a hint has at most 1,024 bytes",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, hint }) =>
        requireThat(Buffer.byteLength(hint) <= MAX_HINT_BYTES, `${spiffeId}: the hint is too long`),
      ),
  },
];

const identityRows: readonly Row[] = [
  {
    id: "ID",
    level: "M",
    text: "every id is a SPIFFE ID in its one spelling (ID-1 to ID-13)",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId }) => requireThat(isSpiffeId(spiffeId), `not a SPIFFE ID: ${spiffeId}`)),
  },
  {
    id: "X-1",
    level: "M",
    text: "the leaf has exactly one URI name, and it is the id of the message",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf }) =>
        requireThat(
          leaf.uris.length === 1 && leaf.uris[0] === spiffeId,
          `${spiffeId}: the leaf names ${leaf.uris.join(", ") || "nobody"}`,
        ),
      ),
  },
  {
    id: "X-2",
    level: "M",
    text: "the leaf's id has a path",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId }) => requireThat(domainOf(spiffeId) !== spiffeId, `${spiffeId}: no path`)),
  },
  {
    id: "X-3",
    level: "M",
    text: "the subject alternative name is critical where the subject is empty",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf }) =>
        requireThat(
          leaf.subject !== "" || leaf.isSanCritical,
          `${spiffeId}: empty subject, name not critical`,
        ),
      ),
  },
  {
    id: "X-4",
    level: "M",
    text: "the leaf is no authority, and says so in an explicit BasicConstraints",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf }) =>
        requireThat(
          leaf.isAuthority === false,
          `${spiffeId}: ${leaf.isAuthority ? "cA=true" : "no BasicConstraints"}`,
        ),
      ),
  },
  {
    id: "X-5",
    level: "M",
    text: "KeyUsage is there and critical on every certificate of the chain",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, chain }) =>
        requireThat(
          chain.every(({ keyUsage }) => keyUsage?.isCritical === true),
          `${spiffeId}: a certificate without a critical KeyUsage`,
        ),
      ),
  },
  {
    id: "X-6",
    level: "M",
    text: "the leaf may sign digitally, and neither certificates nor CRLs",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf }) => {
        const flags = leaf.keyUsage?.flags ?? new Set();
        requireThat(flags.has("digitalSignature"), `${spiffeId}: no digitalSignature`);
        requireThat(!flags.has("keyCertSign") && !flags.has("cRLSign"), `${spiffeId}: may sign certificates`);
      }),
  },
  {
    id: "X-7",
    level: "M",
    text: "the extended key usage, where present, has both roles of TLS",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf }) =>
        requireThat(leaf.hasBothTlsRoles !== false, `${spiffeId}: one role of TLS only`),
      ),
  },
  {
    id: "X-8",
    level: "M",
    text: "authorities may sign certificates and are marked as such",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, chain, authorities }) =>
        requireThat(
          [...chain.slice(1), ...authorities].every(
            ({ isAuthority, keyUsage }) =>
              isAuthority === true && keyUsage?.flags.has("keyCertSign") === true,
          ),
          `${spiffeId}: an authority without cA=true and keyCertSign`,
        ),
      ),
  },
  {
    id: "X-9",
    level: "M",
    text: "an authority that has a SPIFFE ID has one without a path, in the leaf's trust domain",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, chain, authorities }) =>
        requireThat(
          [...chain.slice(1), ...authorities]
            .flatMap(({ uris }) => uris)
            .every((uri) => uri === domainOf(spiffeId)),
          `${spiffeId}: an authority is named otherwise`,
        ),
      ),
  },
  {
    id: "X-12",
    level: "M",
    text: "the leaf is valid now and does not outlive its issuer",
    check: (bench) =>
      eachSvid(bench, ({ spiffeId, leaf, chain, authorities }) => {
        const now = Date.now();
        requireThat(leaf.notBeforeMs <= now && now < leaf.notAfterMs, `${spiffeId}: not valid now`);
        const issuers = chain.length > 1 ? chain.slice(1) : authorities.filter((one) => leaf.isSignedBy(one));
        requireThat(
          issuers.some(({ notAfterMs }) => leaf.notAfterMs <= notAfterMs),
          `${spiffeId}: outlives its issuer`,
        );
      }),
  },
];

const bundleRows: readonly Row[] = [
  {
    id: "A-10a",
    level: "M",
    text: "FetchX509Bundles has the own trust domain, keyed by its SPIFFE ID without a slash at the end",
    check: ({ snapshot }) => {
      const keys = [...snapshot.x509Bundles.keys()];
      requireThat(keys.includes(snapshot.ownDomain), `keys: ${keys.join(", ") || "none"}`);
      return keys.join(", ");
    },
  },
  {
    id: "A-10b",
    level: "M",
    text: "the own bundle of FetchX509Bundles is the one that came with the SVID",
    check: ({ snapshot }) => {
      const own = Buffer.from(snapshot.x509Bundles.get(snapshot.ownDomain) ?? []);
      requireThat(
        snapshot.x509.svids
          .filter(({ spiffeId }) => domainOf(spiffeId) === snapshot.ownDomain)
          .every(({ bundle }) => own.equals(bundle)),
        "the two differ",
      );
      return `${splitCertificates(own).length} authorities`;
    },
  },
  {
    id: "X-14",
    level: "M",
    text: "bundles are kept apart: no foreign trust domain's key is the own one, and none has the own authorities",
    check: ({ snapshot }) => {
      const foreign = [...snapshot.x509.federatedBundles];
      if (foreign.length === 0) throw new NotSeen("no federated bundle");
      const own = Buffer.from(snapshot.x509Bundles.get(snapshot.ownDomain) ?? []);
      for (const [key, bundle] of foreign) {
        requireThat(isSpiffeId(key) && domainOf(key) === key, `a bundle is keyed by ${key}`);
        requireThat(key !== snapshot.ownDomain && !own.equals(bundle), `${key} has the own authorities`);
      }
      return `${foreign.length} federated bundle(s)`;
    },
  },
  {
    id: "A-15",
    level: "O",
    text: "CRLs, where sent, are DER",
    check: ({ snapshot }) => {
      const { crls } = snapshot.x509;
      if (crls.length === 0) throw new NotSeen("no CRL is sent");
      requireThat(
        crls.every(([tag]) => tag === 0x30),
        "a CRL is not DER",
      );
      return `${crls.length} CRL(s)`;
    },
  },
];

export const x509Rows: readonly Row[] = [...deliveryRows, ...identityRows, ...bundleRows];
