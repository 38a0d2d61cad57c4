/** X.509-SVIDs: chains, proven against the bundle of their own trust domain. */
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeHex } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, createVectorParty, NOW, seededRandom, seededSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const { good, bad } = casesOf("x509_svid");
const bundles = casesOf("trust_bundle");

const domain = createVectorDomain("acme.test");
const other = createVectorDomain("other.test");
const agent = createVectorParty(domain, ["team", "pay", "inst-01J"]);
const guest = createVectorParty(other, ["team", "pay", "inst-01J"]);
const document = formatTrustBundle(domain.bundle);

/** @returns the cases. */
export function makeX509Svid(): readonly VectorCase[] {
  return [...goodChains(), ...badChains(), ...documents()];
}

function goodChains(): readonly VectorCase[] {
  const value = { id: agent.id, sha256: agent.sha256 };
  return [
    good("leaf and intermediate", chainOf(agent.chain), value),
    good("the root sent along", chainOf([...agent.chain, domain.root.der]), value),
    good("in its first second", { ...chainOf(agent.chain), now: NOW - 10 }, value),
    good("in its last second", { ...chainOf(agent.chain), now: NOW + 3599 }, value),
  ];
}

function badChains(): readonly VectorCase[] {
  const [leaf = new Uint8Array(), intermediate = new Uint8Array()] = agent.chain;
  const flipped = Uint8Array.from(leaf);
  flipped[leaf.length - 5] = (flipped[leaf.length - 5] ?? 0) ^ 1;
  const revoked = { ...JSON.parse(document), trustwarden_revoked: [encodeHex(domain.intermediate.ski)] };
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["no certificate", chainOf([]), "no_svid"],
    ["the leaf alone", chainOf([leaf]), "svid_untrusted"],
    ["the intermediate as a leaf", chainOf([intermediate]), "svid_malformed"],
    ["a flipped bit in the signature", chainOf([flipped, intermediate]), "svid_untrusted"],
    ["a byte behind the leaf", chainOf([Uint8Array.from([...leaf, 0]), intermediate]), "svid_malformed"],
    ["a cut-off leaf", chainOf([leaf.slice(0, -1), intermediate]), "svid_malformed"],
    [
      "five certificates",
      chainOf([leaf, intermediate, intermediate, intermediate, intermediate]),
      "svid_malformed",
    ],
    ["another domain's intermediate", chainOf([leaf, other.intermediate.der]), "svid_untrusted"],
    ["a stranger behind the authority", chainOf([...agent.chain, other.root.der]), "svid_untrusted"],
    ["another trust domain", chainOf(guest.chain), "trust_domain_unknown"],
    ["an intermediate of another domain that speaks for this one", chainOf(impostor()), "svid_untrusted"],
    ["one second too late", { ...chainOf(agent.chain), now: NOW + 3600 }, "svid_expired"],
    ["one second too early", { ...chainOf(agent.chain), now: NOW - 11 }, "svid_not_yet_valid"],
    [
      "no root in the bundle",
      { ...chainOf(agent.chain), bundle: JSON.stringify({ ...JSON.parse(document), keys: [] }) },
      "svid_untrusted",
    ],
    [
      "a revoked intermediate",
      { ...chainOf(agent.chain), bundle: JSON.stringify(revoked) },
      "authority_revoked",
    ],
  ];
  return rows.map(([name, input, error]) => bad(name, input, error));
}

/** A leaf that names the intermediate of acme.test, signed by the key of other.test. */
function impostor(): readonly Uint8Array[] {
  const leaf = issueLeafCertificate({
    id: agent.id,
    spki: encodeSpki(seededSigner("impostor").publicKey),
    ca: { ...domain.intermediate, publicKey: other.intermediate.publicKey },
    signer: other.intermediateSigner,
    serial: createSerial(seededRandom("impostor")),
    now: NOW,
    notAfter: NOW + 3600,
  });
  return [leaf, domain.intermediate.der];
}

function documents(): readonly VectorCase[] {
  const json = JSON.parse(document);
  const [root] = json.keys;
  const written = (changes: object): JsonObject => ({ text: JSON.stringify({ ...json, ...changes }) });
  const value = (x509: number) => ({ sequence: 1, x509 });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["without keys", { text: "{}" }, "bundle_malformed"],
    ["with a private key", written({ keys: [{ ...root, d: "AA" }] }), "bundle_malformed"],
    [
      "with the certificate of another key",
      written({ keys: [{ ...root, x: json.keys[1].x, y: json.keys[1].y }] }),
      "bundle_malformed",
    ],
    ["with a broken certificate", written({ keys: [{ ...root, x5c: ["AAAA"] }] }), "bundle_malformed"],
    [
      "with a token key without a name",
      written({ keys: [{ ...json.keys[1], kid: "" }] }),
      "bundle_malformed",
    ],
    ["with one name for two keys", written({ keys: [json.keys[1], json.keys[1]] }), "bundle_malformed"],
    ["with a sequence that is rounded", written({ spiffe_sequence: 9007199254740992 }), "bundle_malformed"],
    ["with a negative sequence", written({ spiffe_sequence: -1 }), "bundle_malformed"],
    ["with an odd revocation", written({ trustwarden_revoked: ["AB"] }), "bundle_malformed"],
    ["with 65 keys", written({ keys: Array.from({ length: 65 }, () => ({})) }), "bundle_malformed"],
    ["with keys twice", { text: document.replace("{", '{"keys":[],') }, "json_duplicate_key"],
  ];
  return [
    bundles.good("a bundle", { text: document }, value(1)),
    bundles.good("a bundle without any key: everything is revoked", written({ keys: [] }), value(0)),
    bundles.good(
      "unknown keys are left out",
      written({ keys: [{ ...root, kty: "RSA" }, { ...root, use: "sig" }, 7] }),
      value(0),
    ),
    bundles.good("one root twice is one root", written({ keys: [root, root] }), value(1)),
    ...rows.map(([name, input, error]) => bundles.bad(`a bundle ${name}`, input, error)),
  ];
}

function chainOf(chain: readonly Uint8Array[]): JsonObject {
  return { chain: chain.map(encodeBase64), trust_domain: domain.trustDomain, bundle: document, now: NOW };
}
