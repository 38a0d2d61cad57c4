/** How agents come by another's word: registrations of foreign workloads, wishes to be claimed, and proofs of a new key. */
import { formatForeignValue } from "@trustwarden/core/agentid/foreign-agent.ts";
import { workBitsOf } from "@trustwarden/core/agentid/registration-work.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { NOW, seededPkcs8 } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";
import {
  child,
  owner,
  ownerId,
  payloadOf,
  pin,
  rawOf,
  server,
  textOf,
  thumbprint,
  ULID,
} from "./enrolment.ts";

const registrations = casesOf("registration");
const wishes = casesOf("claim_wish");
const claims = casesOf("claimed_ticket");
const possessions = casesOf("possession_written");
const works = casesOf("work_bits");

const digest = encodeBase64url(sha256(encodeUtf8("digest")));

/** @returns the cases. */
export function makeClaims(): readonly VectorCase[] {
  return [...registrationCases(), ...claimCases(), ...proofCases()];
}

function registrationCases(): readonly VectorCase[] {
  const value = {
    authoritiesSha256: pin,
    server,
    trustDomain: "spiffe://acme.test",
    spiffeId: parseSpiffeId("spiffe://partner.test/pay"),
    agentId: `agt_${ULID}`,
    instanceId: `inst-${ULID}`,
    ownerId,
    path: "team",
    name: "pay",
    scope: parseScope(["read:transactions"]),
    chain: [`owner:${ownerId}`, `agt_${ULID}`],
    expiresAt: NOW + 3600,
  };
  const json = { ...value, scope: [...value.scope] };
  const { trustDomain: _trustDomain, ownerId: _ownerId, authoritiesSha256: _pin, ...rest } = json;
  const read = { ...rest, authorities_sha256: pin, trust_domain: "acme.test" };
  const changed = (changes: JsonObject) => ({ text: textOf("twf1.", { ...json, ...changes }) });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["another prefix", { text: textOf("tw1.", json) }, "entry_invalid"],
    ["no JSON", { text: rawOf("twf1.", "[]") }, "entry_invalid"],
    ["more than 65,536 characters", { text: `twf1.${"A".repeat(65_536)}` }, "entry_invalid"],
    ["a member more", changed({ more: 1 }), "entry_invalid"],
    ["a pin that is none", changed({ authoritiesSha256: "x" }), "entry_invalid"],
    ["a trust domain that is no id", changed({ trustDomain: "acme.test" }), "spiffe_id_malformed"],
    ["a workload that is no id", changed({ spiffeId: "pay" }), "spiffe_id_malformed"],
    ["an owner that is none", changed({ ownerId: "alice" }), "entry_invalid"],
    ["a scope in another order", changed({ scope: ["write:x", "read:x"] }), "entry_invalid"],
    ["a scope that is none", changed({ scope: ["x"] }), "scope_malformed"],
    ["a name that is none", changed({ name: "Pay" }), "name_malformed"],
    ["a path that is reserved", changed({ path: "trustwarden" }), "name_malformed"],
    ["a path that is a number", changed({ path: 1 }), "entry_invalid"],
    ["no agent", changed({ agentId: "" }), "entry_invalid"],
    ["a chain that is a text", changed({ chain: "x" }), "entry_invalid"],
    ["an end that is a text", changed({ expiresAt: "1" }), "entry_invalid"],
  ];
  return [
    registrations.good("a registration", { text: ` ${formatForeignValue(value)}\n` }, read),
    registrations.good("a registration without a path", changed({ path: "" }), { ...read, path: "" }),
    ...rows.map(([name, input, error]) => registrations.bad(`a registration with ${name}`, input, error)),
  ];
}

function claimCases(): readonly VectorCase[] {
  const wish = {
    path: "team",
    name: "pay",
    scope: ["write:ledger", "read:transactions"],
    ttl: null,
    owner: null,
  };
  const canonical = { path: "team", name: "pay", scope: ["read:transactions", "write:ledger"], owner: null };
  const digestOf = (json: JsonObject) => encodeBase64url(sha256(encodeUtf8(formatCanonicalJson(json))));
  const ticketOf = (changes: JsonObject) => ({
    wish,
    owner_id: ownerId,
    thumbprint,
    ticket: issueEnvelope(
      "ticket",
      { ...payloadOf(), holder_thumbprint: thumbprint, ...changes },
      owner,
      "keyid",
    ),
  });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["another name", ticketOf({ name: "pays" }), "ticket_mismatch"],
    ["another path", ticketOf({ path: "" }), "ticket_mismatch"],
    ["another key", ticketOf({ holder_thumbprint: digest }), "ticket_mismatch"],
    ["no key", ticketOf({ holder_thumbprint: null }), "ticket_mismatch"],
    ["another owner than is said", { ...ticketOf({}), owner_id: "own_1" }, "ticket_mismatch"],
    [
      "another owner than was asked",
      { ...ticketOf({}), wish: { ...wish, owner: "own_1" } },
      "ticket_mismatch",
    ],
    ["more than was asked", ticketOf({ scope: ["read:transactions", "write:reports"] }), "ticket_mismatch"],
    ["a scope that is none", ticketOf({ scope: ["x"] }), "scope_malformed"],
    ["an envelope that is none", { ...ticketOf({}), ticket: "{}" }, "dsse_malformed"],
  ];
  return [
    wishes.good(
      "for eight hours, by whoever has the code",
      wish,
      digestOf({ ...canonical, ttl_seconds: 28_800 }),
    ),
    wishes.good(
      "for ten minutes, by one owner, without a path",
      { ...wish, path: "", ttl: "10m", owner: ownerId },
      digestOf({ ...canonical, path: "", ttl_seconds: 600, owner: ownerId }),
    ),
    wishes.bad("a wish for a name that is none", { ...wish, name: "Pay" }, "name_malformed"),
    wishes.bad("a wish for a path that is reserved", { ...wish, path: "trustwarden/x" }, "name_malformed"),
    wishes.bad("a wish for a scope that is none", { ...wish, scope: ["x"] }, "scope_malformed"),
    wishes.bad("a wish for no lifetime", { ...wish, ttl: "0s" }, "ttl_malformed"),
    claims.good("all that was asked", ticketOf({}), {
      name: "pay",
      scope: ["read:transactions", "write:ledger"],
    }),
    claims.good(
      "a part of it, by the owner who was asked",
      {
        ...ticketOf({ scope: ["read:transactions"] }),
        wish: { ...wish, owner: ownerId },
      },
      { name: "pay", scope: ["read:transactions"] },
    ),
    ...rows.map(([name, input, error]) => claims.bad(`a claim answered with ${name}`, input, error)),
  ];
}

function proofCases(): readonly VectorCase[] {
  const nonce = encodeBase64url(sha256(encodeUtf8("nonce")));
  const signed = { v: 1, nonce, thumbprint, enrolment_sha256: digest };
  const possession = issueEnvelope("possession", signed, child, thumbprint);
  const bits = (work: string) =>
    works.good(`work ${work}`, { possession, work }, workBitsOf(possession, work));
  return [
    possessions.good(
      "a proof of a new key",
      { key: encodeBase64(seededPkcs8("child")), nonce, enrolment_sha256: digest },
      { keyid: thumbprint, signed },
    ),
    ...["0", "1", "2", "3", "7", "1000", "999999999999999"].map(bits),
  ];
}
