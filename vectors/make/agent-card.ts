/** Agent cards of A2A: which bytes are signed, and whose signature counts. */
import { encodeCardPayload, issueCardSignature } from "@trustwarden/core/a2a/card.ts";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64, encodeBase64url, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { createVectorDomain, createVectorParty, NOW } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const payloads = casesOf("card_payload");
const cards = casesOf("agent_card");

const domain = createVectorDomain("acme.test");
const agent = createVectorParty(domain, ["team", "desk", "inst-01J"]);
const guest = createVectorParty(createVectorDomain("other.test"), ["team", "desk", "inst-01J"]);
const bundle = formatTrustBundle(domain.bundle);

const CARD: JsonObject = {
  name: "desk",
  description: "",
  version: "1.0",
  capabilities: { streaming: false, pushNotifications: null },
  skills: [{ id: "ask", name: "Ask", tags: ["a"], examples: [] }],
  securitySchemes: { mtls: { mutualTlsSecurityScheme: { description: "with an SVID" } } },
};

/** @returns the cases. */
export function makeAgentCard(): readonly VectorCase[] {
  return [...makePayloads(), ...makeSigned()];
}

function makePayloads(): readonly VectorCase[] {
  const good: readonly (readonly [string, JsonObject])[] = [
    ["a card without its empty values", CARD],
    ["nothing", {}],
    ["signatures are not signed", { ...CARD, signatures: [{}] }],
    ["a false that has no meaning goes", { name: "a", skills: [{ id: "a", required: false, kept: false }] }],
    ["numbers and texts beyond ASCII", { name: "\u00e4\u{1f600}", provider: { n: 1e21, m: -0 } }],
  ];
  const bad: readonly (readonly [string, JsonObject])[] = [
    ["a member that the schema does not have", { ...CARD, url: "https://desk.test" }],
    ["an empty item", { name: "a", defaultInputModes: ["text", ""] }],
    [
      "a requirement with no scopes",
      { name: "a", securityRequirements: [{ schemes: { oauth: { list: [] } } }] },
    ],
    ["a scheme that is empty", { name: "a", securitySchemes: { open: {} } }],
    ["an empty scheme of a skill", { name: "a", skills: [{ id: "a", securityRequirements: [{}] }] }],
  ];
  return [
    ...good.map(([name, card]) => payloads.good(name, { card }, parseUtf8(encodeCardPayload(card)))),
    ...bad.map(([name, card]) => payloads.bad(name, { card }, "agent_card_malformed")),
  ];
}

function makeSigned(): readonly VectorCase[] {
  const ask = (card: JsonObject, now = NOW): JsonObject => ({ card, bundle, trust_domain: "acme.test", now });
  const signed = issueCardSignature(CARD, agent);
  const byGuest = issueCardSignature(CARD, guest);
  const [own] = listOf(signed);
  return [
    cards.good("signed by an SVID that counts", ask(signed), agent.id),
    cards.good("with empty values put in", ask({ ...signed, iconUrl: "" }), agent.id),
    cards.good("signed by a stranger first", ask(issueCardSignature(byGuest, agent)), agent.id),
    cards.bad("unsigned", ask(CARD), "signature_invalid"),
    cards.bad("signed by a stranger", ask(byGuest), "signature_invalid"),
    cards.bad("another name", ask({ ...signed, name: "till" }), "signature_invalid"),
    cards.bad("after its SVID", ask(signed, NOW + 3600), "signature_invalid"),
    cards.bad("signatures that are no list", ask({ ...CARD, signatures: {} }), "agent_card_malformed"),
    cards.bad("nine signatures", ask({ ...CARD, signatures: Array(9).fill(own) }), "agent_card_malformed"),
    ...headers().map(([name, header]) => cards.bad(name, ask(withHeader(header)), "signature_invalid")),
  ];
}

function headers(): readonly (readonly [string, JsonObject])[] {
  const x5c = agent.chain.map((der) => encodeBase64(der));
  const good = { alg: "ES256", kid: agent.sha256, typ: "JOSE", x5c };
  return [
    ["no certificates", { ...good, x5c: null }],
    ["another algorithm", { ...good, alg: "none" }],
    ["another type", { ...good, typ: "JWT" }],
    ["a header that has to be understood", { ...good, crit: [] }],
    ["another key's name", { ...good, kid: guest.sha256 }],
  ];
}

/** A card whose protected header is this one, signed by the agent all the same. */
function withHeader(header: JsonObject): JsonObject {
  const text = encodeBase64url(encodeCanonicalJson(header));
  const input = encodeUtf8(`${text}.${encodeBase64url(encodeCardPayload(CARD))}`);
  return { ...CARD, signatures: [{ protected: text, signature: encodeBase64url(agent.signer.sign(input)) }] };
}

function listOf({ signatures }: JsonObject): readonly JsonObject[] {
  return Array.isArray(signatures) ? signatures.map((entry) => Object(entry)) : [];
}
