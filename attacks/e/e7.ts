/** E7: the service behind the gateway, called past it. */
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { askDecision, parseDecision, signedRequest, type TestInstance } from "../../test/support/actors.ts";
import { type ClientTls, jsonOf, type RawAnswer } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal } from "../support/client.ts";
import { forgeUnderLeaf } from "../support/forged.ts";
import { openProtectedShop, type ProtectedShop } from "../support/protected-shop.ts";
import type { World } from "../support/world.ts";

const ORDER = { action: "read:orders:42", resource: "shop://orders/42" };
const RECEIPT = "trustwarden-receipt";

interface Scene extends ProtectedShop {
  readonly agent: TestInstance;
  /** Another gateway of the service, whose key the attacker has. */
  readonly leaked: TestInstance;
  /** A service that has nothing to do with it. */
  readonly other: TestInstance;
  /** What the gateway brought to the service with the agent's visit: receipt, intent and salt. */
  spent: Readonly<Record<string, string>>;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E7",
  title:
    "calls the service past its gateway: as nobody, as itself, as another service, under the gateway's name, with the gateway's headers, with a gateway's key",
  expected:
    "refused without a gateway's SVID, and with one without the receipt of a fresh decision that binds there",
  weakening: "receipts-of-any-place",
  world: {},
  prepare: async (world): Promise<Scene> => {
    const leaked = await world.enrolVerifier();
    const { backend, gateway } = await openProtectedShop(world, leaked);
    const agent = await world.enrol(["read:orders:42"]);
    return { agent, other: await world.enrolVerifier(), backend, gateway, leaked, spent: {} };
  },
  control: async (world, scene) => {
    const visit = visitOf(scene);
    const answer = await call(scene.gateway.url, visit, { tls: scene.agent.tls });
    expectSame(
      [answer.status, jsonOf(answer).agent],
      [200, scene.agent.answer.spiffe_id],
      "through the gateway",
    );
    scene.spent = { ...visit.headers, [RECEIPT]: String(answer.headers[RECEIPT]) };
    expect(String(scene.spent[RECEIPT]).length > 100, "the visitor has the receipt of its visit");
    const again = await call(scene.gateway.url, visitOf(scene), { tls: scene.agent.tls });
    expectSame(again.status, 200, "and again");
    expectSame(world.child.isRunning(), true, "the server runs");
  },
  attack: async (world, { agent, other, backend, gateway, leaked, spent }) => {
    const { [RECEIPT]: receipt = "" } = spent;
    const shown = {
      "trustwarden-agent": agent.answer.spiffe_id,
      "trustwarden-action": ORDER.action,
      ...spent,
    };
    const past = (headers: Readonly<Record<string, string>>, tls?: ClientTls): Promise<RawAnswer> =>
      call(backend, { target: "/orders/42", headers }, { tls });
    expectRefusal(await past(shown), { status: 401, code: "no_svid" }, "nobody");
    const untrusted = { status: 401, code: "peer_untrusted" };
    expectRefusal(await past(shown, agent.tls), untrusted, "the agent itself, with its receipt");
    expectRefusal(await past(shown, other.tls), untrusted, "another service");
    const key = new Uint8Array(agent.signer.privateKey.export({ type: "pkcs8", format: "der" }));
    const forged = await forgeUnderLeaf(key, agent.answer.svid_chain.map(parseBase64url), {
      uris: [gateway.id],
    });
    const named = await past(shown, forged.tls);
    expectRefusal(named, { status: 401, code: "svid_untrusted" }, "a certificate of the gateway's name");
    const unproven = { status: 401, code: "receipt_invalid" };
    expectRefusal(await past({}, leaked.tls), unproven, "a gateway's key without a receipt");
    expectRefusal(
      await past(shown, leaked.tls),
      unproven,
      "a gateway's key with a receipt that was shown before",
    );
    const altered = { ...shown, [RECEIPT]: receipt.replace(/^.{40}/, (head) => head.toLowerCase()) };
    expectRefusal(await past(altered, leaked.tls), unproven, "a gateway's key with an altered receipt");
    const own = { ...shown, ...(await receiptOfOwn(world, agent)) };
    expectRefusal(
      await past(own, leaked.tls),
      unproven,
      "a gateway's key with a decision that binds the agent alone",
    );
  },
  evidence: async (ledger, { agent }) => {
    // What the service behind refused is nobody's action; the attacker's own decision is there.
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal }, 1);
  },
});

function visitOf({ agent, gateway }: Scene) {
  return signedRequest(agent, {
    target: "/orders/42",
    aud: gateway.id,
    action: ORDER.action,
    intent: ORDER,
  });
}

/** An allowed decision about the same request for the agent's own process, as headers. */
async function receiptOfOwn(world: World, agent: TestInstance): Promise<Readonly<Record<string, string>>> {
  const aud = await world.serverId();
  const { headers = {} } = signedRequest(agent, {
    target: "/orders/42",
    aud,
    action: ORDER.action,
    intent: ORDER,
  });
  const envelope = parseUtf8(parseBase64url(String(headers["trustwarden-intent"])));
  const own = parseDecision(await askDecision(world.server, { caller: agent, agent, intent: { envelope } }));
  expectSame([own.allow, own.enforcement], [true, "self"], "a decision for the agent's own process");
  return { ...headers, [RECEIPT]: formatReceiptHeader(own.receipt) };
}
