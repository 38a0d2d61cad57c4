/** M2: connections that cost their owner nothing, as many as the server takes. */
import { ownerRequest, type TestInstance } from "../../test/support/actors.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { openEvidence } from "../support/evidence.ts";
import { Links } from "../support/links.ts";
import { within } from "../support/model.ts";
import type { World } from "../support/world.ts";

/** What the fault leaves of a listener's connections. */
const PLACES = 96;
const FLOODERS = 4;
/** From the first press to the answer. */
const STOPPED_WITHIN_MS = 1_000;

interface Scene {
  readonly victim: World;
  readonly agents: readonly TestInstance[];
}

/** Presses stop until it is taken, as a person does. */
async function stop({ victim }: Pick<Scene, "victim">, agent: TestInstance, aud: string): Promise<boolean> {
  const owner = await victim.owner();
  const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
  let isStopped = false;
  return within(STOPPED_WITHIN_MS, async () => {
    if (isStopped) return true;
    const request = ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
    const answer = await call(victim.server.stopUrl, request).catch(() => undefined);
    isStopped = answer?.status === 200;
    return isStopped;
  });
}

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "M2",
  title:
    "holds every connection of both listeners: waiting, silent, with half a head, and floods with handshakes",
  expected: "the owner's stop gets through on the stop listener",
  weakening: "waiting-links-hold-the-stop-lane",
  world: {},
  prepare: async (world) => {
    const victim = await world.another({}, ["few-connections"]);
    const agents: TestInstance[] = [];
    for (let count = 0; count < 3; count += 1) agents.push(await victim.enrol(["read:transactions"]));
    return { victim, agents };
  },
  control: async (_world, { victim, agents: [agent] }) => {
    if (agent === undefined) throw new Error("there are agents");
    expect(await stop({ victim }, agent, await victim.serverId()), "a stop while nobody holds anything");
  },
  attack: async (_world, { victim, agents }) => {
    const { url, stopUrl } = victim.server;
    const aud = await victim.serverId();
    const [elsewhere, links] = [new Links(), new Links()];
    const calm = elsewhere.flood(url, FLOODERS);
    try {
      await elsewhere.open(url, "idle", PLACES / 3);
      await elsewhere.open(url, "slow", PLACES / 3);
      for (const [index, manner] of (["kept", "silent"] as const).entries()) {
        const agent = agents[index + 1];
        if (agent === undefined) throw new Error("there are agents");
        await links.open(stopUrl, manner, PLACES);
        expect(links.held > 0, "the listener is held");
        expect(await stop({ victim }, agent, aud), `a stop while ${manner} links hold the stop listener`);
        links.close();
      }
    } finally {
      await calm();
      elsewhere.close();
      links.close();
    }
    const ledger = openEvidence(victim.server.adminSocket, 0);
    const stopped = await ledger.expect({ kind: "revoke", outcome: "success" }, agents.length);
    expectSame(
      stopped.map(({ resource }) => resource),
      agents.map(({ answer }) => answer.spiffe_id),
      "who was stopped",
    );
  },
  evidence: async (ledger) => {
    // The server that was held has a ledger of its own, read above; this one saw nothing.
    await ledger.expectNothing();
  },
});
