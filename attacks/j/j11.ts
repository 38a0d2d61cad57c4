/** J11: "stop" is pressed while the one who is meant keeps the server busy. */
import type { Agent } from "node:https";
import { intentOf, ownerRequest, type TestInstance, type TestOwner } from "../../test/support/actors.ts";
import { type RawRequest, sendOver } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, expectRefusal, openAgent, UNPROVEN } from "../support/client.ts";
import { openEvidence } from "../support/evidence.ts";
import { within } from "../support/model.ts";
import type { World } from "../support/world.ts";

/** So few that whoever needs one finds none while the flood lasts. */
const PLACES = 2;
const LANES = 30;
/** Stops while the flood lasts, one after the other: of each agent that helps to flood. */
const FLOODERS = 6;
/** The count of what was refused is written within a second; this is for a machine that is much slower. */
const COUNTED_WITHIN_MS = 60_000;

/** One answer to a flooder. */
interface Answered {
  readonly flooder: TestInstance;
  readonly askedAt: bigint;
  readonly status: number;
}

interface Flood {
  readonly answers: readonly Answered[];
  end(): Promise<void>;
}

/** A question of an agent about an act of its own. */
function question(agent: TestInstance, aud: string): RawRequest {
  const { envelope } = intentOf(agent, { aud });
  const body = JSON.stringify({ intent: envelope, svid_chain: agent.answer.svid_chain });
  return { method: "POST", target: "/v1/decisions", body };
}

/** The owner's stop of an agent's instance. */
function stopOf({ answer }: TestInstance, owner: TestOwner, aud: string): RawRequest {
  const body = JSON.stringify({ target: { kind: "instance", id: answer.instance_id } });
  return ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
}

function flood(world: World, flooders: readonly TestInstance[], aud: string): Flood {
  const answers: Answered[] = [];
  let isOver = false;
  const open = new Map(flooders.map((flooder) => [flooder, openAgent({ tls: flooder.tls })]));
  const ask = async (flooder: TestInstance, over: Agent): Promise<void> => {
    const request = question(flooder, aud);
    const askedAt = process.hrtime.bigint();
    const { status } = await sendOver(world.server.url, request, over).catch(() => ({ status: 0 }));
    answers.push({ flooder, askedAt, status });
  };
  const lanes = Array.from({ length: LANES }, async () => {
    while (!isOver) for (const [flooder, over] of open) await ask(flooder, over);
  });
  return {
    answers,
    end: async () => {
      isOver = true;
      await Promise.all(lanes);
      for (const over of open.values()) over.destroy();
    },
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J11",
  title: "floods the server from its owner's own machine, so that the owner's stop finds no place",
  expected: "every stop takes effect at once, on either listener, and is recorded; the flood is refused",
  weakening: "stops-take-places",
  world: { configure: () => ({ intake: { requests: PLACES } }) },
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const flooders: TestInstance[] = [];
    for (let count = 0; count < FLOODERS; count += 1) flooders.push(await world.enrol(["read:transactions"]));
    return {
      owner: await world.owner(),
      aud: await world.serverId(),
      flooders,
      quiet: await world.enrol(["read:transactions"]),
    };
  },
  control: async (world, { owner, aud, quiet }) => {
    expectSame(
      (await call(world.server.url, stopOf(quiet, owner, aud))).status,
      200,
      "a stop while nobody floods",
    );
  },
  attack: async (world, { owner, aud, flooders }) => {
    const running = flood(world, flooders, aud);
    const isFull = () => running.answers.some(({ status }) => status === 429);
    const stopped = new Map<TestInstance, bigint>();
    try {
      expect(await within(COUNTED_WITHIN_MS, isFull), "the flood takes all places");
      for (const [index, flooder] of flooders.entries()) {
        const { url, stopUrl } = world.server;
        const answer = await call(index % 2 === 0 ? url : stopUrl, stopOf(flooder, owner, aud));
        expectSame(answer.status, 200, "a stop in the flood of the one who is meant");
        stopped.set(flooder, process.hrtime.bigint());
      }
    } finally {
      await running.end();
    }
    const late = running.answers.filter(
      ({ flooder, askedAt, status }) => status === 200 && askedAt > (stopped.get(flooder) ?? 0n),
    );
    expectSame(late.length, 0, "decisions that were asked for after the stop, and allowed");
    const [flooder] = flooders;
    if (flooder === undefined) throw new Error("somebody floods");
    const after = await call(world.server.url, question(flooder, aud), { tls: flooder.tls });
    expectRefusal(after, UNPROVEN, "after the flood");
    const ledger = openEvidence(world.server.adminSocket, 0);
    const isCounted = async () =>
      (await ledger.matching({ kind: "refuse", reason: "overloaded" })).length > 0;
    expect(await within(COUNTED_WITHIN_MS, isCounted), "what was refused of the flood is counted");
  },
  evidence: async (ledger, { flooders }) => {
    const revoked = await ledger.expect(
      { kind: "revoke", principal: /^owner:own_/, outcome: "success" },
      FLOODERS,
    );
    expectSame(
      revoked.map(({ resource }) => resource),
      flooders.map(({ answer }) => answer.spiffe_id),
      "who was stopped",
    );
  },
});
