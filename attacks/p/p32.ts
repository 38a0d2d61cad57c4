/** P32: a service that says it was allowed: without a receipt, with another call's, with one that was bent. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DecisionAnswer, Receipt } from "@trustwarden/core/api/action.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { decideAs, receiptHeader, startHostileService, startSdkAgent } from "../support/sdk.ts";
import type { World } from "../support/world.ts";

const LIE = "it is done";

/** What the service answers with; made once the request is there. */
type Forgery = (
  world: World,
  verifier: TestInstance,
  request: IncomingMessage,
) => Promise<object | undefined>;

/** The receipt of an honest answer, kept for later calls. */
interface Loot {
  receipt?: Receipt;
}

const bent =
  (bend: (receipt: Receipt, loot: Receipt) => object, loot: Loot): Forgery =>
  async (world, verifier, request) => {
    const { receipt }: DecisionAnswer = await decideAs(world, verifier, request);
    if (loot.receipt === undefined) throw new Error("the control comes first");
    return bend(receipt, loot.receipt);
  };

/** What a service may try; those that ask the server for a decision first leave an event. */
function forgeries(loot: Loot): Readonly<Record<string, { readonly path: string; readonly forge: Forgery }>> {
  return {
    "no receipt": { path: "/rows", forge: async () => undefined },
    "the receipt of another call": { path: "/rows", forge: async () => loot.receipt },
    "another entry's promise of the log": {
      path: "/rows",
      forge: bent((receipt, { acknowledgement }) => ({ ...receipt, acknowledgement }), loot),
    },
    "a promise that nobody signed": {
      path: "/rows",
      forge: bent(
        (receipt) => ({
          ...receipt,
          acknowledgement: receipt.acknowledgement.replace(/.{8}\n?$/, "AAAAAAA=\n"),
        }),
        loot,
      ),
    },
    "another place in the log": {
      path: "/rows",
      forge: bent((receipt) => ({ ...receipt, decision_index: receipt.decision_index + 2 }), loot),
    },
    "another call's decision": {
      path: "/rows",
      forge: bent((receipt, { decision }) => ({ ...receipt, decision }), loot),
    },
    "the receipt of a deny": { path: "/secrets", forge: bent((receipt) => receipt, loot) },
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P32",
  title:
    "claims success to an agent: without a receipt, with those of other calls, with bent and denying ones",
  expected: "the answer is thrown away, and the agent is told that it was not proven",
  weakening: "success-without-proof",
  prepare: async (world) => {
    const agent = await startSdkAgent(world, ["read:rows"]);
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    const verifier = await world.enrolVerifier();
    const honest: Forgery = async (_world, who, request) => (await decideAs(world, who, request)).receipt;
    const mischief = { forge: honest };
    const loot: Loot = {};
    const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const receipt = await mischief.forge(world, verifier, request);
      response.writeHead(200, receipt === undefined ? {} : receiptHeader(receipt)).end(LIE);
    };
    const failed: unknown[] = [];
    const service = await startHostileService(verifier, (request, response) => {
      serve(request, response).catch((error: unknown) => {
        failed.push(error);
        response.destroy();
      });
    });
    return { agent, id, verifier, service, mischief, loot, failed };
  },
  control: async (world, { agent, service, mischief, loot, verifier }) => {
    mischief.forge = async (_world, who, request) => {
      const { receipt } = await decideAs(world, who, request);
      loot.receipt = receipt;
      return receipt;
    };
    const told = await agent.tell({ do: "fetch", url: `${service.url}/rows` });
    expectSame(told, { status: 200, body: LIE }, `an answer of ${verifier.answer.name} with its receipt`);
  },
  attack: async (_world, { agent, service, mischief, loot, failed }) => {
    for (const [what, { path, forge }] of Object.entries(forgeries(loot))) {
      mischief.forge = forge;
      const told = await agent.tell({ do: "fetch", url: `${service.url}${path}` });
      if (failed.length > 0) throw failed[0];
      expectSame(told, { code: "receipt_invalid" }, `success with ${what}`);
    }
    service.close();
  },
  evidence: async (ledger, { id }) => {
    await ledger.expect({ kind: "action", principal: id }, 5);
  },
});
