/** D3: tokens that say how they want to be verified. */
import { createHmac } from "node:crypto";
import { defineScenario, expectSame } from "../scenario.ts";
import {
  claimsOf,
  expectNoBearer,
  expectTokenRefused,
  prepareTokens,
  showToken,
  signToken,
  type TokenScene,
} from "../support/tokens.ts";

/** Tokens whose headers say how they would like to be verified. */
function bentHeaders(scene: TokenScene): Readonly<Record<string, string>> {
  const { kid, agent, stranger, publicPem } = scene;
  const claims = claimsOf(agent);
  const empty = () => new Uint8Array();
  const hmacWith = (secret: string) => (data: Uint8Array) =>
    createHmac("sha256", secret).update(data).digest();
  const jwk = { kty: "EC", crv: "P-256", x: "A".repeat(43), y: "A".repeat(43) };
  const unsigned = signToken({ alg: "none" }, claims, empty);
  const header = { alg: "ES256", kid, typ: "JWT" };
  return {
    "alg none": unsigned,
    "alg None": signToken({ ...header, alg: "None" }, claims, empty),
    "alg nOnE with a signature": signToken({ ...header, alg: "nOnE" }, claims, stranger),
    "HS256 with the public key": signToken({ ...header, alg: "HS256" }, claims, hmacWith(publicPem)),
    "HS256 with the key after a space": signToken(
      { ...header, alg: "HS256" },
      claims,
      hmacWith(` ${publicPem}`),
    ),
    RS256: signToken({ ...header, alg: "RS256" }, claims, stranger),
    "no alg": signToken({ kid, typ: "JWT" }, claims, stranger),
    "a key in the header": signToken({ ...header, jwk }, claims, stranger),
    "a key set to fetch": signToken({ ...header, jku: "https://evil.test/jwks" }, claims, stranger),
    "certificates to fetch": signToken({ ...header, x5u: "https://evil.test/x5u" }, claims, stranger),
    "certificates in the header": signToken(
      { ...header, x5c: [agent.answer.svid_chain[0]] },
      claims,
      stranger,
    ),
    "a kid that climbs": signToken({ ...header, kid: "../../../../dev/null" }, claims, stranger),
    "a kid of SQL": signToken({ ...header, kid: "x' UNION SELECT 'key" }, claims, stranger),
    "a kid of the prototype": signToken({ ...header, kid: "__proto__" }, claims, stranger),
    "an empty kid": signToken({ ...header, kid: "" }, claims, stranger),
    "no kid": signToken({ alg: "ES256" }, claims, stranger),
    "an unknown crit": signToken({ ...header, crit: ["exp2"], exp2: 1 }, claims, scene.issuer),
    "an empty crit": signToken({ ...header, crit: [] }, claims, scene.issuer),
    "b64 false": signToken({ ...header, b64: false, crit: ["b64"] }, claims, scene.issuer),
    "a JWE around an unsigned token": [
      "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0",
      "",
      "AAAA",
      unsigned.replaceAll(".", ""),
      "AAAA",
    ].join("."),
    "another typ": signToken({ ...header, typ: "at+jwt" }, claims, scene.issuer),
    "a second alg": signToken(`{"alg":"none","alg":"ES256","kid":"${kid}"}`, claims, scene.issuer),
    "a signature of zeros": signToken(header, claims, () => new Uint8Array(64)),
    "a signature of nothing": signToken(header, claims, empty),
    "a stranger's signature": signToken(header, claims, stranger),
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D3",
  title:
    "tokens that choose their own algorithm, bring their own key, or carry headers that nobody understands",
  expected: "all refused by whoever takes tokens, and no guarded route of ours takes one",
  weakening: "jwt-signature-unchecked",
  world: {},
  prepare: prepareTokens,
  control: async (_world, scene) => {
    expectSame((await showToken(scene, scene.token)).status, 200, "an honest token");
    const made = signToken({ alg: "ES256", kid: scene.kid, typ: "JWT" }, claimsOf(scene.agent), scene.issuer);
    expectSame((await showToken(scene, made)).status, 200, "a token as the issuer makes it");
  },
  attack: async (world, scene) => {
    for (const [what, token] of Object.entries(bentHeaders(scene))) {
      await expectTokenRefused(scene, token, `a token with ${what}`);
      await expectNoBearer(world, scene, token);
    }
    await expectNoBearer(world, scene, scene.token);
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "svid_bearer_refused" }, { atLeast: 30 });
    await ledger.expect({ kind: "revoke" }, 0);
  },
});
