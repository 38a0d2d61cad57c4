import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { issueEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import { parseScope } from "../scope.ts";
import { NOW } from "./certificate.test.support.ts";
import { formatOwnerKeyid } from "./enrolment.ts";
import {
  type ForeignAgent,
  type ForeignValue,
  formatForeignValue,
  issueForeignAgent,
  parseForeignValue,
  parseUnverifiedForeignOwner,
  verifyForeignAgent,
} from "./foreign-agent.ts";
import { parseSpiffeId, parseTrustDomain } from "./spiffe-id.ts";

const owner = createTestSigner();
const code = (name: string) => expect.objectContaining({ code: name });
const agent: ForeignAgent = {
  v: 1,
  kind: "foreign",
  jti: "01M80FGQWSA1AK5G58G8MV1CGP",
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + 86_400,
  owner: "own_01M80FGQWSA1AK5G58G8MV1CGP",
  path: "partners",
  name: "worker",
  scope: parseScope(["read:files"]),
  spiffe_id: parseSpiffeId("spiffe://partner.test/ns/prod/sa/worker"),
};
const check = { publicKey: owner.publicKey, audience: parseTrustDomain("acme.test"), now: NOW };
const signed = (changes: JsonObject, signer = owner) =>
  issueEnvelope(
    "entry",
    { ...agent, scope: [...agent.scope], ...changes },
    signer,
    formatOwnerKeyid(signer.publicKey),
  );

describe("the registration of a foreign agent", () => {
  it("gives back what its owner signed, and says whose key to check", () => {
    const envelope = issueForeignAgent(agent, owner);
    expect(verifyForeignAgent(envelope, check)).toEqual(agent);
    expect(parseUnverifiedForeignOwner(envelope)).toBe(agent.owner);
  });

  it.each([
    ["of our own trust domain", { spiffe_id: "spiffe://acme.test/team/a" }],
    ["without a path", { spiffe_id: "spiffe://partner.test" }],
    ["of a federated server", { spiffe_id: "spiffe://partner.test/trustwarden/server/01J" }],
    ["that reads as an instance", { spiffe_id: "spiffe://partner.test/team/a/inst-01J" }],
    ["that reads as an instance alone", { spiffe_id: "spiffe://partner.test/inst-01J" }],
    ["for another trust domain", { aud: "spiffe://other.test" }],
    ["from the future", { iat: NOW + 31 }],
    ["for longer than a year", { exp: NOW + 31_622_401 }],
    ["of another kind", { kind: "agent" }],
    ["with a member more", { selectors: [] }],
  ])("is refused for a workload or document %s", (_what, changes) => {
    expect(() => verifyForeignAgent(signed(changes), check)).toThrow(code("entry_invalid"));
  });

  it("ends when it says, and is nobody's but its signer's", () => {
    const envelope = issueForeignAgent(agent, owner);
    expect(verifyForeignAgent(envelope, { ...check, now: agent.exp - 1 })).toEqual(agent);
    expect(() => verifyForeignAgent(envelope, { ...check, now: agent.exp })).toThrow(code("entry_expired"));
    const other = createTestSigner();
    expect(() => verifyForeignAgent(signed({}, other), check)).toThrow(code("signature_invalid"));
    const ticket = issueEnvelope(
      "ticket",
      { ...agent, scope: [...agent.scope] },
      owner,
      formatOwnerKeyid(owner.publicKey),
    );
    expect(() => verifyForeignAgent(ticket, check)).toThrow(code("signature_invalid"));
    expect(() => verifyForeignAgent("x".repeat(6145), check)).toThrow(code("entry_too_large"));
  });
});

describe("the text that a foreign workload is given", () => {
  const value: ForeignValue = {
    authoritiesSha256: "A".repeat(43),
    server: "https://127.0.0.1:7443",
    trustDomain: "spiffe://acme.test",
    spiffeId: agent.spiffe_id,
    agentId: "agt_01M80FGQWSA1AK5G58G8MV1CGP",
    instanceId: "inst-01M80FGQWSA1AK5G58G8MV1CGP",
    ownerId: agent.owner,
    path: "",
    name: "worker",
    scope: agent.scope,
    chain: ["owner:own_1", "agt_1"],
    expiresAt: NOW,
  };

  it("is read back as it was written", () => {
    expect(parseForeignValue(formatForeignValue(value))).toEqual(value);
  });

  it("is refused with one code, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => `twf1.${text}`),
        ),
        (text) => {
          try {
            parseForeignValue(text);
          } catch (error) {
            expect(error).toBeInstanceOf(TrustWardenError);
            expect(Object(error).code).toBe("entry_invalid");
          }
        },
      ),
    );
  });
});
