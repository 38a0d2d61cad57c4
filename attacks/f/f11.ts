/** F11: a token that was meant for somebody else, and a gateway that is asked to pass its caller's token on. */
import { jsonOf } from "../../test/support/http.ts";
import {
  ACCESS_TOKEN,
  claimsOf,
  postForm,
  proofFor,
  TOKEN_EXCHANGE,
  tokenOf,
} from "../../test/support/oauth.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectOAuthError, expectTurnedAway, GATEWAY_WORLD, prepareShop, present } from "../support/oauth.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F11",
  title: "shows server B a token meant for A, exchanges a token meant for another, and has its own passed on",
  expected: "refused; no credential of a caller ever reaches an upstream",
  weakening: "any-token-audience",
  world: GATEWAY_WORLD,
  prepare: async (world) => ({ ...(await prepareShop(world)), thief: await world.enrol(["read:items"]) }),
  control: async (_world, scene) => {
    const headers = { "proxy-authorization": `DPoP ${scene.token}`, cookie: `token=${scene.token}` };
    expectSame((await present(scene, { headers })).status, 200, "the token at the server that it is for");
    const [received] = scene.shop.received.splice(0);
    expect(received !== undefined, "the upstream was reached");
    expect(!JSON.stringify(received).includes(scene.token), "the upstream never sees the caller's token");
  },
  attack: async (world, scene) => {
    const { agent, key, thief } = scene;
    const { server } = world;
    const elsewhere = await tokenOf(server, agent, { resource: "https://a.example.test", key });
    expectTurnedAway(scene, await present(scene, { token: elsewhere }), "a token for another resource");
    const mill = await present(scene, { target: "/mill/items/1" });
    expectTurnedAway(scene, mill, "a token for another upstream of the same gateway");
    const form = {
      grant_type: TOKEN_EXCHANGE,
      client_id: thief.answer.spiffe_id,
      subject_token_type: ACCESS_TOKEN,
      subject_token: scene.token,
      scope: "read:items",
      resource: "https://a.example.test",
    };
    const headers = await proofFor(server, thief.signer);
    const exchanged = await postForm(server, "/oauth/token", { form, tls: thief.tls, headers });
    const got = exchanged.status === 200 ? claimsOf(String(jsonOf(exchanged).access_token)).sub : undefined;
    expect(got !== agent.answer.spiffe_id, "nobody acts for an agent that did not name them");
    expectOAuthError(exchanged, "invalid_request", "the exchange of a token meant for another");
    scene.shop.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "access_token_audience" }, 2);
    await ledger.expect({ kind: "refuse", reason: "subject_token_refused" }, 1);
  },
});
