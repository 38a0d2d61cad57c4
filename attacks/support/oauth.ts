/** A gateway with a shop behind it, and an agent that comes with access tokens. */

import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawAnswer } from "../../test/support/http.ts";
import { createTestSigner, type TestKey, tokenOf } from "../../test/support/oauth.ts";
import { type Shop, type Shown, show, startShop } from "../../test/support/presented.ts";
import { expectSame } from "../scenario.ts";
import type { World, WorldSettings } from "./world.ts";

/** A server with a gateway. */
export const GATEWAY_WORLD: WorldSettings = { configure: () => ({ gateway: { port: 0 } }) };

export interface OAuthScene {
  readonly gateway: string;
  readonly shop: Shop;
  readonly agent: TestInstance;
  /** The key that the agent's tokens are bound to. */
  readonly key: TestKey;
  readonly token: string;
}

/** An agent with a token for the shop. */
export async function prepareShop(world: World, tokenScope = "read:items write:items"): Promise<OAuthScene> {
  const { server } = world;
  const gateway = server.gatewayUrl ?? "";
  const shop = await startShop(server);
  const agent = await world.enrol(["read:items", "write:items"]);
  const key = createTestSigner();
  const token = await tokenOf(server, agent, { resource: `${gateway}/shop`, scope: tokenScope, key });
  return { gateway, shop, agent, key, token };
}

/** Shows a token with a proof; the agent's own unless said otherwise. */
export function present(
  { gateway, key, token }: OAuthScene,
  changes: Partial<Shown> = {},
): Promise<RawAnswer> {
  return show(gateway, { token, signer: key, ...changes });
}

/** @throws Breach unless the call is refused as every unproven one is, and nothing reached the shop. */
export function expectTurnedAway(scene: OAuthScene, answer: RawAnswer, what: string): void {
  expectSame([answer.status, scene.shop.received.length], [401, 0], what);
}

/** @throws Breach unless the endpoint refuses with this OAuth error. */
export function expectOAuthError(answer: RawAnswer, error: string, what: string): void {
  expectSame([answer.status >= 400, jsonOf(answer).error], [true, error], what);
}
