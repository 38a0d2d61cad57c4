/** P33: services that lead an agent on: with another's routes, to another place, without an end, as somebody who is no service. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import {
  decideAs,
  receiptHeader,
  startHostilePeer,
  startHostileService,
  startSdkAgent,
} from "../support/sdk.ts";
import { startStrangers } from "../support/strangers.ts";

/** As long as the agent waits for an answer that never comes. */
const PATIENCE_MS = 500;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P33",
  title:
    "leads a visiting agent on: another's routes, a redirect, an answer without an end, somebody who is no service",
  expected: "no intent leaves for who is not proven, no redirect is followed, and no wait is without an end",
  weakening: "routes-of-anybody",
  prepare: async (world) => {
    const agent = await startSdkAgent(world, ["read:rows", "read:transactions"]);
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    const finance = await world.finance();
    const verifier = await world.enrolVerifier();
    const sink = await startHostilePeer(verifier.tls, (_request, response) => response.end());
    const mover = await startHostileService(verifier, (request, response) => {
      const answer = async (): Promise<void> => {
        const { receipt } = await decideAs(world, verifier, request);
        response.writeHead(302, { location: `${sink.url}/rows`, ...receiptHeader(receipt) }).end();
      };
      answer().catch(() => response.destroy());
    });
    const silent = await startHostileService(verifier, () => undefined);
    return { agent, id, finance, sink, mover, silent, strangers: await startStrangers(world) };
  },
  control: async (_world, { agent, finance }) => {
    const told = await agent.tell({ do: "fetch", url: `${finance.url}/transactions` });
    expectSame(told.status, 200, "a service that proves itself and tells its own routes");
  },
  attack: async (_world, { agent, sink, mover, silent, strangers }) => {
    for (const [what, peer, code] of strangers) {
      const told = await agent.tell({ do: "fetch", url: `${peer.url}/rows` });
      const intents = peer.intents().length;
      peer.close();
      expectSame(intents, 0, `intents that went to ${what}`);
      expectSame(told, { code }, what);
    }
    const moved = await agent.tell({ do: "fetch", url: `${mover.url}/rows` });
    expectSame(moved, { status: 302, body: "" }, "a redirect is the answer, and is not followed");
    expect(sink.heard.length === 0, "nobody comes to where the redirect leads");
    const waited = await agent.tell({ do: "fetch", url: `${silent.url}/rows`, timeoutMs: PATIENCE_MS });
    expectSame(waited, { code: "server_unreachable" }, "an answer that never comes");
    for (const peer of [sink, mover, silent]) peer.close();
  },
  evidence: async (ledger, { id }) => {
    // The one that redirects asked for its decision; the silent one did not.
    await ledger.expect({ kind: "action", principal: id }, 1);
  },
});
