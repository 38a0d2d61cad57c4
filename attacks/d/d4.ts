/** D4: tokens of a careless issuer. */
import { defineScenario, expectSame } from "../scenario.ts";
import {
  AUDIENCE,
  claimsOf,
  expectNoBearer,
  expectTokenRefused,
  prepareTokens,
  showToken,
  signToken,
  type TokenScene,
} from "../support/tokens.ts";

/** Payloads that a careless issuer signs. */
function bentClaims({ agent }: TokenScene): Readonly<Record<string, object | string>> {
  const now = Math.floor(Date.now() / 1000);
  const honest = JSON.stringify(claimsOf(agent));
  return {
    "no exp": claimsOf(agent, { exp: undefined }),
    "exp as text": claimsOf(agent, { exp: String(now + 300) }),
    "a fraction of exp": claimsOf(agent, { exp: now + 300.5 }),
    "exp 1e400": honest.replace(/"exp":\d+/, '"exp":1e400'),
    "a negative exp": claimsOf(agent, { exp: -1 }),
    "exp null": claimsOf(agent, { exp: null }),
    "exp in the past": claimsOf(agent, { exp: now - 1, iat: now - 300 }),
    "exp in ten years": claimsOf(agent, { exp: now + 315_360_000 }),
    "nbf in the future": claimsOf(agent, { nbf: now + 120 }),
    "iat in the future": claimsOf(agent, { iat: now + 120 }),
    "iat as text": claimsOf(agent, { iat: "now" }),
    "no aud": claimsOf(agent, { aud: undefined }),
    "an empty aud": claimsOf(agent, { aud: [] }),
    "aud of another": claimsOf(agent, { aud: "https://elsewhere.test" }),
    "aud that begins like ours": claimsOf(agent, { aud: `${AUDIENCE}.evil.test` }),
    "aud as an object": claimsOf(agent, { aud: { [AUDIENCE]: true } }),
    "iss as a list": claimsOf(agent, { iss: ["https://acme.test"] }),
    "no sub": claimsOf(agent, { sub: undefined }),
    "sub as a list": claimsOf(agent, { sub: [agent.answer.spiffe_id] }),
    "sub of the trust domain": claimsOf(agent, { sub: "spiffe://acme.test" }),
    "sub of another domain": claimsOf(agent, { sub: "spiffe://other.test/team/finance" }),
    "sub in capitals": claimsOf(agent, { sub: agent.answer.spiffe_id.replace("acme", "ACME") }),
    "two subs": honest.replace("{", '{"sub":"spiffe://acme.test/admin",'),
    "two exps": honest.replace("{", '{"exp":1,'),
    "a payload that is a list": JSON.stringify([claimsOf(agent)]),
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D4",
  title:
    "rightly signed tokens without or with odd exp, nbf, iat, aud, iss and sub, and with claims that come twice",
  expected: "all refused",
  weakening: "jwt-claims-unchecked",
  world: {},
  prepare: prepareTokens,
  control: async (_world, scene) => {
    const header = { alg: "ES256", kid: scene.kid };
    const made = signToken(
      header,
      claimsOf(scene.agent, { aud: ["https://elsewhere.test", AUDIENCE] }),
      scene.issuer,
    );
    expectSame((await showToken(scene, made)).status, 200, "a token with honest claims");
  },
  attack: async (world, scene) => {
    const header = { alg: "ES256", kid: scene.kid };
    for (const [what, claims] of Object.entries(bentClaims(scene))) {
      const token = signToken(header, claims, scene.issuer);
      await expectTokenRefused(scene, token, `a token with ${what}`);
      await expectNoBearer(world, scene, token);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "svid_bearer_refused" }, { atLeast: 30 });
  },
});
