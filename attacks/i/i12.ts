/** I12: what was said is to be forgotten, and the log is to stay true. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { payloadAnswer } from "@trustwarden/core/api/payloads.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, sendAdmin } from "../../test/support/http.ts";
import { signedModelCall } from "../../test/support/model/gateway-llm.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { textsIn } from "../support/backups.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { openHttp } from "../support/canary.ts";
import { call, expectRefusal } from "../support/client.ts";
import { within } from "../support/model.ts";
import type { World } from "../support/world.ts";

const PERSONAL = "Jane Doe of 7 Elm Street";
const PATIENCE_MS = 25_000;
const SETTINGS = { disclose: "full" };

interface Scene {
  readonly world: World;
  readonly url: string;
  readonly agent: TestInstance;
}

async function open(world: World): Promise<Scene> {
  const url = await openHttp((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ said: PERSONAL }));
  });
  const settings = { allow_private: true, secret: null, settings: SETTINGS };
  await operate(world, "/v1/upstreams", { name: "models", kind: "openai", url, ...settings });
  return { world, url, agent: await world.enrol(["infer:llm"]) };
}

/** @returns the event of the call. */
async function ask({ world, url, agent }: Scene): Promise<string> {
  const access = { server: world.server, model: { url }, kind: "openai", name: "models" } as const;
  const body = { model: "m", messages: [{ role: "user", content: `write to ${PERSONAL}` }] };
  const of = { path: "/v1/chat/completions", body };
  const request = await signedModelCall({ ...access, settings: SETTINGS }, agent, of);
  const answer = await call(world.server.gatewayUrl ?? "", request, { tls: agent.tls });
  expectSame(answer.status, 200, "a call to the model");
  // What is kept is on the disk when the outcome is recorded, a moment after the caller has its answer.
  const target = "/v1/events?kind=action&limit=1";
  const latest = async () => (await sendAdmin(world.server.adminSocket, { target })).text;
  const isOver = async () => (await latest()).includes('"outcome":"success"');
  expect(await within(PATIENCE_MS, isOver), "the call has an outcome");
  const [, eventId = ""] = /"event_id":"([^"]+)"/.exec(await latest()) ?? [];
  return eventId;
}

const read = ({ world }: Scene, eventId: string) =>
  sendAdmin(world.server.adminSocket, { target: `/v1/payloads/${eventId}` });
const directoryOf = ({ world }: Scene) => join(world.home.dataDir, "payloads");

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I12",
  title: "asks for the erasure of what was said to a model, then looks for it everywhere",
  expected: "nothing opens it any more; the ledger has its commitments, the erasure, and verifies",
  weakening: "erasure-keeps-the-file",
  world: WITH_GATEWAY,
  prepare: open,
  control: async (_world, scene) => {
    const kept = payloadAnswer.parse(jsonOf(await read(scene, await ask(scene))));
    expect(Buffer.from(kept.request, "base64url").includes(PERSONAL), "the operator reads what was kept");
  },
  attack: async (world, scene) => {
    const eventId = await ask(scene);
    const target = `/v1/payloads/${eventId}/erasure`;
    await operate(world, target, { reason: "GDPR article 17" });
    expectRefusal(await read(scene, eventId), { status: 404, code: "not_found" }, "reading what was erased");
    expect(!readdirSync(directoryOf(scene)).includes(`${eventId}.payload`), "its file is gone");
    const { text: events } = await sendAdmin(world.server.adminSocket, { target: "/v1/events?kind=admin" });
    expect(events.includes(`payload:${eventId}`), "that it was erased is in the ledger");
    for (const text of textsIn(world.home.dataDir))
      expect(!text.includes("Elm Street"), "nothing of it is in the data directory");
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id, outcome: "success" }, 1);
  },
});
