/** P23: workload proofs of others: shown again, moved to another call, put beside another token or body. */
import { randomUUID } from "node:crypto";
import type { TestInstance } from "../../test/support/actors.ts";
import { createTestSigner, postForm } from "../../test/support/oauth.ts";
import { type Shop, startShop } from "../../test/support/presented.ts";
import {
  attestationFor,
  showWit,
  signatureNonceOf,
  type TestWit,
  WIT_ON,
  witOf,
} from "../../test/support/wit.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectOAuthError } from "../support/oauth.ts";

interface Scene {
  readonly gateway: string;
  readonly shop: Shop;
  readonly agent: TestInstance;
  readonly wit: TestWit;
  /** Of another agent, who may do nothing here. */
  readonly thief: TestWit;
}

const WRITE = { method: "POST", target: "/shop/items", body: '{"n":1}' } as const;
const ISSUER = "https://acme.test/oauth";

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "P23",
  title: "shows a workload proof twice, for another URL, body, method and token, and a WIT-SVID without any",
  expected: "all refused; nothing reaches the upstream, and a caught proof buys no token",
  weakening: "workload-proofs-for-anything",
  world: { configure: () => ({ gateway: { port: 0 }, ...WIT_ON }) },
  prepare: async (world) => {
    const { server } = world;
    const agent = await world.enrol(["read:items", "write:items"]);
    const thief = await world.enrol(["read:nothing"]);
    return {
      gateway: server.gatewayUrl ?? "",
      shop: await startShop(server),
      agent,
      wit: await witOf(server, agent),
      thief: await witOf(server, thief),
    };
  },
  control: async (world, { gateway, shop, wit, agent }) => {
    expectSame((await showWit(gateway, wit)).status, 200, "a read with its own proof");
    expectSame((await showWit(gateway, { ...wit, ...WRITE })).status, 200, "a write with its own proof");
    const form = { grant_type: "client_credentials", resource: "https://a.test" };
    const token = await postForm(world.server, "/oauth/token", {
      form,
      headers: attestationFor(ISSUER, agent, wit),
    });
    expectSame(token.status, 200, "a token for its own attestation");
    shop.received.length = 0;
  },
  attack: async (world, { gateway, shop, agent, wit, thief }) => {
    const jti = randomUUID();
    const nonce = await signatureNonceOf(gateway);
    expectSame(
      (await showWit(gateway, { ...wit, nonce, proof: { jti } })).status,
      200,
      "the victim's own call",
    );
    shop.received.length = 0;
    const attempts = [
      ["a proof that was used", { ...wit, nonce, proof: { jti } }, 401],
      ["a proof for another URL", { ...wit, proof: { url: `${gateway}/shop/items/2` } }, 401],
      ["a proof for another token", { ...wit, proof: { wit: thief.token } }, 401],
      ["the victim's token with the thief's key", { token: wit.token, key: thief.key }, 401],
      ["another body under the signature", { ...wit, ...WRITE, sentBody: '{"n":9}' }, 400],
      ["a read's signature on a write", { ...wit, ...WRITE, method: "GET", sentMethod: "POST" }, 400],
      ["another key's signature", { ...wit, message: createTestSigner() }, 400],
      ["no signature", { ...wit, message: null }, 400],
      ["the bare token", { ...wit, headers: { authorization: `Bearer ${wit.token}` } }, 401],
    ] as const;
    for (const [what, shown, status] of attempts) {
      const answer = await showWit(gateway, shown);
      expectSame([answer.status, shop.received.length], [status, 0], what);
    }
    const headers = attestationFor(ISSUER, agent, wit);
    const form = { grant_type: "client_credentials", resource: "https://a.test" };
    await postForm(world.server, "/oauth/token", { form, headers });
    const again = await postForm(world.server, "/oauth/token", { form, headers });
    expectOAuthError(again, "invalid_client", "an attestation that was used");
    const forged = attestationFor(ISSUER, agent, { token: wit.token, key: thief.key });
    const bent = await postForm(world.server, "/oauth/token", { form, headers: forged });
    expectOAuthError(bent, "invalid_client", "an attestation by the thief's key");
    shop.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "wpt_invalid" }, 3);
    await ledger.expect({ kind: "refuse", reason: "wpt_replayed" }, 1);
    await ledger.expect({ kind: "refuse", reason: "message_signature_invalid" }, 3);
    await ledger.expect({ kind: "refuse", reason: "svid_bearer_refused" }, 1);
    await ledger.expect({ kind: "refuse", reason: "client_attestation_replayed" }, 1);
    await ledger.expect({ kind: "refuse", reason: "client_attestation_invalid" }, 1);
  },
});
