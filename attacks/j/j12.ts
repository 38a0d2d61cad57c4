/** J12: somebody else's stream of security events: read, emptied, silenced, and turned against an address inside. */
import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawAnswer, type RawRequest } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, UNPROVEN } from "../support/client.ts";
import { within } from "../support/model.ts";
import { callAsOwner } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Published a quarter of a second after it is durable; this is for a machine that is much slower. */
const TOLD_WITHIN_MS = 20_000;

function ask(world: World, as: TestInstance | undefined, request: RawRequest): Promise<RawAnswer> {
  return call(world.server.url, request, as === undefined ? {} : { tls: as.tls });
}

const post = (target: string, body: object): RawRequest => ({
  method: "POST",
  target,
  body: JSON.stringify(body),
});
const pollOf = (streamId: string, body: object = {}): RawRequest =>
  post(`/ssf/streams/${streamId}/poll`, { returnImmediately: true, ...body });

async function createStream(world: World, as: TestInstance): Promise<string> {
  return String(jsonOf(await ask(world, as, post("/ssf/stream", {}))).stream_id);
}

async function stop(world: World, agent: TestInstance): Promise<void> {
  const target = { kind: "instance", id: agent.answer.instance_id };
  const answer = await callAsOwner(world, post("/v1/revocations", { target }));
  expectSame(answer.status, 200, "the owner's stop");
}

/** Whether a receiver hears of so many events, when they are published. */
function hears(world: World, as: TestInstance, streamId: string, count: number): Promise<boolean> {
  return within(TOLD_WITHIN_MS, async () => {
    const { sets } = jsonOf(await ask(world, as, pollOf(streamId)));
    return Object.keys(sets ?? {}).length === count;
  });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J12",
  title:
    "takes, silences and removes another receiver's stream of stops, and asks for one to an address inside",
  expected:
    "it is not there for anybody else, nothing is pushed for whoever asks, and its receiver hears of the stop",
  weakening: "streams-are-anybodys",
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const receiver = await world.enrolVerifier();
    const mallory = await world.enrolVerifier();
    const agent = await world.enrol(["read:transactions"]);
    const other = await world.enrol(["read:transactions"]);
    return { receiver, mallory, agent, other, streamId: await createStream(world, receiver) };
  },
  control: async (world, { receiver, other }) => {
    const streamId = await createStream(world, receiver);
    await stop(world, other);
    expect(await hears(world, receiver, streamId, 2), "the events of a stop");
  },
  attack: async (world, { receiver, mallory, agent, streamId }) => {
    await stop(world, agent);
    expect(await hears(world, receiver, streamId, 4), "the receiver is told of both stops");
    const { sets } = jsonOf(await ask(world, receiver, pollOf(streamId, { maxEvents: 100 })));
    const ack = Object.keys(sets ?? {});
    const named = { stream_id: streamId };
    const attempts: readonly RawRequest[] = [
      pollOf(streamId),
      pollOf(streamId, { ack }),
      { target: `/ssf/stream?stream_id=${streamId}` },
      post("/ssf/status", { ...named, status: "disabled" }),
      post("/ssf/subjects/removed", { ...named, subject: { format: "opaque", id: "agt_none" } }),
      post("/ssf/verification", named),
      { method: "PUT", target: "/ssf/stream", body: JSON.stringify({ ...named, events_requested: [] }) },
      { method: "DELETE", target: `/ssf/stream?stream_id=${streamId}` },
    ];
    for (const request of attempts) {
      const what = `${request.method ?? "GET"} ${request.target}`;
      expectSame((await ask(world, mallory, request)).status, 404, `${what} by another service`);
      expectSame((await ask(world, undefined, request)).status, UNPROVEN.status, `${what} by nobody`);
      expectSame((await ask(world, agent, request)).status, UNPROVEN.status, `${what} by an agent`);
    }
    const inside = { method: "urn:ietf:rfc:8935", endpoint_url: "https://169.254.169.254/latest/meta-data" };
    const pushed = await ask(world, mallory, post("/ssf/stream", { delivery: inside }));
    expectSame(pushed.status, 400, "a stream that is pushed to an address inside");
    expect(await hears(world, receiver, streamId, 4), "its receiver is still owed what it has not taken");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "not_found" }, { atLeast: 1 });
    await ledger.expect({ kind: "refuse", reason: "ssf_delivery_refused" }, 1);
  },
});
