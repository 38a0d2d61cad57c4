/**
 * Artifacts for a checker of forms: it has no keys, no bundle and no time but now, so each broken one is broken in
 * something that can be read off it.
 */
import { formatBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import { formatTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { issueWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { formatP256Jwk } from "@trustwarden/core/crypto.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { breakChains, forgeSoundChain } from "./broken-chains.ts";
import { createSigner, type Domain, issueSvid } from "./domain.ts";
import { createJwtCases, type Members, signToken } from "./jwt-cases.ts";
import type { Expectation } from "./spiffe-case.ts";
import { BAD_IDS, GOOD_IDS } from "./spiffe-id-cases.ts";

const TTL_SECONDS = 300;
const PATH = ["team", "pay", "inst-1"];
/** Faults of a leaf that show in the leaf itself; who signed it and when it is shown are others' business. */
const VISIBLE_IN_LEAF = /^(X-[1257]|ID-\d+) |^X-13 with (keyCertSign|cRLSign|a web address)/;
/** Faults of a token that show without a key, an audience or another bundle. */
const VISIBLE_IN_TOKEN = /J-(1|2|3|5|6|7|8) |J-9 expired/;

/** One artifact of one kind. */
export interface FormCase {
  readonly kind: "id" | "x509-svid" | "jwt-svid" | "wit-svid" | "bundle" | "bundle-map" | "federation";
  readonly name: string;
  readonly expected: Expectation;
  /** Text as an argument, bytes as a file, or options. */
  readonly artifact: string | Uint8Array | readonly string[];
}

/** All of them. @param now - Unix seconds. */
export function createFormCases(domain: Domain, other: Domain, now: number): readonly FormCase[] {
  return [
    ...listIds(),
    ...listCertificates(domain, other, now),
    ...listJwts(domain, other, now),
    ...listWits(domain, now),
    ...listBundles(domain),
    ...listMaps(domain, other),
    ...listFederations(domain),
  ];
}

function listIds(): readonly FormCase[] {
  // No argument of a program can hold a NUL.
  const bad = BAD_IDS.filter((id) => !id.includes("\u0000"));
  return [
    ...GOOD_IDS.map((id) => caseOf("id", "accept", id.slice(0, 60), id)),
    ...bad.map((id) => caseOf("id", "refuse", id, id)),
  ];
}

function listCertificates(domain: Domain, other: Domain, now: number): readonly FormCase[] {
  const [instance = new Uint8Array()] = issueSvid(domain, PATH, now).chain;
  const [sharedByClass = new Uint8Array()] = issueSvid(domain, PATH.slice(0, 2), now).chain;
  const [sound = new Uint8Array()] = forgeSoundChain(domain, now);
  const broken = breakChains(domain, other, now).filter(({ name }) => VISIBLE_IN_LEAF.test(name));
  return [
    caseOf("x509-svid", "accept", "root", domain.root.der),
    caseOf("x509-svid", "accept", "intermediate", domain.intermediate.der),
    caseOf("x509-svid", "accept", "leaf of an instance", instance),
    caseOf("x509-svid", "accept", "leaf of a class", sharedByClass),
    caseOf("x509-svid", "accept", "forged leaf, not broken yet", sound),
    ...broken.map(({ name, chain }) => caseOf("x509-svid", "refuse", name, chain[0] ?? new Uint8Array())),
  ];
}

function listJwts(domain: Domain, other: Domain, now: number): readonly FormCase[] {
  return createJwtCases(domain, other, now).flatMap(({ name, input, ours }) => {
    const isVisible = ours === "accept" || VISIBLE_IN_TOKEN.test(name);
    return isVisible ? [caseOf("jwt-svid", ours, name, input.token ?? "")] : [];
  });
}

function listWits(domain: Domain, now: number): readonly FormCase[] {
  const { jwt } = domain.signers;
  const { id } = issueSvid(domain, PATH, now);
  const { publicKey } = createSigner();
  const jwk = { ...formatP256Jwk(publicKey), alg: "ES256" };
  const forge = (header: Members, claims: Members) =>
    signToken(
      { alg: "ES256", kid: "wit-1", typ: "wit+jwt", ...header },
      { sub: id, iat: now, exp: now + TTL_SECONDS, cnf: { jwk }, ...claims },
      jwt,
    );
  const issued = issueWitSvid({
    id,
    confirmationKey: publicKey,
    kid: "wit-1",
    jti: "1",
    now,
    ttlSeconds: TTL_SECONDS,
    signer: jwt,
  });
  const refused: Readonly<Record<string, string>> = {
    "W-1 without kid": forge({ kid: undefined }, {}),
    "W-1 with the typ of a JWT-SVID": forge({ typ: "JWT" }, {}),
    "W-1 with alg none": forge({ alg: "none" }, {}),
    "W-1 with HS256": forge({ alg: "HS256" }, {}),
    "W-2 for an owner instead of a workload": forge({}, { sub: "mailto:owner@acme.test" }),
    "W-2 without exp": forge({}, { exp: undefined }),
    "W-2 expired": forge({}, { iat: now - 900, exp: now - 600 }),
    "W-2 without cnf": forge({}, { cnf: undefined }),
    "W-2 with a thumbprint alone": forge({}, { cnf: { jkt: "x" } }),
    "W-2 with a private key": forge({}, { cnf: { jwk: { ...jwk, d: jwk.x } } }),
    "W-2 with a key that names no alg": forge({}, { cnf: { jwk: { ...jwk, alg: undefined } } }),
    "W-3 with an audience": forge({}, { aud: "https://forum.test" }),
    "W-5 from the future": forge({}, { nbf: now + 200 }),
  };
  return [
    caseOf("wit-svid", "accept", "as issued", issued),
    caseOf("wit-svid", "accept", "forged, not broken yet", forge({}, {})),
    ...Object.entries(refused).map(([name, token]) => caseOf("wit-svid", "refuse", name, token)),
  ];
}

function listBundles({ bundle, signers, jwtKid }: Domain): readonly FormCase[] {
  const withWit = (kid: string): TrustBundle => ({
    ...bundle,
    witAuthorities: new Map([[kid, signers.jwt.publicKey]]),
  });
  const document = formatTrustBundle(bundle);
  const create = (expected: Expectation, name: string, text: string) =>
    caseOf("bundle", expected, name, Buffer.from(text));
  const change = (pattern: RegExp | string, replacement: string) => document.replace(pattern, replacement);
  return [
    create("accept", "as published", document),
    create("accept", "with a WIT key", formatTrustBundle(withWit("wit-1"))),
    create("accept", "B-1 emptied", '{"keys":[],"spiffe_sequence":2,"spiffe_refresh_hint":300}'),
    create("refuse", "B-1 without keys", '{"spiffe_sequence":1,"spiffe_refresh_hint":300}'),
    create("refuse", "that is no JSON", document.slice(0, -1)),
    create("refuse", "B-4 with a key without kty", change('"kty":"EC",', "")),
    create("refuse", "B-4 with a key without use", change('"use":"jwt-svid",', "")),
    create("refuse", "J-13 with a JWT key without kid", change(/"kid":"[^"]*",/, "")),
    create("refuse", "X-15 with an X.509 key that has a kid", change('"use":"x509-svid"', '"kid":"1",$&')),
    create("refuse", "X-15 without x5c", change(/,?"x5c":\["[^"]*"\]/, "")),
    create("refuse", "W-8 with one kid twice", formatTrustBundle(withWit(jwtKid))),
  ];
}

function listMaps(domain: Domain, other: Domain): readonly FormCase[] {
  const documentOf = ({ bundle }: Domain) => parseJsonObject(formatTrustBundle(bundle));
  const map = formatBundleMap(
    new Map([domain, other].map((one) => [one.trustDomain, documentOf(one)] as const)),
  );
  const create = (expected: Expectation, name: string, text: string) =>
    caseOf("bundle-map", expected, name, Buffer.from(text));
  return [
    create("accept", "as published", map),
    create("refuse", "B-8 without trust_domains", "{}"),
    create("refuse", "B-8 with one name twice", map.replaceAll(other.trustDomain, domain.trustDomain)),
    create("refuse", "B-8 with a name in upper case", map.replace(`"${domain.trustDomain}"`, '"ACME.test"')),
  ];
}

function listFederations({ trustDomain }: Domain): readonly FormCase[] {
  const url = "https://partner.test/v1/bundle";
  const create = (expected: Expectation, name: string, options: Readonly<Record<string, string>>) =>
    caseOf(
      "federation",
      expected,
      name,
      Object.entries(options).map(([option, value]) => `--${option}=${value}`),
    );
  const web = { url, profile: "https_web", "trust-domain": trustDomain };
  const spiffe = { ...web, profile: "https_spiffe", "endpoint-spiffe-id": `spiffe://${trustDomain}/server` };
  return [
    create("accept", "https_web", web),
    create("accept", "https_spiffe", spiffe),
    create("refuse", "F-2 http", { ...web, url: "http://partner.test/v1/bundle" }),
    create("refuse", "F-2 with userinfo", { ...web, url: "https://me@partner.test/v1/bundle" }),
    create("refuse", "F-7 without a trust domain", { url, profile: "https_web" }),
    create("refuse", "F-1 an unknown profile", { ...web, profile: "https_plain" }),
    create("refuse", "F-4 without the endpoint's id", { ...web, profile: "https_spiffe" }),
  ];
}

function caseOf(
  kind: FormCase["kind"],
  expected: Expectation,
  name: string,
  artifact: FormCase["artifact"],
): FormCase {
  return { kind, expected, name: `${kind}: ${name}`, artifact };
}
