/**
 * `guard`: a whole guarded read of class C, one after the other, through a real service and a real server in processes
 * of their own, against the same service without `verifyAgent` on the same TLS.
 */
import { Agent } from "node:https";
import { setTimeout } from "node:timers/promises";
import { AgentIdentity } from "trustwarden";
import { callBare, createClientTls } from "./bare-call.ts";
import type { Bench } from "./bench.ts";
import { openLab } from "./lab.ts";
import { repeat } from "./measure.ts";

/** A lease comes back within a beat or two once both ends run again. */
const PATIENCE_MS = 10_000;
const RETRY_MS = 20;
const WARM_UP = { full: { runs: 2000, atOnce: 8 }, quick: { runs: 400, atOnce: 8 } };

export const guardBench: Bench = {
  id: "guard",
  what: "one guarded call of class C: intent, decision, durable record, re-check, answer, receipt proven",
  reference: "the same service without verifyAgent, kept connection, same TLS",
  unit: "ms",
  open: async ({ createDirectory, isQuick }) => {
    const lab = await openLab(createDirectory());
    const { guarded, bare } = await lab.startService();
    const identity = await AgentIdentity.create({
      name: "payment-agent",
      ticket: lab.ticket("payment-agent"),
    });
    const agent = new Agent({ ...createClientTls(), keepAlive: true });
    const call = () => callGuarded(identity, guarded);
    return {
      warmUp: () => repeat(call, isQuick ? WARM_UP.quick : WARM_UP.full),
      product: { run: call },
      reference: { run: () => callBare(`${bare}/transactions`, { agent }) },
      close: async () => {
        agent.destroy();
        await identity.close();
        await lab.close();
      },
    };
  },
};

/**
 * One guarded read, its answer read to the end. A service whose lease ran out, as on a machine that stalls, says
 * 503: the call is then made again until it is answered, and all of that is its time.
 *
 * @param origin - of the guarded service.
 * @throws Error unless allowed in the end.
 */
export async function callGuarded(identity: AgentIdentity, origin: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await identity.fetch(`${origin}/transactions`);
    const text = await answer.text();
    if (answer.status === 200) return;
    if (answer.status !== 503 || performance.now() > deadline)
      throw new Error(`the guarded service answered ${answer.status}: ${text}`);
    await setTimeout(RETRY_MS);
  }
}
