/** F21: input on which a careless pattern tries every way to fail. */
import { resourcePathOf } from "@trustwarden/core/gateway/mcp/names.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { operate } from "../support/brokered.ts";
import { approveServer, MCP_WORLD, mcpCodeOf, openMcpServer, say } from "../support/mcp.ts";
import { openTunnel } from "../support/tunnel.ts";
import { cpuMsOf } from "../support/usage.ts";
import { callAsAgent } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Enough to average the system's ticks of 10 ms. */
const TIMES = 8;
/** The catalogue asks for 10 ms; a machine that is slow at everything is slow at an honest call too. */
const MAX_EXTRA_MS = 10;
const MAX_TIMES_HONEST = 3;

const VARIABLES = "{a}{b}{c}{d}{e}{f}{g}";
const TEMPLATES = [`notes://all/${VARIABLES}/end`, "notes://one/{id}"];
/** No template makes it, and seven variables can be laid out over it in a hundred million ways. */
const URI = `notes://all/${"a".repeat(50)}/on`;
const LONG_URI = `notes://all/${"a".repeat(1900)}/on`;
const SLASHES = `notes://one/${"a/".repeat(900)}%`;

interface Scene {
  readonly server: { readonly heard: readonly object[]; close(): void };
  readonly upstream: string;
  readonly agent: TestInstance;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F21",
  title:
    "has a server offer a template of many variables, and asks with URIs, filters, scopes and places that almost match",
  expected: "refused or empty for hardly more work than an honest call",
  weakening: "templates-as-patterns",
  world: MCP_WORLD,
  prepare: async (world): Promise<Scene> => {
    const server = await openMcpServer([], TEMPLATES);
    const upstream = world.name("mcp");
    await approveServer(world, { name: upstream, url: server.url });
    await operate(world, "/v1/upstreams", {
      name: "egress",
      kind: "egress",
      url: "egress:",
      settings: { places: ["*.a.a.a.a.example:443"] },
    });
    return { server, upstream, agent: await world.enrol(["read:mcp", "connect:net:**"]) };
  },
  control: async (world, { server, upstream, agent }) => {
    const uri = "notes://one/7";
    expectSame(
      (await readResource(world, { upstream, agent }, uri)).status,
      200,
      "a URI that a template makes",
    );
    expectSame(server.heard.length, 1, "what the server heard");
  },
  attack: async (world, { server, upstream, agent }) => {
    const honestMs = await costOf(world, () => readResource(world, { upstream, agent }, "notes://one/7"));
    const limitMs = honestMs * MAX_TIMES_HONEST + MAX_EXTRA_MS;
    const heard = server.heard.length;
    for (const [what, ask] of Object.entries(attempts(world, { upstream, agent }))) {
      const costMs = await costOf(world, ask);
      expect(costMs <= limitMs, `${what} costs at most ${limitMs} ms of processor time, and not ${costMs}`);
    }
    expectSame(server.heard.length, heard, "what the server heard");
    server.close();
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "issue" }, 0);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, TIMES);
  },
});

/** Each with what must come of it. */
function attempts(
  world: World,
  scene: Pick<Scene, "upstream" | "agent">,
): Readonly<Record<string, () => Promise<void>>> {
  const refusedUri = (uri: string) => async () => {
    const answer = await readResource(world, scene, uri);
    expect(mcpCodeOf(answer) !== undefined, `${uri.slice(0, 80)} is refused: ${answer.text}`);
  };
  const emptyFilter = (name: string, value: string) => async () => {
    const target = `/v1/events?${name}=${encodeURIComponent(value)}`;
    const { status } = await callAsAgent(world, scene.agent, { target, action: "read:ledger" });
    expect(status === 200 || status === 400, `the filter ${name} is answered: ${status}`);
  };
  return {
    "a URI that almost fits": refusedUri(URI),
    "a long one": refusedUri(LONG_URI),
    "one of many segments": refusedUri(SLASHES),
    "the filter of agents": emptyFilter("agent", `${"a/".repeat(300)}!`),
    "the filter of resources": emptyFilter("resource", `${"%5c".repeat(200)}!`),
    "the filter of times": emptyFilter("since", `${"1".repeat(30)}:!`),
    "the name of an agent": async () => {
      const name = encodeURIComponent(`${"a-".repeat(60)}!`);
      const { status } = await sendAdmin(world.server.adminSocket, { target: `/v1/agents?name=${name}` });
      expectSame(status, 200, "the filter of names");
    },
    "a place of many labels": async () => {
      const status = await openTunnel(world, scene.agent, `${"a-".repeat(60)}${".a".repeat(60)}:443`);
      expect(status === 400 || status === 404, `the place is refused: ${status}`);
    },
    "scopes of many segments": async () => {
      const scope = Array.from(
        { length: 64 },
        (_, index) => `read:${"a".repeat(9)}${index}:${"a/".repeat(110)}*/**`,
      );
      const body = JSON.stringify({ instance_id: scene.agent.answer.instance_id, scope });
      const request = { method: "POST", target: "/v1/narrowings", body };
      const { status } = await sendAdmin(world.server.adminSocket, request);
      expectSame(status, 400, "scopes that are none");
    },
  };
}

function readResource(world: World, { upstream, agent }: Pick<Scene, "upstream" | "agent">, uri: string) {
  const path = resourcePathOf(uri);
  return say(world, agent, {
    upstream,
    message: { id: 1, method: "resources/read", params: { uri } },
    action: `read:mcp:${upstream}/resources/${path}`,
    resource: `mcp://${upstream}/resources/${path}`,
  });
}

/** Processor time of the server for one call, on average. */
async function costOf(world: World, ask: () => Promise<unknown>): Promise<number> {
  const { pid } = world.child;
  const before = cpuMsOf(pid);
  for (let time = 0; time < TIMES; time += 1) await ask();
  return (cpuMsOf(pid) - before) / TIMES;
}
