/** How agents are let be: tickets, and the requests and grants of children. */
import { issueGrant, issueTicket, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { digestOfAuthorities, formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { createVectorDomain, createVectorParty, NOW, seededPkcs8, seededSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const tickets = casesOf("ticket");
const requests = casesOf("child_request");
const requested = casesOf("child_request_written");
const grants = casesOf("grant");
const granted = casesOf("grant_written");

const domain = createVectorDomain("acme.test");
export const owner = seededSigner("owner");
export const child = seededSigner("child");
const parent = createVectorParty(domain, ["team", "pay", "inst-01JABCDEFGHJKMNPQRSTVWXYZ0"]);
export const ULID = "01JABCDEFGHJKMNPQRSTVWXYZ0";
export const ownerId = `own_${ULID}`;
export const server = "https://127.0.0.1:7443";
export const pin = digestOfAuthorities(domain.bundle);
export const thumbprint = formatThumbprint(child.publicKey);

const ticketed: Ticket = {
  v: 1,
  kind: "agent",
  jti: ULID,
  aud: "spiffe://acme.test",
  iat: NOW,
  exp: NOW + 600,
  owner: ownerId,
  path: "team",
  name: "pay",
  scope: parseScope(["read:transactions", "write:ledger"]),
  ttl_seconds: 3600,
  limits: { depth: 3, fan_out: 16, budget: null },
};

/** @returns the cases. */
export function makeEnrolment(): readonly VectorCase[] {
  return [...ticketCases(), ...requestCases(), ...grantCases(), ...grantsWritten()];
}

function ticketCases(): readonly VectorCase[] {
  const envelope = issueTicket(ticketed, owner, "keyid");
  const value = { authorities_sha256: pin, server, ticket: envelope };
  const text = textOf("tw1.", value);
  const asked = { text, name: "pay", scope: null, ttl: null };
  const read = {
    server,
    authorities_sha256: pin,
    trust_domain: "acme.test",
    scope: ["read:transactions", "write:ledger"],
  };
  return [
    tickets.good("a ticket", asked, read),
    tickets.good(
      "a ticket as a file of variables has it",
      { ...asked, text: ` TRUSTWARDEN_TICKET=${text}\n` },
      read,
    ),
    tickets.good(
      "a ticket for what is wished in other words",
      { ...asked, scope: ["write:ledger", "read:transactions", "read:transactions"], ttl: "60m" },
      read,
    ),
    ...badTickets(asked, value),
  ];
}

function badTickets(asked: JsonObject, value: JsonObject): readonly VectorCase[] {
  const text = textOf("tw1.", value);
  const { ticket: envelope = "" } = value;
  const changed = (changes: JsonObject) =>
    textOf("tw1.", {
      ...value,
      ticket: issueEnvelope("ticket", { ...payloadOf(), ...changes }, owner, "keyid"),
    });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["nothing", { ...asked, text: "" }, "ticket_missing"],
    ["another prefix", { ...asked, text: text.replace("tw1.", "tw2.") }, "ticket_invalid"],
    ["no base64url", { ...asked, text: "tw1.{}" }, "ticket_invalid"],
    ["padding", { ...asked, text: `${text}=` }, "ticket_invalid"],
    ["more than 131,072 characters", { ...asked, text: `tw1.${"A".repeat(131_072)}` }, "ticket_invalid"],
    ["a member more", { ...asked, text: textOf("tw1.", { ...value, more: 1 }) }, "ticket_invalid"],
    ["a member less", { ...asked, text: textOf("tw1.", { server, ticket: envelope }) }, "ticket_invalid"],
    [
      "a member twice",
      { ...asked, text: rawOf("tw1.", `{"server":"${server}","server":"${server}"}`) },
      "ticket_invalid",
    ],
    [
      "a pin that is none",
      { ...asked, text: textOf("tw1.", { ...value, authorities_sha256: "x" }) },
      "ticket_invalid",
    ],
    [
      "no https",
      { ...asked, text: textOf("tw1.", { ...value, server: "http://127.0.0.1:1" }) },
      "ticket_invalid",
    ],
    [
      "a path behind the server",
      { ...asked, text: textOf("tw1.", { ...value, server: `${server}/x` }) },
      "ticket_invalid",
    ],
    [
      "a user before the server",
      { ...asked, text: textOf("tw1.", { ...value, server: "https://a@b.test" }) },
      "ticket_invalid",
    ],
    [
      "a server in capitals",
      { ...asked, text: textOf("tw1.", { ...value, server: "https://A.test" }) },
      "ticket_invalid",
    ],
    [
      "an envelope that is none",
      { ...asked, text: textOf("tw1.", { ...value, ticket: "{}" }) },
      "dsse_malformed",
    ],
    ["an audience that is a number", { ...asked, text: changed({ aud: 1 }) }, "ticket_invalid"],
    ["an audience that is no id", { ...asked, text: changed({ aud: "acme.test" }) }, "spiffe_id_malformed"],
    ["another kind", { ...asked, text: changed({ kind: "verifier" }) }, "ticket_mismatch"],
    ["another name", { ...asked, name: "pays" }, "ticket_mismatch"],
    ["another scope", { ...asked, scope: ["read:transactions"] }, "ticket_mismatch"],
    ["another lifetime", { ...asked, ttl: "2h" }, "ticket_mismatch"],
    ["a scope that is none", { ...asked, scope: ["read"] }, "scope_malformed"],
    ["a lifetime that is none", { ...asked, ttl: "an hour" }, "ttl_malformed"],
    ["a signed scope that is none", { ...asked, text: changed({ scope: ["read"] }) }, "scope_malformed"],
  ];
  return rows.map(([name, input, error]) => tickets.bad(`a ticket with ${name}`, input, error));
}

function requestCases(): readonly VectorCase[] {
  const limits = { budget: 0, depth: 0, fan_out: 0 };
  const value = { limits, name: "pay", scope: ["read:transactions"], thumbprint, ttl_seconds: 3600 };
  const read = { name: "pay", scope: ["read:transactions"], ttl: "3600s", limits, thumbprint };
  const changed = (changes: JsonObject) => ({ text: textOf("twr1.", { ...value, ...changes }) });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["another prefix", { text: textOf("twg1.", value) }, "request_malformed"],
    ["no JSON", { text: rawOf("twr1.", "x") }, "request_malformed"],
    ["a member more", changed({ more: 1 }), "request_malformed"],
    ["no limits", changed({ limits: null }), "request_malformed"],
    ["a limit more", changed({ limits: { ...limits, more: 1 } }), "request_malformed"],
    ["33 generations", changed({ limits: { ...limits, depth: 33 } }), "request_malformed"],
    [
      "a million children and one",
      changed({ limits: { ...limits, fan_out: 1_000_001 } }),
      "request_malformed",
    ],
    ["a budget below zero", changed({ limits: { ...limits, budget: -1 } }), "request_malformed"],
    ["a scope in another order", changed({ scope: ["write:x", "read:x"] }), "request_malformed"],
    ["a scope with what it has", changed({ scope: ["read:x", "read:x:a"] }), "request_malformed"],
    ["a scope that is a text", changed({ scope: "read:x" }), "request_malformed"],
    ["a scope that is none", changed({ scope: ["read"] }), "scope_malformed"],
    ["a name that is none", changed({ name: "Not A Name" }), "name_malformed"],
    ["a lifetime of nothing", changed({ ttl_seconds: 0 }), "ttl_malformed"],
    ["a lifetime of ten years", changed({ ttl_seconds: 315_360_000 }), "ttl_malformed"],
    ["a lifetime that is text", changed({ ttl_seconds: "1h" }), "request_malformed"],
    ["a thumbprint that is none", changed({ thumbprint: "x" }), "request_malformed"],
  ];
  const wanted = { name: "pay", scope: ["read:transactions"], ttl: null, limits: null, thumbprint };
  const wide = { depth: 2, fan_out: 8, budget: null };
  return [
    requests.good("a request", { text: textOf("twr1.", value) }, read),
    requests.good("a request for a budget without an end", changed({ limits: { ...limits, budget: null } }), {
      ...read,
      limits: { ...limits, budget: null },
    }),
    ...rows.map(([name, input, error]) => requests.bad(`a request with ${name}`, input, error)),
    requested.good("an hour of nothing to hand on", wanted, textOf("twr1.", value)),
    requested.good(
      "ten minutes with limits",
      { ...wanted, scope: ["write:x", "read:x:a", "read:x"], ttl: "10m", limits: wide },
      textOf("twr1.", {
        limits: wide,
        name: "pay",
        scope: ["read:x", "write:x"],
        thumbprint,
        ttl_seconds: 600,
      }),
    ),
    requested.bad("a request for a name that is none", { ...wanted, name: "inst-x" }, "name_malformed"),
    requested.bad("a request for no lifetime", { ...wanted, ttl: "0s" }, "ttl_malformed"),
    requested.bad("a request for a scope that is none", { ...wanted, scope: [":"] }, "scope_malformed"),
  ];
}

function grantCases(): readonly VectorCase[] {
  const envelope = issueGrant(
    {
      v: 1,
      jti: ULID,
      aud: "spiffe://acme.test",
      iat: NOW,
      exp: NOW + 60,
      name: "kid",
      path: "team",
      scope: parseScope(["read:transactions"]),
      ttl_seconds: 600,
      limits: { depth: 0, fan_out: 0, budget: 0 },
      child_thumbprint: thumbprint,
      parent: parent.id,
      svid_sha256: parent.sha256,
    },
    parent.signer,
  );
  const value = { authorities_sha256: pin, grant: envelope, server };
  const read = { server, authorities_sha256: pin, trust_domain: "acme.test", grant: envelope };
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["another prefix", { text: textOf("tw1.", value) }, "grant_invalid"],
    ["no base64url", { text: "twg1. " }, "grant_invalid"],
    ["white space before it", { text: ` ${textOf("twg1.", value)}` }, "grant_invalid"],
    ["a member more", { text: textOf("twg1.", { ...value, more: 1 }) }, "grant_invalid"],
    ["no server", { text: textOf("twg1.", { ...value, server: "" }) }, "grant_invalid"],
    ["an envelope that is none", { text: textOf("twg1.", { ...value, grant: "x" }) }, "json_malformed"],
  ];
  return [
    grants.good("a grant", { text: textOf("twg1.", value) }, read),
    ...rows.map(([name, input, error]) => grants.bad(`a grant with ${name}`, input, error)),
  ];
}

function grantsWritten(): readonly VectorCase[] {
  const input = {
    wanted: { name: "kid", scope: ["write:ledger", "read:transactions"], ttl: null, limits: null },
    thumbprint,
    parent: { path: "team", spiffe_id: parent.id, limits: { depth: 3, fan_out: 16, budget: null } },
    key: encodeBase64(seededPkcs8(parent.id)),
    svid_sha256: parent.sha256,
    server,
    trust_domain: "acme.test",
    bundle: formatTrustBundle(domain.bundle),
  };
  const signed = {
    v: 1,
    aud: "spiffe://acme.test",
    name: "kid",
    path: "team",
    scope: ["read:transactions", "write:ledger"],
    ttl_seconds: 3600,
    limits: { depth: 2, fan_out: 16, budget: null },
    child_thumbprint: thumbprint,
    parent: parent.id,
    svid_sha256: parent.sha256,
  };
  const came = (changes: JsonObject) => ({
    lasts: 60,
    keyid: parent.sha256,
    authorities_sha256: pin,
    server,
    signed: { ...signed, ...changes },
  });
  const poor = { ...input.parent, limits: { depth: 0, fan_out: 4, budget: 10 } };
  const foreign = { ...input.parent, spiffe_id: parseSpiffeId("spiffe://acme.test/team/pay") };
  const own = { depth: 1, fan_out: 2, budget: 5 };
  return [
    granted.good("one generation less, and no budget to share", input, came({})),
    granted.good(
      "of a parent with a budget and no generation left",
      { ...input, parent: poor },
      came({
        limits: { depth: 0, fan_out: 4, budget: 0 },
      }),
    ),
    granted.good(
      "with limits of its own",
      { ...input, wanted: { ...input.wanted, ttl: "10m", limits: own } },
      came({ ttl_seconds: 600, limits: own }),
    ),
    granted.bad("by who is no instance", { ...input, parent: foreign }, "grant_invalid"),
    granted.bad("for no name", { ...input, wanted: { ...input.wanted, name: "" } }, "name_malformed"),
  ];
}

/** The members of a ticket. */
export function payloadOf(): JsonObject {
  return { ...ticketed, scope: [...ticketed.scope], limits: { ...ticketed.limits } };
}

/** A value as it travels. */
export function textOf(prefix: string, json: JsonObject): string {
  return rawOf(prefix, formatCanonicalJson(json));
}

/** The same for any text. */
export function rawOf(prefix: string, text: string): string {
  return `${prefix}${encodeBase64url(encodeUtf8(text))}`;
}
