/** E7: a gateway's stolen key, with receipts that were never shown: of another service, of another request. */
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { askDecision, parseDecision, signedRequest, type TestInstance } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal } from "../support/client.ts";
import { openProtectedShop, type ProtectedShop } from "../support/protected-shop.ts";
import type { World } from "../support/world.ts";

interface Scene extends ProtectedShop {
  readonly agent: TestInstance;
  /** A gateway of the service, whose key the attacker has. */
  readonly leaked: TestInstance;
  /** A service that the agent visits as well, and the attacker runs. */
  readonly other: TestInstance;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E7b",
  title:
    "brings the service, with a gateway's stolen key, fresh receipts of another service and of another request",
  expected: "refused: a receipt is for the gateway that its agent named, and for the request that it signed",
  weakening: "receipts-of-any-gateway",
  world: {},
  prepare: async (world): Promise<Scene> => {
    const leaked = await world.enrolVerifier();
    const shop = await openProtectedShop(world, leaked);
    return { ...shop, leaked, other: await world.enrolVerifier(), agent: await world.enrol(["read:orders"]) };
  },
  control: async (world, { agent, leaked, backend }) => {
    const won = await win(world, { agent, at: leaked, target: "/orders/42" });
    const brought = await call(backend, { target: "/orders/42", headers: won }, { tls: leaked.tls });
    expectSame(brought.status, 200, "a gateway with the decision about this very request");
  },
  attack: async (world, { agent, leaked, other, backend }) => {
    const bring = (target: string, headers: Readonly<Record<string, string>>): Promise<RawAnswer> =>
      call(backend, { target, headers }, { tls: leaked.tls });
    const unproven = { status: 401, code: "receipt_invalid" };
    const elsewhere = await win(world, { agent, at: other, target: "/orders/42" });
    expectRefusal(await bring("/orders/42", elsewhere), unproven, "a receipt of another service");
    const here = await win(world, { agent, at: leaked, target: "/orders/42" });
    expectRefusal(await bring("/orders/41", here), unproven, "a receipt of another request");
    for (const name of ["trustwarden-intent", "trustwarden-salt"]) {
      const { [name]: _, ...without } = await win(world, { agent, at: leaked, target: "/orders/42" });
      expectRefusal(await bring("/orders/42", without), unproven, `without ${name}`);
      const mixed = { ...here, [name]: elsewhere[name] ?? "" };
      expectRefusal(await bring("/orders/42", mixed), unproven, `with another ${name}`);
    }
  },
  evidence: async (ledger, { agent }) => {
    // What the service refused is nobody's action; the decisions that were won for it are there.
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id }, 4);
  },
});

/** An allowed decision about a visit, as whoever has a gateway's key asks for it: the headers that would go on. */
async function win(
  world: World,
  { agent, at, target }: { readonly agent: TestInstance; readonly at: TestInstance; readonly target: string },
): Promise<Readonly<Record<string, string>>> {
  const id = target.slice("/orders/".length);
  const order = { action: `read:orders:${id}`, resource: `shop://orders/${id}` };
  const { headers = {} } = signedRequest(agent, {
    target,
    aud: at.answer.spiffe_id,
    action: order.action,
    intent: order,
  });
  const envelope = parseUtf8(parseBase64url(String(headers["trustwarden-intent"])));
  const answer = parseDecision(await askDecision(world.server, { caller: at, agent, intent: { envelope } }));
  expectSame([answer.allow, answer.enforcement], [true, "service"], "a decision for a service");
  return { ...headers, "trustwarden-receipt": formatReceiptHeader(answer.receipt) };
}
