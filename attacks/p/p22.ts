/** P22: proofs of possession at the gateway that were made for something else, or shown before. */
import { randomUUID } from "node:crypto";
import { createTestSigner } from "../../test/support/oauth.ts";
import { gatewayNonceOf, SHOP_ITEM } from "../../test/support/presented.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectTurnedAway, GATEWAY_WORLD, type OAuthScene, prepareShop, present } from "../support/oauth.ts";

const HALF_AN_HOUR = 1800;

/** Everything but the proof is as it should be. */
async function showAgain(scene: OAuthScene): Promise<void> {
  const { gateway, shop } = scene;
  const proof = { jti: randomUUID(), nonce: await gatewayNonceOf(gateway) };
  expectSame((await present(scene, { proof })).status, 200, "the proof, for the first time");
  shop.received.length = 0;
  expectTurnedAway(scene, await present(scene, { proof }), "the same proof again");
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P22",
  title: "replays DPoP proofs at the gateway: the same one, of another method, URL, token, key or time",
  expected: "all refused, and nothing reaches the upstream",
  weakening: "proofs-for-anything",
  world: GATEWAY_WORLD,
  prepare: (world) => prepareShop(world),
  control: async (_world, scene) => {
    expectSame((await present(scene)).status, 200, "a proof of its own for each request");
    expectSame((await present(scene)).status, 200, "and another");
    scene.shop.received.length = 0;
  },
  attack: async (_world, scene) => {
    const now = Math.floor(Date.now() / 1000);
    const { gateway } = scene;
    const stolen = {
      "of another method": { method: "POST" },
      "of another URL": { url: `${gateway}/shop/items/2` },
      "of another server": { url: `https://127.0.0.1:1${SHOP_ITEM}` },
      "of another token": { accessToken: `${scene.token}x` },
      "of half an hour ago": { now: now - HALF_AN_HOUR },
      "of the future": { now: now + HALF_AN_HOUR },
    };
    for (const [what, proof] of Object.entries(stolen)) {
      expectTurnedAway(scene, await present(scene, { proof }), `a proof ${what}`);
    }
    expectTurnedAway(scene, await present(scene, { signer: createTestSigner() }), "a proof of another key");
    expectTurnedAway(scene, await present(scene, { proof: { nonce: "AAAA" } }), "a made-up nonce");
    await showAgain(scene);
    scene.shop.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "dpop_invalid" }, 6);
    await ledger.expect({ kind: "refuse", reason: "dpop_replayed" }, 1);
    await ledger.expect({ kind: "refuse", reason: "access_token_unbound" }, 1);
  },
});
