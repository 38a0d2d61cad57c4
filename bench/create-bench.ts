/**
 * `create` and `create-child`: from nothing to an identity that can act, at a real server in another process, against
 * one new mutual-TLS connection with one POST on it.
 */
import { Agent } from "node:https";
import { AgentIdentity } from "trustwarden";
import { callBare, createClientTls } from "./bare-call.ts";
import type { Bench, Setting } from "./bench.ts";
import { openLab } from "./lab.ts";
import { repeat, type Work } from "./measure.ts";

/** About as much as an enrolment sends. */
const BODY = JSON.stringify({ enrolment: "x".repeat(2000) });
const WARM_UP = { full: { runs: 150, atOnce: 4 }, quick: { runs: 40, atOnce: 4 } };
const REFERENCE = "one new mTLS connection and one bare POST";

export const createBench: Bench = {
  id: "create",
  what: "AgentIdentity.create with a ticket: first contact, proof of possession, SVID, ledger",
  reference: REFERENCE,
  unit: "ms",
  open: async ({ createDirectory, isQuick }) => {
    const lab = await openLab(createDirectory());
    const { bare } = await lab.startService();
    let ticket = "";
    const fresh = createFresh(() => AgentIdentity.create({ name: "payment-agent", ticket }));
    const createOne = () =>
      AgentIdentity.create({ name: "payment-agent", ticket: lab.ticket("payment-agent") });
    return {
      warmUp: () => warmUp(createOne, isQuick),
      product: {
        run: fresh.run,
        prepare: async () => {
          await fresh.prepare();
          ticket = lab.ticket("payment-agent");
        },
      },
      reference: bareWork(bare),
      close: async () => {
        await fresh.prepare();
        await lab.close();
      },
    };
  },
};

export const createChildBench: Bench = {
  id: "create-child",
  what: "AgentIdentity.create with a live parent: grant, proof of possession, SVID, ledger",
  reference: REFERENCE,
  unit: "ms",
  open: async ({ createDirectory, isQuick }: Setting) => {
    const lab = await openLab(createDirectory());
    const { bare } = await lab.startService();
    const parent = await AgentIdentity.create({ name: "orchestrator", ticket: lab.ticket("orchestrator") });
    const limits = { fan_out: 0, depth: 0 };
    const scope = ["read:transactions"];
    const createOne = () => AgentIdentity.create({ name: "helper", scope, parent, limits });
    const fresh = createFresh(createOne);
    return {
      warmUp: () => warmUp(createOne, isQuick),
      product: fresh,
      reference: bareWork(bare),
      close: async () => {
        await fresh.prepare();
        await parent.close();
        await lab.close();
      },
    };
  },
};

function warmUp(create: () => Promise<AgentIdentity>, isQuick: boolean): Promise<void> {
  return repeat(async () => (await create()).close(), isQuick ? WARM_UP.quick : WARM_UP.full);
}

/** Makes one identity a run; the one before is closed while nobody measures. */
function createFresh(create: () => Promise<AgentIdentity>): Required<Pick<Work, "run" | "prepare">> {
  let identity: AgentIdentity | undefined;
  return {
    run: async () => {
      identity = await create();
    },
    prepare: async () => {
      await identity?.close();
      identity = undefined;
    },
  };
}

function bareWork(url: string): Work {
  const tls = createClientTls();
  let agent = new Agent(tls);
  return {
    prepare: () => {
      agent.destroy();
      agent = new Agent({ ...tls, maxCachedSessions: 0 });
    },
    run: () => callBare(url, { agent, body: BODY }),
  };
}
