/** X.509-SVIDs for SPIFFE's library: ours, broken ones, and whole TLS handshakes with them. */
import { formatTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { breakChains, forgeSoundChain } from "./broken-chains.ts";
import { type Domain, encodePkcs8, type IssuedSvid, issueSvid } from "./domain.ts";
import { agreed, type NamedBundle, type SpiffeCase, type SpiffePeer, toBase64 } from "./spiffe-case.ts";

const DAY_SECONDS = 86_400;
const PATH = ["team", "pay", "inst-1"];

/** Chains and handshakes. @param now - Unix seconds. */
export function createX509Cases(domain: Domain, other: Domain, now: number): readonly SpiffeCase[] {
  const both = [domain.bundle, other.bundle];
  const foreign = issueSvid(other, PATH, now);
  return [
    agreed("accept", "svid of an instance", chainOf(issueSvid(domain, PATH, now).chain, both, now)),
    agreed("accept", "svid of a class", chainOf(issueSvid(domain, ["team", "pay"], now).chain, both, now)),
    agreed("accept", "svid with its root sent along", withRoot(domain, now)),
    agreed("accept", "svid of a federated trust domain", chainOf(foreign.chain, both, now)),
    agreed("accept", "svid forged but not broken", chainOf(forgeSoundChain(domain, now), both, now)),
    agreed("refuse", "svid of an unknown trust domain", chainOf(foreign.chain, [domain.bundle], now)),
    agreed("refuse", "B-1 svid under an empty bundle", chainOf(foreign.chain, [emptied(other.bundle)], now)),
    ...breakChains(domain, other, now).map(
      ({ name, chain, at, theyAccept }): SpiffeCase => ({
        name: `svid ${name}`,
        ...chainOf(chain, both, at),
        ours: "refuse",
        theirs: theyAccept === undefined ? "refuse" : "accept",
        ...(theyAccept === undefined ? {} : { why: theyAccept }),
      }),
    ),
    ...createHandshakes(domain, other, now),
  ];
}

/** A bundle as a document with its name beside it. */
export function nameBundle(bundle: TrustBundle): NamedBundle {
  return { trustDomain: bundle.trustDomain, document: formatTrustBundle(bundle) };
}

/** Two peers meet; both run SPIFFE's library, with our SVIDs, keys and bundle. */
function createHandshakes(domain: Domain, other: Domain, now: number): readonly SpiffeCase[] {
  const bundles = [nameBundle(domain.bundle)];
  const client = issueSvid(domain, PATH, now);
  const server = issueSvid(domain, ["forum", "inst-1"], now);
  const meet = (from: IssuedSvid, to: IssuedSvid): Pick<SpiffeCase, "input"> => ({
    input: { kind: "mtls", bundles, client: peerOf(from), server: peerOf(to) },
  });
  return [
    agreed("accept", "handshake of two agents", meet(client, server)),
    agreed("refuse", "handshake with a foreign client", meet(issueSvid(other, PATH, now), server)),
    agreed("refuse", "handshake with a foreign server", meet(client, issueSvid(other, PATH, now))),
    agreed(
      "refuse",
      "handshake with an expired client",
      meet(issueSvid(domain, PATH, now - DAY_SECONDS / 2), server),
    ),
    agreed("refuse", "handshake with another's key", meet({ ...client, signer: server.signer }, server)),
  ];
}

function chainOf(
  chain: readonly Uint8Array[],
  bundles: readonly TrustBundle[],
  at: number,
): Pick<SpiffeCase, "input" | "verify"> {
  const known = new Map(bundles.map((bundle) => [bundle.trustDomain, bundle]));
  return {
    input: { kind: "x509", chain: chain.map(toBase64), bundles: bundles.map(nameBundle), at },
    verify: () => verifyX509Svid(chain, known, at).id,
  };
}

function withRoot(domain: Domain, now: number): Pick<SpiffeCase, "input" | "verify"> {
  const { chain } = issueSvid(domain, PATH, now);
  return chainOf([...chain, domain.root.der], [domain.bundle], now);
}

function emptied(bundle: TrustBundle): TrustBundle {
  return { ...bundle, x509Authorities: [], jwtAuthorities: new Map() };
}

function peerOf({ chain, signer }: IssuedSvid): SpiffePeer {
  return { chain: chain.map(toBase64), pkcs8: toBase64(encodePkcs8(signer)) };
}
