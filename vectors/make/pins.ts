/** What a pin leads to: successions of roots, and the bundles of several trust domains in one document. */
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { draftSuccession } from "@trustwarden/core/agentid/succession.ts";
import { digestOfRoots, formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeHex } from "@trustwarden/core/bytes.ts";
import { issueEnvelope, signDraft } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, NOW, seededRandom, seededSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const successions = casesOf("succession");
const maps = casesOf("bundle_map");

const domain = createVectorDomain("acme.test");
const other = createVectorDomain("other.test");
const secondSigner = seededSigner("second root");
const second = createAuthority({
  trustDomain: parseTrustDomain("acme.test"),
  rootSigner: secondSigner,
  intermediateSigner: seededSigner("second intermediate"),
  jwtSigner: seededSigner("second jwt"),
  random: seededRandom("second"),
  now: NOW - 3600,
}).root;
const first = domain.root;
const [pin, both, target] = [[first], [first, second], [second]].map(digestOfRoots);

/** @returns the cases. */
export function makePins(): readonly VectorCase[] {
  return [...goodSuccessions(), ...badSuccessions(), ...bundleMaps()];
}

function goodSuccessions(): readonly VectorCase[] {
  return [
    successions.good("nothing, where the pin is of today", leadingTo([], { target: pin ?? "" }), null),
    successions.good("one step", leadingTo([step(2)], { target: both ?? "" }), null),
    successions.good("two steps in the wrong order", leadingTo([lastStep(3), step(2)]), null),
    successions.good(
      "a step that leads elsewhere beside them",
      leadingTo([step(2), lastStep(3), back(4)], {
        target: both ?? "",
      }),
      null,
    ),
  ];
}

function badSuccessions(): readonly VectorCase[] {
  const members = {
    v: 1,
    aud: "spiffe://acme.test",
    sequence: 2,
    from: [encodeBase64(first.der)],
    to: both ?? "",
  };
  const signed = (changes: JsonObject, signer = domain.rootSigner, keyid = encodeHex(first.ski)) =>
    leadingTo([issueEnvelope("succession", { ...members, ...changes }, signer, keyid)], {
      target: both ?? "",
    });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["nothing", leadingTo([]), "svid_untrusted"],
    ["a step that is missing", leadingTo([lastStep(3)]), "svid_untrusted"],
    ["numbers that do not rise", leadingTo([step(3), lastStep(3)]), "svid_untrusted"],
    ["33 steps", leadingTo(Array.from({ length: 33 }, () => step(2))), "svid_untrusted"],
    ["a root of another trust domain", signed({ from: [encodeBase64(other.root.der)] }), "svid_untrusted"],
    ["a leaf for a root", signed({ from: [encodeBase64(domain.intermediate.der)] }), "svid_untrusted"],
    ["no roots", signed({ from: [] }), "svid_untrusted"],
    [
      "nine roots",
      signed({ from: Array.from({ length: 9 }, () => encodeBase64(first.der)) }),
      "svid_untrusted",
    ],
    ["a root that is a number", signed({ from: [1] }), "svid_untrusted"],
    ["a signer that is none of its roots", signed({}, secondSigner, encodeHex(second.ski)), "svid_untrusted"],
    ["the name of a root and another's signature", signed({}, secondSigner), "signature_invalid"],
    ["another trust domain", signed({ aud: "spiffe://other.test" }), "record_malformed"],
    ["a member more", signed({ more: 1 }), "record_malformed"],
    ["no number", signed({ sequence: "2" }), "record_malformed"],
    ["an end that is none", signed({ to: "x" }), "record_malformed"],
    ["an envelope that is none", leadingTo(["{}"]), "dsse_malformed"],
  ];
  return rows.map(([name, input, error]) => successions.bad(`successions with ${name}`, input, error));
}

function bundleMaps(): readonly VectorCase[] {
  const acme = formatTrustBundle(domain.bundle);
  const foreign = formatTrustBundle(other.bundle);
  const mapOf = (members: string) => ({ text: `{"trust_domains":{${members}}}` });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["no map", { text: "{}" }, "bundle_malformed"],
    ["a list for a map", { text: '{"trust_domains":[]}' }, "bundle_malformed"],
    ["one name twice", mapOf(`"acme.test":${acme},"acme.test":${acme}`), "json_duplicate_key"],
    ["a name that is none", mapOf(`"Acme.test":${acme}`), "spiffe_id_malformed"],
    ["a bundle that is none", mapOf('"acme.test":1'), "bundle_malformed"],
    ["a bundle without keys", mapOf('"acme.test":{}'), "bundle_malformed"],
    [
      "257 names",
      mapOf(Array.from({ length: 257 }, (_, at) => `"d${at}.test":{"keys":[]}`).join()),
      "bundle_malformed",
    ],
  ];
  return [
    maps.good("no bundle", mapOf(""), []),
    maps.good("two bundles", mapOf(`"other.test":${foreign},"acme.test":${acme}`), [
      ["acme.test", 1, 1],
      ["other.test", 1, 1],
    ]),
    ...rows.map(([name, input, error]) => maps.bad(`a map with ${name}`, input, error)),
  ];
}

/** The second root comes beside the first. */
function step(sequence: number): string {
  return signDraft(
    draftSuccession({
      trustDomain: domain.trustDomain,
      sequence,
      from: [first],
      to: both ?? "",
      signer: first,
    }),
    domain.rootSigner,
  );
}

/** The first one goes. */
function lastStep(sequence: number): string {
  const { trustDomain } = domain;
  return signDraft(
    draftSuccession({ trustDomain, sequence, from: [first, second], to: target ?? "", signer: second }),
    secondSigner,
  );
}

/** It comes back. */
function back(sequence: number): string {
  const { trustDomain } = domain;
  return signDraft(
    draftSuccession({ trustDomain, sequence, from: [second], to: both ?? "", signer: second }),
    secondSigner,
  );
}

function leadingTo(texts: readonly string[], changes: JsonObject = {}): JsonObject {
  return {
    texts: [...texts],
    trust_domain: domain.trustDomain,
    pin: pin ?? "",
    target: target ?? "",
    ...changes,
  };
}
