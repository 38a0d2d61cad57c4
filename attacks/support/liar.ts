/** A service with a genuine identity that says what it likes: what it may put in the place of a receipt. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DecisionAnswer, Receipt } from "@trustwarden/core/api/action.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { decideAs, type Ground, type HostilePeer, receiptHeader, startHostileService } from "./sdk.ts";

/** What it says that came of it. */
export const LIE = "it is done";

/** What the service answers with; made once the request is there. */
export type Forgery = (
  ground: Ground,
  verifier: TestInstance,
  request: IncomingMessage,
) => Promise<object | undefined>;

/** The receipt of an honest answer, kept for later calls. */
export interface Loot {
  receipt?: Receipt;
}

const bent =
  (bend: (receipt: Receipt, loot: Receipt) => object, loot: Loot): Forgery =>
  async (ground, verifier, request) => {
    const { receipt }: DecisionAnswer = await decideAs(ground, verifier, request);
    if (loot.receipt === undefined) throw new Error("the control comes first");
    return bend(receipt, loot.receipt);
  };

/** What a service may try; those that ask the server for a decision first leave an event. */
export function forgeries(
  loot: Loot,
): Readonly<Record<string, { readonly path: string; readonly forge: Forgery }>> {
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

/** The service, and what it does next. */
export interface Liar {
  readonly peer: HostilePeer;
  /** The honest answer is kept as loot. */
  readonly mischief: { forge: Forgery };
  readonly loot: Loot;
  /** What went wrong in the service itself. */
  readonly failed: readonly unknown[];
}

/** Starts it; it is honest until told otherwise. */
export async function startLiar(ground: Ground): Promise<Liar> {
  const verifier = await ground.enrolVerifier();
  const loot: Loot = {};
  const honest: Forgery = async (_ground, who, request) => {
    const { receipt } = await decideAs(ground, who, request);
    loot.receipt = receipt;
    return receipt;
  };
  const mischief = { forge: honest };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const receipt = await mischief.forge(ground, verifier, request);
    response.writeHead(200, receipt === undefined ? {} : receiptHeader(receipt)).end(LIE);
  };
  const failed: unknown[] = [];
  const peer = await startHostileService(verifier, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      failed.push(error);
      response.destroy();
    });
  });
  return { peer, mischief, loot, failed };
}
