/** DSSE envelopes and intents: who signed, for whom, when, and for which request. */
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import { formatTime, type Intent } from "@trustwarden/core/event.ts";
import { formatRequestCommitment, issueIntent } from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, createVectorParty, NOW, seededRandom, seededSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const envelopes = casesOf("envelope");
const intents = casesOf("intent");

const domain = createVectorDomain("acme.test");
const agent = createVectorParty(domain, ["team", "pay", "inst-01J"]);
const verifier = createVectorParty(domain, ["trustwarden", "verifier", "bank", "inst-01V"]);
const salt = seededRandom("intent salt")(32);
const request = { method: "POST", target: "/transactions?dry=1", body: encodeUtf8('{"amount":5}') };

/** An intent for the request above. */
const base: Intent = {
  v: 1,
  event_id: "01990000-0000-7000-8000-000000000001",
  agent: { id: "agt_pay", spiffe_id: agent.id, svid_sha256: agent.sha256 },
  action: "write:transactions",
  resource: "postgres://finance-db/transactions",
  request: formatRequestCommitment(request, salt),
  params: null,
  aud: verifier.id,
  job: null,
  time: formatTime(NOW * 1000),
  exp: NOW + 30,
  seq: 1,
  prev: null,
  seen: null,
};

/** @returns the cases. */
export function makeIntent(): readonly VectorCase[] {
  return [...goodEnvelopes(), ...badEnvelopes(), ...goodIntents(), ...badIntents(), ...badMembers()];
}

function goodEnvelopes(): readonly VectorCase[] {
  const text = issueEnvelope("ticket", { b: 2, a: "\u20ac" }, agent.signer, "key");
  const numbered = issueEnvelope("ticket", { 9: "nine", 10: "ten" }, agent.signer, "key");
  const spki = spkiText();
  return [
    envelopes.good("a ticket", { text, name: "ticket", spki }, '{"a":"\u20ac","b":2}'),
    envelopes.good(
      "members like numbers",
      { text: numbered, name: "ticket", spki },
      '{"10":"ten","9":"nine"}',
    ),
  ];
}

function badEnvelopes(): readonly VectorCase[] {
  const text = issueEnvelope("ticket", { a: 1 }, agent.signer, "key");
  const json = JSON.parse(text);
  const [signature] = json.signatures;
  const spki = spkiText();
  const written = (changes: object) => JSON.stringify({ ...json, ...changes });
  const signed = (changes: object) => written({ signatures: [{ ...signature, ...changes }] });
  const other = encodeBase64(encodeSpki(seededSigner("somebody else").publicKey));
  const flipped = Buffer.from(signature.sig, "base64");
  flipped[40] = (flipped[40] ?? 0) ^ 1;
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["another key", { text, name: "ticket", spki: other }, "signature_invalid"],
    ["another type", { text, name: "grant", spki }, "signature_invalid"],
    [
      "one bit of the signature",
      { text: signed({ sig: flipped.toString("base64") }), name: "ticket", spki },
      "signature_invalid",
    ],
    [
      "a signature of zeros",
      { text: signed({ sig: encodeBase64(new Uint8Array(64)) }), name: "ticket", spki },
      "signature_invalid",
    ],
    [
      "another payload",
      { text: written({ payload: encodeBase64(encodeUtf8('{"a":2}')) }), name: "ticket", spki },
      "signature_invalid",
    ],
    ["a space behind it", { text: `${text} `, name: "ticket", spki }, "dsse_malformed"],
    ["a member more", { text: `${text.slice(0, -1)},"z":1}`, name: "ticket", spki }, "dsse_malformed"],
    ["no signature", { text: written({ signatures: [] }), name: "ticket", spki }, "dsse_malformed"],
    [
      "two signatures",
      { text: written({ signatures: [signature, signature] }), name: "ticket", spki },
      "dsse_malformed",
    ],
    [
      "a signature of 63 bytes",
      { text: signed({ sig: encodeBase64(new Uint8Array(63)) }), name: "ticket", spki },
      "dsse_malformed",
    ],
    [
      "base64url where base64 belongs",
      { text: signed({ sig: `${"_".repeat(85)}w==` }), name: "ticket", spki },
      "base64_malformed",
    ],
    [
      "base64 with spare bits",
      { text: written({ payload: "eyJhIjoxfR==" }), name: "ticket", spki },
      "base64_malformed",
    ],
    ["no JSON", { text: "intent", name: "ticket", spki }, "json_malformed"],
    ["a list", { text: "[]", name: "ticket", spki }, "json_malformed"],
    [
      "a member twice",
      { text: text.replace("{", '{"payload":"",'), name: "ticket", spki },
      "json_duplicate_key",
    ],
  ];
  return rows.map(([name, input, error]) => envelopes.bad(`an envelope with ${name}`, input, error));
}

function goodIntents(): readonly VectorCase[] {
  const prev = encodeBase64url(new Uint8Array(32));
  const seen = { origin: "ledger.acme.test", size: 7, root: "root" };
  const later: Intent = { ...base, seq: 9, prev, seen, job: "job-1", params: prev };
  return [
    ...[base, later].map((intent, index) => {
      const { envelope, sha256, payloadSha256 } = issueIntent(intent, agent.signer);
      const value = { action: intent.action, sha256, payload_sha256: payloadSha256 };
      return intents.good(`intent ${index + 1}`, inputOf(envelope), value);
    }),
    okAt("in the last second of its leeway", NOW + 59),
    okAt("in the first second of its leeway", NOW - 30),
  ];
}

function okAt(name: string, now: number): VectorCase {
  const { envelope, sha256, payloadSha256 } = issueIntent(base, agent.signer);
  return intents.good(
    name,
    { ...inputOf(envelope), now },
    { action: base.action, sha256, payload_sha256: payloadSha256 },
  );
}

function badIntents(): readonly VectorCase[] {
  const { envelope } = issueIntent(base, agent.signer);
  const changed = (changes: Partial<Intent>) =>
    inputOf(issueIntent({ ...base, ...changes }, agent.signer).envelope);
  const asked = (changes: JsonObject): JsonObject => ({ ...inputOf(envelope), ...changes });
  const thief = createVectorParty(domain, ["team", "thief", "inst-01T"]);
  const stranger = { id: "agt_pay", spiffe_id: agent.id, svid_sha256: thief.sha256 };
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["under another key", asked({ spki: encodeBase64(thief.spki) }), "signature_invalid"],
    ["under another certificate of the key", asked({ svid_sha256: thief.sha256 }), "svid_mismatch"],
    [
      "that names another certificate",
      inputOf(issueIntent({ ...base, agent: stranger }, agent.signer).envelope),
      "svid_mismatch",
    ],
    ["for another service", asked({ audience: agent.id }), "intent_audience"],
    ["after its leeway", asked({ now: NOW + 60 }), "intent_expired"],
    ["from the future", asked({ now: NOW - 31 }), "intent_expired"],
    ["that lives for too long", changed({ exp: NOW + 61 }), "intent_expired"],
    ["with another method", asked({ method: "PUT" }), "intent_mismatch"],
    ["with another target", asked({ target: "/transactions" }), "intent_mismatch"],
    ["with another body", asked({ body: encodeBase64(encodeUtf8('{"amount":50}')) }), "intent_mismatch"],
    ["with another salt", asked({ salt: encodeBase64(new Uint8Array(32)) }), "intent_mismatch"],
    ["that is bound to no request", changed({ request: null }), "intent_mismatch"],
  ];
  return rows.map(([name, input, error]) => intents.bad(`an intent ${name}`, input, error));
}

/** Properly signed, and not an intent. */
function badMembers(): readonly VectorCase[] {
  const { action: _, ...withoutAction } = base;
  const rows: readonly (readonly [string, object])[] = [
    ["a member more", { ...base, extra: 1 }],
    ["a member less", withoutAction],
    ["another version", { ...base, v: 2 }],
    ["a version that is true", { ...base, v: true }],
    ["an id that is no UUIDv7", { ...base, event_id: "01990000-0000-4000-8000-000000000001" }],
    [
      "an upper-case id",
      { ...base, event_id: base.event_id.replace("00000000-0000", "0000000A-0000").replace("0199", "019F") },
    ],
    ["a time without milliseconds", { ...base, time: "2026-11-14T22:13:20Z" }],
    ["a month that does not exist", { ...base, time: "2026-13-14T22:13:20.000Z" }],
    ["an end with a fraction", { ...base, exp: NOW + 0.5 }],
    ["a negative count", { ...base, seq: -1 }],
    ["a short digest", { ...base, prev: "abc" }],
    ["an empty action", { ...base, action: "" }],
    ["a resource of 2049 characters", { ...base, resource: "r".repeat(2049) }],
    ["an agent member more", { ...base, agent: { ...base.agent, role: "admin" } }],
    ["an agent that is a list", { ...base, agent: [] }],
    ["a job that is false", { ...base, job: false }],
  ];
  return rows.map(([name, payload]) => {
    const text = issueEnvelope("intent", JSON.parse(JSON.stringify(payload)), agent.signer, agent.sha256);
    return intents.bad(`an intent with ${name}`, inputOf(text), "record_malformed");
  });
}

function inputOf(envelope: string): JsonObject {
  return {
    envelope,
    spki: spkiText(),
    svid_sha256: agent.sha256,
    audience: verifier.id,
    now: NOW,
    method: request.method,
    target: request.target,
    body: encodeBase64(request.body),
    salt: encodeBase64(salt),
  };
}

function spkiText(): string {
  return encodeBase64(agent.spki);
}
