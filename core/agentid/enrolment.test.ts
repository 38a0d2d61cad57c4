/** Tickets, verifier tickets, grants, and the values that carry them. */
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { issueEnvelope, type PayloadName } from "../dsse.ts";
import { formatCanonicalJson, type JsonObject } from "../json.ts";
import { parseScope } from "../scope.ts";
import type { Signer } from "../signer.ts";
import {
  digestOfEnrolment,
  formatOwnerKeyid,
  type Grant,
  issueGrant,
  issueTicket,
  issueVerifierTicket,
  parseUnverifiedEnrolment,
  parseUnverifiedTicketOwner,
  type Ticket,
  type VerifierTicket,
  verifyGrant,
  verifyTicket,
  verifyVerifierTicket,
} from "./enrolment.ts";
import {
  formatGrantValue,
  formatRequestValue,
  formatTicketValue,
  parseGrantValue,
  parseRequestValue,
  parseTicketValue,
} from "./enrolment-value.ts";
import { parseSpiffeId, parseTrustDomain } from "./spiffe-id.ts";

const NOW = 1_800_000_000;
const audience = parseTrustDomain("acme.test");
const owner = makeSigner();
const stranger = makeSigner();
const ownerKeyid = formatOwnerKeyid(owner.publicKey);
const digest = "A".repeat(43);
const ulid = "01JABCDEFGHJKMNPQRSTVWXYZ0";
const check = { publicKey: owner.publicKey, audience, now: NOW };

const ticket: Ticket = {
  v: 1,
  kind: "agent",
  jti: ulid,
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + 600,
  owner: `own_${ulid}`,
  path: "team/finance",
  name: "orchestrator",
  scope: parseScope(["read:transactions", "write:ledger"]),
  ttl_seconds: 3600,
  limits: { depth: 3, fan_out: 16, budget: null },
};
const verifierTicket: VerifierTicket = {
  v: 1,
  kind: "verifier",
  jti: ulid,
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + 600,
  name: "finance-db",
  ttl_seconds: 3600,
};
const parentId = parseSpiffeId(`spiffe://acme.test/team/finance/orchestrator/inst-${ulid}`);
const grant: Grant = {
  v: 1,
  jti: ulid,
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + 60,
  name: "payment-agent",
  path: "team/finance",
  scope: parseScope(["read:transactions"]),
  ttl_seconds: 600,
  limits: { depth: 2, fan_out: 4, budget: 100 },
  child_thumbprint: digest,
  parent: parentId,
  svid_sha256: digest,
};

function makeSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}

const refusedAs = (code: string) => expect.objectContaining({ code });
/** Signs members that no issuer of ours would sign. */
const signRaw = (type: PayloadName, members: JsonObject, keyid: string = ownerKeyid) =>
  issueEnvelope(type, members, owner, keyid);
const ticketWith = (members: JsonObject) =>
  signRaw("ticket", { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits }, ...members });
const grantWith = (members: JsonObject) =>
  signRaw("grant", { ...grant, scope: [...grant.scope], limits: { ...grant.limits }, ...members }, digest);
const without = (members: JsonObject, name: string): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([key]) => key !== name));

describe("ticket", () => {
  test("the owner's signature proves it", () => {
    expect(verifyTicket(issueTicket(ticket, owner, ownerKeyid), check)).toEqual(ticket);
  });

  test("another owner's signature does not", () => {
    const envelope = issueTicket(ticket, stranger, formatOwnerKeyid(stranger.publicKey));
    expect(() => verifyTicket(envelope, check)).toThrow(refusedAs("signature_invalid"));
  });

  test("its keyid must name the key that signed", () => {
    const envelope = issueTicket(ticket, owner, formatOwnerKeyid(stranger.publicKey));
    expect(() => verifyTicket(envelope, check)).toThrow(refusedAs("ticket_invalid"));
  });

  test("a grant of the same members is no ticket, whatever key signed it", () => {
    const members = { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } };
    expect(() => verifyTicket(signRaw("grant", members), check)).toThrow(refusedAs("signature_invalid"));
  });

  test("is for one trust domain", () => {
    expect(() => verifyTicket(ticketWith({ aud: "spiffe://other.test" }), check)).toThrow(
      refusedAs("ticket_invalid"),
    );
  });

  test("lives until the second before its exp", () => {
    const envelope = issueTicket(ticket, owner, ownerKeyid);
    expect(verifyTicket(envelope, { ...check, now: NOW + 599 }).jti).toBe(ulid);
    expect(() => verifyTicket(envelope, { ...check, now: NOW + 600 })).toThrow(refusedAs("ticket_expired"));
  });

  test("may come from a clock that is 30 seconds ahead, not 31", () => {
    const envelope = issueTicket(ticket, owner, ownerKeyid);
    expect(verifyTicket(envelope, { ...check, now: NOW - 30 }).jti).toBe(ulid);
    expect(() => verifyTicket(envelope, { ...check, now: NOW - 31 })).toThrow(refusedAs("ticket_invalid"));
  });

  test("lives at most thirty days", () => {
    expect(verifyTicket(ticketWith({ exp: NOW + 2_592_000 }), check).exp).toBe(NOW + 2_592_000);
    expect(() => verifyTicket(ticketWith({ exp: NOW + 2_592_001 }), check)).toThrow(
      refusedAs("ticket_invalid"),
    );
    expect(() => verifyTicket(ticketWith({ exp: NOW }), check)).toThrow(refusedAs("ticket_invalid"));
  });

  test.each<[string, JsonObject, string]>([
    ["an unknown member", { admin: true }, "ticket_invalid"],
    ["another version", { v: 2 }, "ticket_invalid"],
    ["another kind", { kind: "Agent" }, "ticket_invalid"],
    ["a jti that is no ULID", { jti: "1" }, "ticket_invalid"],
    ["an owner that is no owner id", { owner: "own_1" }, "ticket_invalid"],
    ["a reserved path", { path: "trustwarden" }, "name_malformed"],
    ["an instance as its name", { name: "inst-1" }, "name_malformed"],
    ["a scope that is not canonical", { scope: ["write:ledger", "read:transactions"] }, "ticket_invalid"],
    ["a scope with a covered atom", { scope: ["read:a", "read:a:b"] }, "ticket_invalid"],
    ["a scope of another grammar", { scope: ["read:a,delete:b"] }, "scope_malformed"],
    ["a scope that is text", { scope: "read:a" }, "ticket_invalid"],
    ["a scope of numbers", { scope: [1] }, "ticket_invalid"],
    ["no lifetime", { ttl_seconds: 0 }, "ttl_malformed"],
    ["a negative lifetime", { ttl_seconds: -1 }, "ticket_invalid"],
    ["a lifetime of ten years", { ttl_seconds: 315_360_000 }, "ttl_malformed"],
    ["a lifetime in words", { ttl_seconds: "1h" }, "ticket_invalid"],
    ["a fractional exp", { exp: NOW + 1.5 }, "ticket_invalid"],
    ["limits without a budget", { limits: { depth: 1, fan_out: 1 } }, "ticket_invalid"],
    [
      "limits with an unknown member",
      { limits: { depth: 1, fan_out: 1, budget: 1, x: 1 } },
      "ticket_invalid",
    ],
    ["negative limits", { limits: { depth: -1, fan_out: 1, budget: 1 } }, "ticket_invalid"],
    ["a depth above 32", { limits: { depth: 33, fan_out: 1, budget: 1 } }, "ticket_invalid"],
    ["limits that are a list", { limits: [] }, "ticket_invalid"],
    ["no limits", { limits: null }, "ticket_invalid"],
  ])("is refused with %s", (_what, members, code) => {
    expect(() => verifyTicket(ticketWith(members), check)).toThrow(refusedAs(code));
  });

  test.each(Object.keys(ticket))("is refused without %s", (name) => {
    const members = without({ ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } }, name);
    expect(() => verifyTicket(signRaw("ticket", members), check)).toThrow(refusedAs("ticket_invalid"));
  });

  test("what would be refused is never signed", () => {
    expect(() => issueTicket({ ...ticket, ttl_seconds: 0 }, owner, ownerKeyid)).toThrow(
      refusedAs("ttl_malformed"),
    );
    expect(() => issueTicket({ ...ticket, name: "A" }, owner, ownerKeyid)).toThrow(
      refusedAs("name_malformed"),
    );
  });
});

describe("verifier ticket", () => {
  const envelope = issueVerifierTicket(verifierTicket, owner, digest);

  test("the server's signature proves it", () => {
    expect(verifyVerifierTicket(envelope, check)).toEqual(verifierTicket);
  });

  test("is no agent's ticket, and the reverse", () => {
    expect(() => verifyTicket(envelope, check)).toThrow(refusedAs("ticket_invalid"));
    expect(() => verifyVerifierTicket(issueTicket(ticket, owner, ownerKeyid), check)).toThrow(
      refusedAs("ticket_invalid"),
    );
  });

  test("expires, names us, and is signed by us", () => {
    expect(() => verifyVerifierTicket(envelope, { ...check, now: NOW + 600 })).toThrow(
      refusedAs("ticket_expired"),
    );
    expect(() =>
      verifyVerifierTicket(envelope, { ...check, audience: parseTrustDomain("other.test") }),
    ).toThrow(refusedAs("ticket_invalid"));
    expect(() => verifyVerifierTicket(envelope, { ...check, publicKey: stranger.publicKey })).toThrow(
      refusedAs("signature_invalid"),
    );
  });
});

describe("grant", () => {
  const envelope = issueGrant(grant, owner);

  test("the parent's signature proves it", () => {
    expect(verifyGrant(envelope, check)).toEqual(grant);
  });

  test("lives at most a minute", () => {
    expect(verifyGrant(envelope, { ...check, now: NOW + 59 }).jti).toBe(ulid);
    expect(() => verifyGrant(envelope, { ...check, now: NOW + 60 })).toThrow(refusedAs("grant_expired"));
    expect(() => verifyGrant(grantWith({ exp: NOW + 61 }), check)).toThrow(refusedAs("grant_invalid"));
  });

  test("its keyid must be the certificate it names", () => {
    const members = { ...grant, scope: [...grant.scope], limits: { ...grant.limits } };
    expect(() => verifyGrant(signRaw("grant", members, ownerKeyid), check)).toThrow(
      refusedAs("grant_invalid"),
    );
  });

  test.each<[string, JsonObject, string]>([
    [
      "a parent that is no instance",
      { parent: "spiffe://acme.test/team/finance/orchestrator" },
      "grant_invalid",
    ],
    ["a parent that is no SPIFFE ID", { parent: "orchestrator" }, "spiffe_id_malformed"],
    ["an unknown member", { kind: "agent" }, "grant_invalid"],
    ["another audience", { aud: "spiffe://other.test" }, "grant_invalid"],
    ["a short thumbprint", { child_thumbprint: "AAAA" }, "grant_invalid"],
  ])("is refused with %s", (_what, members, code) => {
    expect(() => verifyGrant(grantWith(members), check)).toThrow(refusedAs(code));
  });
});

describe("before anything is proven", () => {
  test("a document says whose key would prove it", () => {
    expect(parseUnverifiedEnrolment(issueTicket(ticket, owner, ownerKeyid))).toEqual({
      via: "ticket",
      unverifiedOwnerId: ticket.owner,
    });
    expect(parseUnverifiedEnrolment(issueVerifierTicket(verifierTicket, owner, digest))).toEqual({
      via: "verifier-ticket",
    });
    expect(parseUnverifiedEnrolment(issueGrant(grant, owner))).toEqual({
      via: "grant",
      unverifiedParentInstanceId: `inst-${ulid}`,
      unverifiedSvidSha256: digest,
    });
  });

  test("only an agent's ticket has an owner", () => {
    expect(parseUnverifiedTicketOwner(issueTicket(ticket, owner, ownerKeyid))).toBe(ticket.owner);
    expect(() => parseUnverifiedTicketOwner(issueGrant(grant, owner))).toThrow(refusedAs("ticket_invalid"));
  });

  test("B1 any other kind of evidence is refused", () => {
    for (const type of ["intent", "decision", "outcome", "control", "possession", "owner-request"] as const) {
      const envelope = signRaw(type, { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } });
      expect(() => parseUnverifiedEnrolment(envelope)).toThrow(refusedAs("ticket_invalid"));
    }
    for (const kind of ["", "agents", "Verifier", "operator"]) {
      expect(() => parseUnverifiedEnrolment(ticketWith({ kind }))).toThrow(refusedAs("ticket_invalid"));
    }
    expect(() => parseUnverifiedEnrolment("{}")).toThrow(refusedAs("dsse_malformed"));
    expect(() => parseUnverifiedEnrolment("")).toThrow(refusedAs("json_malformed"));
  });

  test("two documents have two digests", () => {
    expect(digestOfEnrolment("a")).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(digestOfEnrolment("a")).not.toBe(digestOfEnrolment("b"));
  });
});

describe("values that carry documents", () => {
  const reference = { authoritiesSha256: digest, server: "https://127.0.0.1:7443" };
  const request = {
    name: "payment-agent",
    scope: parseScope(["read:transactions"]),
    ttlSeconds: 600,
    limits: { depth: 1, fanOut: 2, budget: 5 },
    thumbprint: digest,
  };
  const carriedIn = (prefix: string, json: JsonObject) =>
    `${prefix}${encodeBase64url(encodeUtf8(formatCanonicalJson(json)))}`;

  test("round trip", () => {
    expect(parseTicketValue(formatTicketValue({ ...reference, ticket: "{}" }))).toEqual({
      ...reference,
      ticket: "{}",
    });
    expect(parseGrantValue(formatGrantValue({ ...reference, grant: "{}" }))).toEqual({
      ...reference,
      grant: "{}",
    });
    expect(parseRequestValue(formatRequestValue(request))).toEqual(request);
  });

  test("one kind is never read as another", () => {
    const text = formatTicketValue({ ...reference, ticket: "{}" });
    expect(() => parseGrantValue(text)).toThrow(refusedAs("grant_invalid"));
    expect(() => parseRequestValue(text)).toThrow(refusedAs("request_malformed"));
    expect(() => parseTicketValue(formatRequestValue(request))).toThrow(refusedAs("ticket_invalid"));
  });

  test.each([
    "http://127.0.0.1:7443",
    "https://user@acme.test",
    "https://acme.test/",
    "https://acme.test?x",
    "https://",
    "https://A",
    "https://acme.test:0",
    "https://acme.test:123456",
    "https://acme.test#f",
    "https://[::1",
    "https://.acme.test",
    "",
  ])("the server %j is refused", (server) => {
    const text = carriedIn("tw1.", { authorities_sha256: digest, server, ticket: "{}" });
    expect(() => parseTicketValue(text)).toThrow(refusedAs("ticket_invalid"));
  });

  test.each(["https://localhost", "https://warden.acme.test:8443", "https://[::1]:7443", "https://10.0.0.1"])(
    "the server %j is accepted",
    (server) => {
      expect(parseTicketValue(formatTicketValue({ ...reference, server, ticket: "{}" })).server).toBe(server);
    },
  );

  test("unknown members and malformed ones are refused", () => {
    expect(() =>
      parseTicketValue(
        carriedIn("tw1.", { ...{ authorities_sha256: digest, server: "https://a", ticket: "{}" }, x: 1 }),
      ),
    ).toThrow(refusedAs("ticket_invalid"));
    expect(() => parseRequestValue(formatRequestValue({ ...request, ttlSeconds: 0 }))).toThrow(
      refusedAs("ttl_malformed"),
    );
    expect(() => parseRequestValue(formatRequestValue({ ...request, name: "inst-1" }))).toThrow(
      refusedAs("name_malformed"),
    );
  });

  test("no text does anything but parse or be refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => rawValueOf(json)),
        ),
        (text) => {
          for (const parse of [parseTicketValue, parseGrantValue, parseRequestValue]) {
            expect(() => parse(text)).toThrow(expect.objectContaining({ name: "TrustWardenError" }));
          }
        },
      ),
    );
  });
  const rawValueOf = (json: string) => `tw1.${encodeBase64url(encodeUtf8(json))}`;
});
