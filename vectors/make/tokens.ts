/** Tokens: JWT-SVIDs, the key sets that prove them, and WIT-SVIDs, which are bound to a key. */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatP256Jwk, formatThumbprint } from "@trustwarden/core/crypto.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createVectorDomain, NOW, seededSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const jwts = casesOf("jwt_svid");
const sets = casesOf("jwt_keys");
const wits = casesOf("wit_svid");

const domain = createVectorDomain("acme.test");
const ours = seededSigner("token key");
const other = seededSigner("another token key");
const holder = seededSigner("holder of a WIT-SVID");
const keys: readonly JsonObject[] = [jwkOf(ours, "k1"), jwkOf(other, "k2")];

const HEADER: JsonObject = { alg: "ES256", kid: "k1", typ: "JWT" };
const CLAIMS: JsonObject = {
  sub: "spiffe://acme.test/team/pay",
  aud: ["a", "b"],
  exp: NOW + 300,
  iat: NOW,
};
const WIT_HEADER: JsonObject = { alg: "ES256", kid: "w1", typ: "wit+jwt" };
const confirmed: JsonObject = { ...formatP256Jwk(holder.publicKey), alg: "ES256" };
const WIT_CLAIMS: JsonObject = {
  sub: "spiffe://acme.test/team/pay/inst-01J",
  exp: NOW + 300,
  iat: NOW,
  jti: "wit-1",
  iss: "spiffe://acme.test",
  cnf: { jwk: confirmed },
};

/** A token as it is meant, or with one thing wrong. */
interface Token {
  readonly header?: JsonObject | string;
  readonly claims?: JsonObject | string;
  readonly signer?: Signer;
  readonly tail?: string;
}

/** @returns the cases. */
export function makeTokens(): readonly VectorCase[] {
  return [...goodJwts(), ...badHeaders(), ...badClaims(), ...keySets(), ...goodWits(), ...badWits()];
}

function goodJwts(): readonly VectorCase[] {
  const rows: readonly (readonly [string, Token])[] = [
    ["a token", {}],
    ["a token that names no key", { header: without(HEADER, "kid") }],
    ["a token that says no type", { header: without(HEADER, "typ") }],
    ["a token of type JOSE", { header: { ...HEADER, typ: "JOSE" } }],
    ["in its last second", { claims: { ...CLAIMS, exp: NOW + 1 } }],
    ["issued ten seconds ahead", { claims: { ...CLAIMS, iat: NOW + 10 } }],
    ["of an hour", { claims: { ...CLAIMS, exp: NOW + 3600 } }],
    [
      "that begins now and does not say when it was issued",
      { claims: { ...without(CLAIMS, "iat"), nbf: NOW } },
    ],
    ["for one audience", { claims: { ...CLAIMS, aud: "a" } }],
    ["with a member that nobody knows", { claims: { ...CLAIMS, more: { deep: [1] } } }],
    ["by another key of the set", { header: { ...HEADER, kid: "k2" }, signer: other }],
  ];
  return rows.map(([name, token]) => {
    const { aud, exp } =
      token.claims === undefined || typeof token.claims === "string" ? CLAIMS : token.claims;
    const audience = typeof aud === "string" ? [aud] : ["a", "b"];
    return jwts.good(name, jwtOf(token), {
      id: "spiffe://acme.test/team/pay",
      audience,
      expires_at: exp ?? 0,
    });
  });
}

function badHeaders(): readonly VectorCase[] {
  const text = tokenOf({});
  const malformed: readonly (readonly [string, Token])[] = [
    ["no algorithm", { header: without(HEADER, "alg") }],
    ["the algorithm none", { header: { ...HEADER, alg: "none" } }],
    ["the algorithm None", { header: { ...HEADER, alg: "None" } }],
    ["an HMAC", { header: { ...HEADER, alg: "HS256" } }],
    ["a key of its own", { header: { ...HEADER, jwk: jwkOf(other, "k1") } }],
    ["an extension", { header: { ...HEADER, crit: ["b64"], b64: false } }],
    ["the type of a WIT-SVID", { header: { ...HEADER, typ: "wit+jwt" } }],
    ["no text for a type", { header: { ...HEADER, typ: null } }],
    ["a number for a key", { header: { ...HEADER, kid: 1 } }],
    ["an empty key", { header: { ...HEADER, kid: "" } }],
    ["a key of 257 characters", { header: { ...HEADER, kid: "k".repeat(257) } }],
    ["a header twice", { header: '{"alg":"ES256","kid":"k1","kid":"k1"}' }],
    ["a header that is a list", { header: "[]" }],
    ["padding behind it", { tail: "=" }],
    ["a space behind it", { tail: " " }],
    ["a line's end behind it", { tail: "\n" }],
    ["four parts", { tail: ".x" }],
  ];
  const untrusted: readonly (readonly [string, Token])[] = [
    ["a key that is not in the set", { header: { ...HEADER, kid: "../k1" } }],
    ["another key's name", { header: { ...HEADER, kid: "k2" } }],
    ["a stranger's signature", { signer: seededSigner("stranger") }],
    [
      "a stranger's signature and no name",
      { header: without(HEADER, "kid"), signer: seededSigner("stranger") },
    ],
    ["the algorithm of another curve", { header: { ...HEADER, alg: "ES384" } }],
    ["the algorithm of another kind of key", { header: { ...HEADER, alg: "RS256" } }],
  ];
  return [
    ...malformed.map(([name, token]) => jwts.bad(`a token with ${name}`, jwtOf(token), "svid_malformed")),
    ...untrusted.map(([name, token]) => jwts.bad(`a token with ${name}`, jwtOf(token), "svid_untrusted")),
    jwts.bad("no token", { ...jwtOf({}), token: "" }, "svid_malformed"),
    jwts.bad("two parts", { ...jwtOf({}), token: "a.b" }, "svid_malformed"),
    jwts.bad("an empty part", { ...jwtOf({}), token: text.replace(/\.[^.]*$/, ".") }, "svid_malformed"),
    jwts.bad("8,193 characters", { ...jwtOf({}), token: "x".repeat(8193) }, "svid_malformed"),
  ];
}

function badClaims(): readonly VectorCase[] {
  const rows: readonly (readonly [string, JsonObject | string, ErrorCode])[] = [
    ["no end", without(CLAIMS, "exp"), "svid_malformed"],
    ["an end that is text", { ...CLAIMS, exp: String(NOW + 300) }, "svid_malformed"],
    ["an end with a fraction", { ...CLAIMS, exp: NOW + 0.5 }, "svid_malformed"],
    ["an end before 1970", { ...CLAIMS, exp: -1 }, "svid_malformed"],
    ["an endless end", JSON.stringify(CLAIMS).replace(String(NOW + 300), "1e400"), "svid_malformed"],
    ["a start that is nothing", { ...CLAIMS, nbf: null }, "svid_malformed"],
    ["a start that is true", { ...CLAIMS, nbf: true }, "svid_malformed"],
    ["an issuer that is a list", { ...CLAIMS, iss: ["https://a.test"] }, "svid_malformed"],
    ["an id that is a number", { ...CLAIMS, jti: 7 }, "svid_malformed"],
    ["no audience", without(CLAIMS, "aud"), "svid_malformed"],
    ["an empty list of audiences", { ...CLAIMS, aud: [] }, "svid_malformed"],
    ["an empty audience", { ...CLAIMS, aud: ["a", ""] }, "svid_malformed"],
    ["an audience that is a number", { ...CLAIMS, aud: ["a", 1] }, "svid_malformed"],
    ["an audience that is an object", { ...CLAIMS, aud: { a: 1 } }, "svid_malformed"],
    ["17 audiences", { ...CLAIMS, aud: Array.from({ length: 17 }, (_, at) => `${at}`) }, "svid_malformed"],
    ["other audiences", { ...CLAIMS, aud: ["b", "c"] }, "svid_audience"],
    ["two audiences in one text", { ...CLAIMS, aud: "a,b" }, "svid_audience"],
    ["no subject", without(CLAIMS, "sub"), "svid_malformed"],
    ["a subject that is a trust domain", { ...CLAIMS, sub: "spiffe://acme.test" }, "svid_malformed"],
    ["a subject that is a list", { ...CLAIMS, sub: ["spiffe://acme.test/x"] }, "svid_malformed"],
    [
      "a subject of another trust domain",
      { ...CLAIMS, sub: "spiffe://other.test/x" },
      "trust_domain_unknown",
    ],
    ["an end that has come", { ...CLAIMS, exp: NOW }, "svid_expired"],
    ["a start eleven seconds ahead", { ...CLAIMS, nbf: NOW + 11 }, "svid_not_yet_valid"],
    ["an issue eleven seconds ahead", { ...CLAIMS, iat: NOW + 11 }, "svid_not_yet_valid"],
    ["a life of more than an hour", { ...CLAIMS, exp: NOW + 3601 }, "svid_too_long_lived"],
    [
      "a life of more than an hour from now",
      { ...without(CLAIMS, "iat"), exp: NOW + 3601 },
      "svid_too_long_lived",
    ],
    ["an audience twice", `${JSON.stringify(CLAIMS).slice(0, -1)},"aud":"a"}`, "svid_malformed"],
  ];
  return rows.map(([name, claims, error]) => jwts.bad(`claims with ${name}`, jwtOf({ claims }), error));
}

function keySets(): readonly VectorCase[] {
  const jwk = jwkOf(ours, "k1");
  const ours384 = { ...jwk, crv: "P-384" };
  const taken: readonly (readonly [string, readonly Json[], readonly string[]])[] = [
    ["two keys", keys, ["k1", "k2"]],
    ["no key", [], []],
    ["a key for this use", [{ ...jwk, use: "jwt-svid" }], ["k1"]],
    ["a key for verifying", [{ ...jwk, key_ops: ["verify"] }], ["k1"]],
    ["a key that names its algorithm", [{ ...jwk, alg: "ES256" }], ["k1"]],
    ["RSA of 2,048 bits", [rsaOf(2048)], ["r"]],
    ["RSA of 8,192 bits", [rsaOf(8192)], ["r"]],
    ["RSA of 2,047 bits is left out", [rsaOf(2047)], []],
    ["RSA of 8,193 bits is left out", [rsaOf(8193)], []],
    ["a key of another use is left out", [{ ...jwk, use: "sig" }], []],
    ["a key of another algorithm is left out", [{ ...jwk, alg: "EdDSA" }], []],
    ["a key of two algorithms is left out", [{ ...jwk, alg: ["ES256"] }], []],
    ["a key for signing is left out", [{ ...jwk, key_ops: ["sign"] }], []],
    ["a key of another kind is left out", [{ kty: "OKP", crv: "Ed25519", x: "AA", kid: "o" }], []],
    ["a key of another curve is left out", [{ ...jwk, crv: "secp256k1" }], []],
    ["a key of two curves is left out", [{ ...jwk, crv: ["P-256"] }], []],
    ["what is no object is left out", [7, null, jwk], ["k1"]],
  ];
  const refused: readonly (readonly [string, readonly Json[]])[] = [
    ["a private key", [{ ...jwk, d: "AA" }]],
    ["a key without a name", [without(jwk, "kid")]],
    ["a key with an empty name", [{ ...jwk, kid: "" }]],
    ["a key with a name of 257 characters", [{ ...jwk, kid: "k".repeat(257) }]],
    ["one name for two keys", [jwk, jwkOf(other, "k1")]],
    ["a point that is on no curve", [{ ...jwk, y: encodeBase64url(new Uint8Array(32).fill(1)) }]],
    ["a coordinate of another curve", [ours384]],
    ["a coordinate that is too long", [{ ...jwk, x: `AA${String(jwk.x)}` }]],
    ["a coordinate that is a number", [{ ...jwk, x: 1 }]],
    ["an RSA key without an exponent", [without(rsaOf(2048), "e")]],
    ["an RSA key with an even exponent", [{ ...rsaOf(2048), e: "Ag" }]],
    ["an RSA key whose modulus is a number", [{ ...rsaOf(2048), n: 1 }]],
    ["65 keys", Array.from({ length: 65 }, () => ({}))],
  ];
  return [
    ...taken.map(([name, list, kids]) => sets.good(name, { keys: [...list] }, [...kids])),
    ...refused.map(([name, list]) => sets.bad(name, { keys: [...list] }, "workload_answer_refused")),
  ];
}

function goodWits(): readonly VectorCase[] {
  const rows: readonly (readonly [string, JsonObject])[] = [
    ["a token of a key", WIT_CLAIMS],
    ["in its last second", { ...WIT_CLAIMS, exp: NOW + 1 }],
    ["of an hour", { ...WIT_CLAIMS, exp: NOW + 3600 }],
    ["that begins ten seconds ahead", { ...WIT_CLAIMS, nbf: NOW + 10 }],
    ["whose issue is ahead, which says nothing", { ...WIT_CLAIMS, iat: NOW + 1000 }],
    ["with neither issuer nor id", without(without(WIT_CLAIMS, "iss"), "jti")],
  ];
  return rows.map(([name, claims]) => wits.good(name, witOf({ claims }), { expires_at: claims.exp ?? 0 }));
}

function badWits(): readonly VectorCase[] {
  const cnf = (changes: JsonObject): JsonObject => ({
    ...WIT_CLAIMS,
    cnf: { jwk: { ...confirmed, ...changes } },
  });
  const claimed: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["an audience", { ...WIT_CLAIMS, aud: "a" }, "svid_malformed"],
    ["no end", without(WIT_CLAIMS, "exp"), "svid_malformed"],
    ["an end that is text", { ...WIT_CLAIMS, exp: "1" }, "svid_malformed"],
    ["an issue that is text", { ...WIT_CLAIMS, iat: "1" }, "svid_malformed"],
    ["a start that is text", { ...WIT_CLAIMS, nbf: "1" }, "svid_malformed"],
    ["an id that is a number", { ...WIT_CLAIMS, jti: 1 }, "svid_malformed"],
    ["an issuer that is a number", { ...WIT_CLAIMS, iss: 1 }, "svid_malformed"],
    ["no subject", without(WIT_CLAIMS, "sub"), "svid_malformed"],
    ["a subject that is a trust domain", { ...WIT_CLAIMS, sub: "spiffe://acme.test" }, "svid_malformed"],
    ["no key of its holder", without(WIT_CLAIMS, "cnf"), "svid_malformed"],
    [
      "a key that says no algorithm",
      { ...WIT_CLAIMS, cnf: { jwk: without(confirmed, "alg") } },
      "svid_malformed",
    ],
    ["a key of another algorithm", cnf({ alg: "ES384" }), "svid_malformed"],
    ["a private key", cnf({ d: "AA" }), "svid_malformed"],
    ["a key that is on no curve", cnf({ y: encodeBase64url(new Uint8Array(32).fill(1)) }), "svid_malformed"],
    ["an end that has come", { ...WIT_CLAIMS, exp: NOW }, "svid_expired"],
    ["a start eleven seconds ahead", { ...WIT_CLAIMS, nbf: NOW + 11 }, "svid_not_yet_valid"],
    ["more than an hour to go", { ...WIT_CLAIMS, exp: NOW + 3601 }, "svid_too_long_lived"],
    ["another instance", { ...WIT_CLAIMS, sub: "spiffe://acme.test/team/pay/inst-01K" }, "server_untrusted"],
    ["another key", cnf({ ...formatP256Jwk(other.publicKey) }), "server_untrusted"],
  ];
  const headed: readonly (readonly [string, Token, ErrorCode])[] = [
    ["the type of a JWT-SVID", { header: { ...WIT_HEADER, typ: "JWT" } }, "svid_malformed"],
    ["no name of its key", { header: without(WIT_HEADER, "kid") }, "svid_malformed"],
    ["a key of its own", { header: { ...WIT_HEADER, jwk: confirmed } }, "svid_malformed"],
    ["another algorithm", { header: { ...WIT_HEADER, alg: "ES384" } }, "svid_malformed"],
    ["a key that is not in the bundle", { header: { ...WIT_HEADER, kid: "w2" } }, "svid_untrusted"],
    ["the key of JWT-SVIDs", { header: { ...WIT_HEADER, kid: "k1" } }, "svid_untrusted"],
    ["a stranger's signature", { signer: other }, "svid_untrusted"],
  ];
  return [
    ...claimed.map(([name, claims, error]) => wits.bad(`a token with ${name}`, witOf({ claims }), error)),
    ...headed.map(([name, token, error]) => wits.bad(`a token with ${name}`, witOf(token), error)),
  ];
}

function jwtOf(token: Token): JsonObject {
  const trust_domain = domain.trustDomain;
  return { token: tokenOf(token), keys: [...keys], trust_domain, audience: "a", now: NOW };
}

function witOf({ header = WIT_HEADER, claims = WIT_CLAIMS, ...rest }: Token): JsonObject {
  const document = JSON.parse(formatTrustBundle(domain.bundle));
  const named = { ...jwkOf(ours, "w1"), use: "wit-svid" };
  const bearer = { ...jwkOf(ours, "k1"), use: "jwt-svid" };
  return {
    token: tokenOf({ header, claims, ...rest }),
    bundle: JSON.stringify({ ...document, keys: [document.keys[0], named, bearer] }),
    trust_domain: domain.trustDomain,
    id: "spiffe://acme.test/team/pay/inst-01J",
    thumbprint: formatThumbprint(holder.publicKey),
    now: NOW,
  };
}

function tokenOf({ header = HEADER, claims = CLAIMS, signer = ours, tail = "" }: Token): string {
  const signed = [header, claims].map((part) => {
    const text = typeof part === "string" ? part : JSON.stringify(part);
    return encodeBase64url(encodeUtf8(text));
  });
  const input = signed.join(".");
  return `${input}.${encodeBase64url(signer.sign(encodeUtf8(input)))}${tail}`;
}

function jwkOf({ publicKey }: Signer, kid: string): JsonObject {
  return { ...formatP256Jwk(publicKey), kid };
}

/** An odd modulus of so many bits: no key, and only its size is looked at. */
function rsaOf(bits: number): JsonObject {
  const bytes = new Uint8Array(Math.ceil(bits / 8));
  bytes[0] = 1 << ((bits - 1) % 8);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1;
  return { kty: "RSA", kid: "r", n: encodeBase64url(bytes), e: "AQAB" };
}

function without(members: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([member]) => member !== name));
}
