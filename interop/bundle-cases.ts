/** Trust bundles for SPIFFE's library: both have to read the same authorities out of one document. */
import {
  digestOfAuthorities,
  formatTrustBundle,
  parseTrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import type { Domain } from "./domain.ts";
import { agreed, type Expectation, type SpiffeCase } from "./spiffe-case.ts";

/** Documents, whole and broken. */
export function createBundleCases(domain: Domain): readonly SpiffeCase[] {
  const document = formatTrustBundle(domain.bundle);
  const change = (pattern: RegExp, replacement: string) => document.replace(pattern, replacement);
  const create = (expected: Expectation, name: string, text: string) =>
    agreed(expected, `bundle ${name}`, documentOf(domain, text));
  return [
    create("accept", "as published", document),
    create("accept", "B-1 emptied", '{"keys":[],"spiffe_sequence":2,"spiffe_refresh_hint":300}'),
    create(
      "accept",
      "B-4 with a key of an unknown use",
      change(
        /"keys":\[/,
        '"keys":[{"kty":"EC","use":"unknown","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},',
      ),
    ),
    create("refuse", "B-1 without keys", '{"spiffe_sequence":1}'),
    create("refuse", "that is no JSON", document.slice(0, -1)),
    create("refuse", "J-13 with a JWT key without kid", change(/"kid":"[^"]*",/, "")),
    create("refuse", "with a certificate cut short", change(/"x5c":\["..../, '"x5c":["')),
    create("refuse", "with a point off the curve", change(/"x":"./g, '"x":"_')),
  ];
}

/** The id that our parser "proves" of a bundle: the digest of its authorities and what else it read. */
function documentOf(domain: Domain, document: string): Pick<SpiffeCase, "input" | "verify"> {
  return {
    input: { kind: "bundle", bundles: [{ trustDomain: domain.trustDomain, document }] },
    verify: () => summarize(domain, document),
  };
}

/** Everything in a bundle that two readers have to agree on, as one line. */
export function summarize(domain: Domain, document: string): string {
  const { x509Authorities, jwtAuthorities, sequence, refreshHintSeconds, ...bundle } = parseTrustBundle(
    document,
    domain.trustDomain,
  );
  const digest = digestOfAuthorities({
    x509Authorities,
    jwtAuthorities,
    sequence,
    refreshHintSeconds,
    ...bundle,
  });
  return [
    x509Authorities.length,
    [...jwtAuthorities.keys()].sort().join(","),
    sequence,
    refreshHintSeconds,
    digest,
  ].join(" ");
}
