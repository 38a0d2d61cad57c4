/** F9b: F9 over MCP: answers that cross between agents who count their requests alike. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { approveServer, callTool, MCP_WORLD, openMcpServer } from "../support/mcp.ts";

const TOOL = { name: "find", inputSchema: { type: "object" } };
/** The catalogue says 100,000; as many at once as a run of the suite has time for. */
const CALLS = 300;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F9b",
  title: `makes ${CALLS} concurrent calls of two agents with equal JSON-RPC ids to a server that goes by ids alone`,
  expected: "no crossed answer: the server never sees two requests with one id",
  weakening: "rpc-ids-as-they-come",
  world: MCP_WORLD,
  prepare: async (world) => {
    const server = await openMcpServer([TOOL]);
    const upstream = world.name("mcp");
    await approveServer(world, { name: upstream, url: server.url, settings: { recheck_seconds: 3600 } });
    const agents = [await world.enrol(["call:mcp"]), await world.enrol(["call:mcp"])] as const;
    return { server, upstream, agents };
  },
  control: async (world, { upstream, agents }) => {
    const answer = await callTool(world, agents[0], { upstream, tool: "find", values: { who: "one" } });
    expect(answer.status === 200 && answer.text.includes("one"), "one agent alone gets its answer");
  },
  attack: async (world, { server, upstream, agents }) => {
    const calls = Array.from({ length: CALLS }, async (_, index) => {
      const who = index % 2 === 0 ? 0 : 1;
      const mark = `agent-${who}-call-${index}`;
      const id = Math.floor(index / 2);
      const answer = await callTool(world, agents[who], { upstream, tool: "find", values: { mark }, id });
      return { status: answer.status, isMine: answer.text.includes(`${mark}\\"`), id, got: answer.text };
    });
    const timeout = new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error("lost")), 15_000).unref(),
    );
    const answers = await Promise.race([Promise.all(calls), timeout]).catch(() => []);
    expectSame(answers.length, CALLS, "every call is answered");
    for (const { status, isMine, id, got } of answers) {
      expectSame(status, 200, "a call's answer");
      expect(isMine && got.includes(`"id":${id}`), `an answer is its caller's: ${got.slice(0, 100)}`);
    }
    server.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "action", outcome: "success" }, CALLS);
  },
});
