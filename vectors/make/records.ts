/** What an SDK signs and shows while it acts: intents in their order, commitments, outcomes, and calls that a gateway brings. */
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { formatTime, type Intent } from "@trustwarden/core/event.ts";
import { formatParamsCommitment, formatRequestCommitment, issueIntent } from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorParty, NOW, seededPkcs8, seededRandom } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";
import { decided, domain, headerOf, inputOf, receiptOf } from "./receipt.ts";

const intents = casesOf("intents_written");
const params = casesOf("params_commitment");
const requests = casesOf("request_commitment");
const outcomes = casesOf("outcome_written");
const brought = casesOf("brought_call");

const agent = createVectorParty(domain, ["team", "pay", "inst-01J"]);
const gateway = createVectorParty(domain, ["trustwarden", "verifier", "edge", "inst-01G"]);
const salt = seededRandom("records salt")(32);
const request = { method: "POST", target: "/transactions?dry=1", body: encodeUtf8('{"amount":5}') };
const digest = encodeBase64url(sha256(encodeUtf8("digest")));

/** @returns the cases. */
export function makeRecords(): readonly VectorCase[] {
  return [...writtenIntents(), ...commitments(), ...writtenOutcomes(), ...goodCalls(), ...badCalls()];
}

function writtenIntents(): readonly VectorCase[] {
  const draft = {
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    request: digest,
    params: null,
    audience: gateway.id,
    job: null,
  };
  const act = { ...draft, request: null, params: digest, job: "job-1" };
  const seen = { origin: "ledger.acme.test", size: 7, root: "root" };
  const signed = ({ audience, ...rest }: typeof draft | typeof act, seq: number, prev: string | null) => ({
    ...rest,
    v: 1,
    aud: audience,
    agent: { id: "agt_pay", spiffe_id: agent.id, svid_sha256: agent.sha256 },
    seq,
    prev,
    seen,
  });
  const input = {
    key: encodeBase64(seededPkcs8(agent.id)),
    agent_id: "agt_pay",
    spiffe_id: agent.id,
    svid_sha256: agent.sha256,
    seen,
  };
  const value = { keyid: agent.sha256, lasts: 60 };
  return [
    intents.good("two intents of one instance", { ...input, drafts: [draft, act] }, [
      { ...value, signed: signed(draft, 1, null) },
      { ...value, signed: signed(act, 2, "of the one before") },
    ]),
    intents.good("an intent of who has seen nothing", { ...input, seen: null, drafts: [act] }, [
      { ...value, signed: { ...signed(act, 1, null), seen: null } },
    ]),
  ];
}

function commitments(): readonly VectorCase[] {
  const rows: readonly (readonly [string, JsonObject])[] = [
    ["no members", {}],
    ["members in another order", { b: 1, a: [true, null, "\u20ac"] }],
    ["fractions and large numbers", { a: 0.1, b: 1e21, c: -0, d: 5e-324 }],
    ["members that are sorted by units and not by points", { "\ufb33": 1, "\ud83d\ude00": 2 }],
  ];
  const bodies: readonly (readonly [string, string, Uint8Array])[] = [
    ["no body", "/", new Uint8Array(0)],
    ["bytes that are no text", "/a%20b?x=%FF", Uint8Array.of(0xff, 0, 0xfe)],
  ];
  const written = encodeBase64(salt);
  return [
    ...rows.map(([name, members]) =>
      params.good(
        `params with ${name}`,
        { params: members, salt: written },
        formatParamsCommitment(members, salt),
      ),
    ),
    ...bodies.map(([name, target, body]) =>
      requests.good(
        `a request with ${name}`,
        { method: "POST", target, body: encodeBase64(body), salt: written },
        formatRequestCommitment({ method: "POST", target, body }, salt),
      ),
    ),
  ];
}

function writtenOutcomes(): readonly VectorCase[] {
  const receipt = { event_id: decided.event_id, intent_sha256: digest, decision_index: 41 };
  const input = { key: encodeBase64(seededPkcs8(agent.id)), keyid: agent.sha256, receipt };
  const signed = { ...receipt, v: 1, result: null };
  const rows: readonly (readonly [string, string, number, number, number])[] = [
    ["a success", "success", 12, 3, 3],
    ["a failure of half a millisecond", "failure", 0, 0.5, 1],
    ["an aborted act of two and a half", "aborted", 0, 2.5, 3],
    ["a clock that went back", "success", 0, -5, 0],
  ];
  return rows.map(([name, status, bytes, ms, duration_ms]) =>
    outcomes.good(
      name,
      { ...input, status, bytes, ms },
      { keyid: agent.sha256, signed: { ...signed, status, bytes, duration_ms } },
    ),
  );
}

function goodCalls(): readonly VectorCase[] {
  const value = { event_id: decided.event_id, action: "write:transactions" };
  return [
    brought.good("a call", callOf({}), value),
    brought.good("a call in its last second", callOf({ now: NOW + 29 }), value),
    brought.good("a call of a clock behind ours", callOf({ now: NOW - 29 }), value),
  ];
}

function badCalls(): readonly VectorCase[] {
  const good = callOf({});
  const { headers } = good;
  const changed = (changes: JsonObject) => ({ ...good, headers: { ...headers, ...changes } });
  const rows: readonly (readonly [string, JsonObject])[] = [
    ["half a minute late", callOf({ now: NOW + 30 })],
    ["half a minute early", callOf({ now: NOW - 30 })],
    ["no receipt", changed({ "trustwarden-receipt": null })],
    ["no intent", changed({ "trustwarden-intent": null })],
    ["no salt", changed({ "trustwarden-salt": null })],
    ["a receipt that is none", changed({ "trustwarden-receipt": "x" })],
    ["an intent that is none", changed({ "trustwarden-intent": "x" })],
    ["a salt that is none", changed({ "trustwarden-salt": "=" })],
    ["another salt", changed({ "trustwarden-salt": digest })],
    ["another gateway", { ...good, gateway: agent.id }],
    ["another method", { ...good, method: "PUT" }],
    ["another target", { ...good, target: "/transactions" }],
    ["another body", { ...good, body: encodeBase64(encodeUtf8("{}")) }],
    ["a decision that says no", callOf({ changes: { allow: false, reasons: ["scope"] } })],
    ["a decision of a gateway", callOf({ changes: { enforcement: "gateway" } })],
    ["a decision about another intent", callOf({ changes: { intent_sha256: digest } })],
  ];
  return rows.map(([name, input]) => brought.bad(`a call with ${name}`, input, "receipt_invalid"));
}

function callOf({
  now = NOW,
  changes = {},
}: {
  readonly now?: number;
  readonly changes?: Partial<typeof decided>;
}) {
  const intent: Intent = {
    v: 1,
    event_id: decided.event_id,
    agent: { id: "agt_pay", spiffe_id: agent.id, svid_sha256: agent.sha256 },
    action: "write:transactions",
    resource: "postgres://finance-db/transactions",
    request: formatRequestCommitment(request, salt),
    params: null,
    aud: gateway.id,
    job: null,
    time: formatTime(NOW * 1000),
    exp: NOW + 30,
    seq: 1,
    prev: null,
    seen: null,
  };
  const { envelope, sha256: intentSha256 } = issueIntent(intent, agent.signer);
  const receipt = receiptOf({ ...decided, intent_sha256: intentSha256, ...changes });
  const { server_sha256, server_spki, log_vkey } = inputOf(receipt);
  return {
    gateway: gateway.id,
    method: request.method,
    target: request.target,
    body: encodeBase64(request.body),
    headers: {
      "trustwarden-receipt": headerOf(receipt),
      "trustwarden-intent": encodeBase64url(encodeUtf8(envelope)),
      "trustwarden-salt": encodeBase64url(salt),
    },
    server_sha256,
    server_spki,
    log_vkey,
    now,
  };
}
