/** Registration entries: what an owner signs, and what is refused although it is signed. */
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { issueEnvelope } from "../dsse.ts";
import { parseScope } from "../scope.ts";
import type { Signer } from "../signer.ts";
import { digestOfEvidence, formatOwnerKeyid } from "./enrolment.ts";
import { formatJoinTokenValue, parseJoinTokenValue } from "./enrolment-value.ts";
import {
  entryIdOf,
  isForNode,
  issueRegistrationEntry,
  MAX_ENTRY_SECONDS,
  parseUnverifiedEntryOwner,
  type RegistrationEntry,
  selectorsOf,
  verifyRegistrationEntry,
} from "./registration-entry.ts";
import { parseTrustDomain } from "./spiffe-id.ts";

const NOW = 1_800_000_000;
const ULID = "01JABCDEFGHJKMNPQRSTVWXYZ0";
const owner = makeSigner();
const keyid = formatOwnerKeyid(owner.publicKey);
const check = { publicKey: owner.publicKey, audience: parseTrustDomain("acme.test"), now: NOW };
const entry: RegistrationEntry = {
  v: 1,
  kind: "agent",
  jti: ULID,
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + MAX_ENTRY_SECONDS,
  owner: `own_${ULID}`,
  path: "team/finance",
  name: "crawler",
  scope: parseScope(["fetch:web"]),
  ttl_seconds: 3600,
  limits: { depth: 0, fan_out: 0, budget: null },
  selectors: ["unix:path:/usr/bin/crawler", "unix:uid:1000"],
  nodes: ["host-1", "host-2"],
  hint: "crawler",
};

describe("a registration entry", () => {
  it("is read back as it was signed, with its id and its selectors", () => {
    const envelope = issueRegistrationEntry(entry, owner, keyid);
    expect(verifyRegistrationEntry(envelope, check)).toEqual(entry);
    expect(parseUnverifiedEntryOwner(envelope)).toBe(entry.owner);
    expect(entryIdOf(entry)).toBe(`ent_${ULID}`);
    expect(selectorsOf(entry)).toEqual([
      { type: "unix", value: "path:/usr/bin/crawler" },
      { type: "unix", value: "uid:1000" },
    ]);
  });

  it("is for the nodes that it names, or for any", () => {
    expect(isForNode(entry, "host-2")).toBe(true);
    expect(isForNode(entry, "host-3")).toBe(false);
    expect(isForNode({ nodes: ["*"] }, "host-3")).toBe(true);
  });

  it("lives at most 366 days, and until its last second", () => {
    const longer = { ...entry, exp: entry.exp + 1 };
    expect(() => issueRegistrationEntry(longer, owner, keyid)).toThrow(code("entry_invalid"));
    const envelope = issueRegistrationEntry(entry, owner, keyid);
    expect(verifyRegistrationEntry(envelope, { ...check, now: entry.exp - 1 })).toEqual(entry);
    expect(() => verifyRegistrationEntry(envelope, { ...check, now: entry.exp })).toThrow(
      code("entry_expired"),
    );
    expect(() => verifyRegistrationEntry(envelope, { ...check, now: NOW - 31 })).toThrow(
      code("entry_invalid"),
    );
  });

  it.each([
    ["not sorted", { selectors: ["unix:uid:1000", "unix:path:/usr/bin/crawler"] }, "entry_invalid"],
    ["twice the same", { selectors: ["unix:uid:1000", "unix:uid:1000"] }, "entry_invalid"],
    ["none", { selectors: [] }, "selectors_too_weak"],
    ["only a program", { selectors: ["unix:path:/usr/bin/crawler"] }, "selectors_too_weak"],
    ["unknown", { selectors: ["magic:uid:1000"] }, "selector_malformed"],
  ])("is refused when its selectors are %s", (_, change, expected) => {
    expect(() => issueRegistrationEntry({ ...entry, ...change }, owner, keyid)).toThrow(code(expected));
  });

  it.each([
    ["no node", { nodes: [] }, "entry_invalid"],
    ["any node beside a named one", { nodes: ["*", "host-1"] }, "name_malformed"],
    ["nodes in another order", { nodes: ["host-2", "host-1"] }, "entry_invalid"],
    ["a node that is no name", { nodes: ["Host"] }, "name_malformed"],
    ["a hint with a line break", { hint: "a\nb" }, "entry_invalid"],
    ["a reserved place", { path: "trustwarden" }, "name_malformed"],
    ["an odd scope", { scope: ["*"] }, "scope_malformed"],
    ["another kind", { kind: "node" }, "entry_invalid"],
    ["a member that nobody asked for", { extra: true }, "entry_invalid"],
  ])("is refused with %s, although it is signed", (_, change, expected) => {
    const payload = { ...entry, scope: [...entry.scope], limits: { ...entry.limits } };
    const json = { ...payload, selectors: [...entry.selectors], nodes: [...entry.nodes], ...change };
    const envelope = issueEnvelope("entry", json, owner, keyid);
    expect(() => verifyRegistrationEntry(envelope, check)).toThrow(code(expected));
  });

  it("is refused for another key, another trust domain and as another document", () => {
    const stranger = makeSigner();
    const envelope = issueRegistrationEntry(entry, stranger, keyid);
    expect(() => verifyRegistrationEntry(envelope, check)).toThrow(code("signature_invalid"));
    const other = { ...check, audience: parseTrustDomain("other.test") };
    const own = issueRegistrationEntry(entry, owner, keyid);
    expect(() => verifyRegistrationEntry(own, other)).toThrow(code("entry_invalid"));
    const renamed = issueRegistrationEntry(entry, owner, formatOwnerKeyid(stranger.publicKey));
    expect(() => verifyRegistrationEntry(renamed, check)).toThrow(code("entry_invalid"));
  });

  it("has to fit, with everything around it, into one ledger entry", () => {
    const path = (index: number) => `unix:path:/${String(index).padStart(300, "0")}`;
    const many = Array.from({ length: 20 }, (_, index) => path(index));
    const large = { ...entry, selectors: [...many, "unix:uid:1000"] };
    const envelope = issueRegistrationEntry(large, owner, keyid);
    expect(() => verifyRegistrationEntry(envelope, check)).toThrow(code("entry_too_large"));
  });

  it("never crashes the reader of whatever comes", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => verifyRegistrationEntry(text, check)).toThrow(
          expect.objectContaining({ name: "TrustWardenError" }),
        );
      }),
    );
  });
});

describe("a join token's value", () => {
  const value = {
    authoritiesSha256: "A".repeat(43),
    server: "https://127.0.0.1:7443",
    token: "B".repeat(43),
  };

  it("is read back as it was written", () => {
    expect(parseJoinTokenValue(formatJoinTokenValue(value))).toEqual(value);
  });

  it.each([
    "",
    "twj1.",
    "tw1.e30",
    formatJoinTokenValue({ ...value, server: "http://127.0.0.1" }),
    "twj1.e30",
  ])("is refused as %j", (text) => {
    expect(() => parseJoinTokenValue(text)).toThrow(code("join_token_invalid"));
  });

  it("binds its proof by the evidence's digest, whatever the order of members", () => {
    const digest = digestOfEvidence({ type: "join_token", token: value.token });
    expect(digestOfEvidence({ token: value.token, type: "join_token" })).toBe(digest);
  });
});

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected });
}

function makeSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(privateKey),
    sign: (bytes) => sign("sha256", bytes, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}
