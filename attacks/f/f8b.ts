/** F8 and F2, of models: a planted string and the upstream's own key, cut over the events of a stream. */

import type { TestInstance } from "../../test/support/actors.ts";
import { signedModelCall } from "../../test/support/model/gateway-llm.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { openHttp } from "../support/canary.ts";
import { call } from "../support/client.ts";
import type { World } from "../support/world.ts";

const CANARY = "cnry_Row/17+Zx81-payroll";
const KEY = "sk-CANARY/7f3a+Zx81-9cd2";
const PIECE_CHARS = 5;
const SETTINGS = {};
/** What the model says; each answer in pieces that no event holds whole. */
const ANSWERS = {
  harmless: "nothing in row 17 is worth the while",
  canary: `row 17 says ${CANARY}, as you asked`,
  hex: `row 17 says ${Buffer.from(CANARY).toString("hex")}`,
  key: `my key is ${KEY} by the way`,
};

interface Scene {
  readonly world: World;
  readonly url: string;
  readonly agent: TestInstance;
}

let answer = ANSWERS.harmless;

const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;

async function open(world: World): Promise<Scene> {
  const url = await openHttp((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let at = 0; at < answer.length; at += PIECE_CHARS) {
      const content = answer.slice(at, at + PIECE_CHARS);
      response.write(event({ choices: [{ index: 0, delta: { content } }] }));
    }
    response.end("data: [DONE]\n\n");
  });
  const name = "model-key";
  await operate(world, "/v1/upstreams", {
    name: "models",
    kind: "openai",
    url,
    allow_private: true,
    secret: name,
    settings: SETTINGS,
  });
  await operate(world, "/v1/secrets", {
    name,
    value: KEY,
    upstreams: [{ name: "models", origin: url }],
    agents: ["agent:**"],
    injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
  });
  await operate(world, "/v1/secrets", { name: "payroll-row", kind: "canary", value: CANARY });
  return { world, url, agent: await world.enrol(["infer:llm"]) };
}

/** The words that the agent puts together of what it got; none of an answer that broke off. */
async function wordsOf({ world, url, agent }: Scene, said: string): Promise<string> {
  answer = said;
  const access = {
    server: world.server,
    model: { url },
    kind: "openai",
    name: "models",
    settings: SETTINGS,
  } as const;
  const body = { model: "m", stream: true, messages: [{ role: "user", content: "row 17?" }] };
  const request = await signedModelCall(access, agent, { path: "/v1/chat/completions", body });
  try {
    const { text } = await call(world.server.gatewayUrl ?? "", request, { tls: agent.tls });
    return [...text.matchAll(/"content":"([^"]*)"/g)].map(([, piece = ""]) => piece).join("");
  } catch {
    // An answer that breaks off is what is expected.
    return "";
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F8b",
  title: "has a model say a planted string and the upstream's key, a few letters in each event of its stream",
  expected: "neither arrives whole; one alarm each",
  weakening: "model-text-unwatched",
  world: WITH_GATEWAY,
  prepare: open,
  control: async (_world, scene) => {
    expectSame(await wordsOf(scene, ANSWERS.harmless), ANSWERS.harmless, "an answer without either");
  },
  attack: async (_world, scene) => {
    const shown: string[] = [];
    for (const said of [ANSWERS.canary, ANSWERS.hex, ANSWERS.key]) shown.push(await wordsOf(scene, said));
    const all = shown.join("\n");
    for (const secret of [CANARY, Buffer.from(CANARY).toString("hex"), KEY])
      expect(!all.includes(secret), "it does not arrive whole");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "alarm", reason: "canary_found", principal }, 2);
    await ledger.expect({ kind: "alarm", reason: "secret_echoed", principal }, 1);
  },
});
