/** P20: access tokens that were bent: what D3, D4 and D5 do to JWT-SVIDs. */
import { createHmac } from "node:crypto";
import { createSoftwareSigner } from "../../server/signer/software.ts";
import { openAuthority } from "../../test/support/authority-keys.ts";
import { claimsOf, createTestSigner, jwtOf, postForm } from "../../test/support/oauth.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectTurnedAway, GATEWAY_WORLD, type OAuthScene, prepareShop, present } from "../support/oauth.ts";
import { signToken } from "../support/tokens.ts";
import type { World } from "../support/world.ts";

/** The agent's token for one item, as it would like to have it. */
async function bentTokens(world: World, scene: OAuthScene): Promise<Readonly<Record<string, string>>> {
  const [head = "", , signature = ""] = scene.token.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url").toString());
  const honest = claimsOf(scene.token);
  const wider = { ...honest, scope: "read:items" };
  const issuer = createSoftwareSigner((await openAuthority(world.home)).pkcs8.jwt);
  const own = (data: Uint8Array) => issuer.sign(data);
  const stranger = createTestSigner();
  const pem = issuer.publicKey.export({ type: "spki", format: "pem" }).toString();
  const hmac = (data: Uint8Array) => createHmac("sha256", pem).update(data).digest();
  const exp = Math.floor(Date.now() / 1000) - 1;
  return {
    "a wider scope under the old signature": `${head}.${Buffer.from(JSON.stringify(wider)).toString("base64url")}.${signature}`,
    "a stranger's signature": signToken(header, wider, stranger.sign),
    "alg none": signToken({ ...header, alg: "none" }, wider, () => new Uint8Array()),
    "HS256 with the public key": signToken({ ...header, alg: "HS256" }, wider, hmac),
    "a key in the header": signToken({ ...header, jwk: { kty: "EC" } }, wider, stranger.sign),
    "the kid of a bundle": signToken({ ...header, kid: String(header.kid).slice(3) }, honest, own),
    "the typ of a JWT-SVID": signToken({ ...header, typ: "JWT" }, honest, own),
    "the issuer of JWT-SVIDs": signToken(header, { ...honest, iss: "https://acme.test" }, own),
    "no key to show": signToken(header, { ...honest, cnf: undefined }, own),
    "two keys to show": signToken(header, { ...honest, cnf: { ...Object(honest.cnf), jwk: {} } }, own),
    "no end": signToken(header, { ...honest, exp: undefined }, own),
    "an end in words": signToken(header, { ...honest, exp: "never" }, own),
    "an hour to live": signToken(header, { ...honest, exp: Number(honest.iat) + 3600 }, own),
    "its end behind it": signToken(header, { ...honest, iat: exp - 60, exp }, own),
    "two audiences": signToken(header, { ...honest, aud: [honest.aud, "https://b.test"] }, own),
    "a name that was never issued": signToken(header, { ...honest, jti: "01K00000000000000000000000" }, own),
    "a JWT-SVID in its place": await jwtOf(world.server, scene.agent, `${scene.gateway}/shop`),
  };
}

/** D5: the other spellings of a token that was revoked. */
async function showRevoked(world: World, scene: OAuthScene): Promise<void> {
  const { agent, token } = scene;
  const form = { client_id: agent.answer.spiffe_id, token };
  const revoked = await postForm(world.server, "/oauth/revoke", { form, tls: agent.tls });
  expectSame(revoked.status, 200, "the token is revoked");
  for (const spelled of [token, `${token}=`, `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`]) {
    expectTurnedAway(scene, await present(scene, { token: spelled }), "a revoked token, spelled anew");
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P20",
  title: "bends its own access token: wider, longer, unsigned, of another kind; spells a revoked one anew",
  expected: "all refused, whoever signed them",
  weakening: "access-token-signature-unchecked",
  world: GATEWAY_WORLD,
  prepare: (world) => prepareShop(world, "read:items:1"),
  control: async (_world, scene) => {
    expectSame((await present(scene)).status, 200, "the token as it was issued");
    scene.shop.received.length = 0;
  },
  attack: async (world, scene) => {
    for (const [what, token] of Object.entries(await bentTokens(world, scene))) {
      expectTurnedAway(scene, await present(scene, { token }), `a token with ${what}`);
    }
    await showRevoked(world, scene);
    scene.shop.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "access_token_invalid" }, { atLeast: 14 });
    await ledger.expect({ kind: "refuse", reason: "access_token_expired" }, 1);
    await ledger.expect({ kind: "token" }, 1);
  },
});
