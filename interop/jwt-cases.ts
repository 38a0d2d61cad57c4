/** JWT-SVIDs for SPIFFE's library: ours, and tokens that are forged, borrowed, stale or out of profile. */
import { issueJwtSvid, verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { createSigner, type Domain, type OpenSigner } from "./domain.ts";
import { agreed, type SpiffeCase } from "./spiffe-case.ts";
import { nameBundle } from "./x509-cases.ts";

const AUDIENCE = "https://forum.test";
const TTL_SECONDS = 300;

export type Members = Readonly<Record<string, unknown>>;

/** Tokens, checked at the real time: SPIFFE's library takes no other. @param now - Unix seconds. */
export function createJwtCases(domain: Domain, other: Domain, now: number): readonly SpiffeCase[] {
  const sub = formatSpiffeId(domain.trustDomain, ["team", "pay", "inst-1"]);
  const header: Members = { alg: "ES256", kid: domain.jwtKid, typ: "JWT" };
  const claims: Members = {
    sub,
    aud: AUDIENCE,
    iss: "https://acme.test",
    jti: "1",
    iat: now,
    exp: now + TTL_SECONDS,
  };
  const forge = (changedHeader: Members, changedClaims: Members, signer: OpenSigner = domain.signers.jwt) =>
    signToken({ ...header, ...changedHeader }, { ...claims, ...changedClaims }, signer);
  const check = (token: string, bundles: readonly TrustBundle[] = [domain.bundle, other.bundle]) =>
    tokenOf(token, { bundles, now });
  const issued = issue(domain, now);
  const refused: Readonly<Record<string, Pick<SpiffeCase, "input" | "verify">>> = {
    "J-1 in JSON serialization": check(toJsonSerialization(issued)),
    "J-3 with alg none": check(forge({ alg: "none" }, {}).replace(/[^.]*$/, "")),
    "J-3 with HS256": check(forge({ alg: "HS256" }, {})),
    "J-3 with EdDSA": check(forge({ alg: "EdDSA" }, {})),
    "J-5 with another typ": check(forge({ typ: "at+jwt" }, {})),
    "J-6 for an owner instead of a workload": check(forge({}, { sub: "mailto:owner@acme.test" })),
    "J-6 without a subject": check(forge({}, { sub: undefined })),
    "J-7 without an audience": check(forge({}, { aud: undefined })),
    "J-7 with an empty audience": check(forge({}, { aud: [] })),
    "J-8 without exp": check(forge({}, { exp: undefined })),
    "J-9 for another audience": check(forge({}, { aud: "https://other.test" })),
    "J-9 expired": check(forge({}, { iat: now - 900, exp: now - 600 })),
    "J-9 from the future": check(forge({}, { nbf: now + 600, exp: now + 900 })),
    "J-9 by another key": check(forge({}, {}, createSigner())),
    "J-9 by an unknown key id": check(forge({ kid: "nobody" }, {})),
    "J-9 with one bit of the claims flipped": check(flipClaim(issued)),
    "J-10 signed by another trust domain": check(forge({ kid: other.jwtKid }, {}, other.signers.jwt)),
    "J-10 of an unknown trust domain": check(issue(other, now), [domain.bundle]),
  };
  return [
    agreed("accept", "token as issued", check(issued)),
    agreed("accept", "token of a federated trust domain", check(issue(other, now))),
    agreed("accept", "token for two audiences", check(forge({}, { aud: ["https://b.test", AUDIENCE] }))),
    ...Object.entries(refused).map(([name, rest]) => agreed("refuse", `token ${name}`, rest)),
    {
      name: "token J-2 with a header that names its own key",
      ...check(forge({ jku: "https://evil.test/jwks" }, {})),
      ours: "refuse",
      theirs: "accept",
      why: "JWT-SVID §2 forbids other headers; go-spiffe 2.8.1 ignores them",
    },
    {
      name: "token J-4 without a key id",
      ...check(forge({ kid: undefined }, {})),
      ours: "accept",
      theirs: "refuse",
      why: "JWT-SVID §2.2 makes kid optional; go-spiffe 2.8.1 demands it, so we always send it",
    },
  ];
}

function issue(domain: Domain, now: number): string {
  return issueJwtSvid({
    id: formatSpiffeId(domain.trustDomain, ["team", "pay", "inst-1"]),
    audience: AUDIENCE,
    issuer: "https://acme.test",
    kid: domain.jwtKid,
    jti: "01J0000000000000000000000A",
    now,
    ttlSeconds: TTL_SECONDS,
    signer: domain.signers.jwt,
    claims: { "https://trustwarden.dev/owner": "own_1" },
  });
}

function tokenOf(
  token: string,
  { bundles, now }: { readonly bundles: readonly TrustBundle[]; readonly now: number },
): Pick<SpiffeCase, "input" | "verify"> {
  const known = new Map(bundles.map((bundle) => [bundle.trustDomain, bundle]));
  return {
    input: { kind: "jwt", token, audience: AUDIENCE, bundles: bundles.map(nameBundle) },
    verify: () => verifyJwtSvid(token, { bundles: known, audience: AUDIENCE, now }).id,
  };
}

/** Any token at all, properly signed; undefined members are left out. */
export function signToken(header: Members, claims: Members, signer: OpenSigner): string {
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${input}.${Buffer.from(signer.sign(Buffer.from(input))).toString("base64url")}`;
}

export function toJsonSerialization(token: string): string {
  const [header, payload, signature] = token.split(".");
  return JSON.stringify({ protected: header, payload, signature });
}

/** The claims still parse, and say something else. */
function flipClaim(token: string): string {
  const [header, payload = "", signature] = token.split(".");
  const claims = Buffer.from(payload, "base64url").toString("utf8").replace("inst-1", "inst-0");
  return [header, Buffer.from(claims).toString("base64url"), signature].join(".");
}
