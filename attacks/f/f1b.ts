/** F1b: a server over stdio that turns on the machine that started it. */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineScenario, expectSame } from "../scenario.ts";
import { missingForWalls } from "../support/host.ts";
import { approveServer, callTool, MCP_WORLD, openSession } from "../support/mcp.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../../test/support/mcp-stdio-server.ts", import.meta.url));
const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F1b",
  title: "makes a stdio server read the server's keys, its ledger, and talk to its ports",
  expected: "the server behind its walls sees none of them",
  weakening: "servers-without-walls",
  missing: missingForWalls,
  world: MCP_WORLD,
  prepare: async (world) => {
    const command = realpathSync(process.execPath);
    const stdio = {
      command,
      sha256: digestOf(command),
      args: [SCRIPT],
      files: { [SCRIPT]: digestOf(SCRIPT) },
      env: {},
      cwd: ROOT,
    };
    const upstream = world.name("stdio");
    await approveServer(world, { name: upstream, url: `stdio://${upstream}`, settings: { stdio } });
    const agent = await world.enrol(["list:mcp", "call:mcp"]);
    const sessionId = await openSession(world, agent, upstream);
    const attempt = async (act: string, at: string): Promise<string> => {
      const asked = { upstream, tool: "try", values: { act, at }, sessionId };
      const { text } = await callTool(world, agent, asked);
      return /"text":"(\w+)"/.exec(text)?.[1] ?? text;
    };
    return { agent, attempt };
  },
  control: async (_world, { attempt }) => {
    expectSame(await attempt("read", SCRIPT), "done", "reading its own program");
    expectSame(await attempt("write", "/tmp/own"), "done", "writing to its own /tmp");
  },
  attack: async (world, { attempt }) => {
    const data = dirname(world.server.adminSocket);
    expectSame(await attempt("read", data), "ENOENT", "the data directory");
    expectSame(await attempt("read", "/etc/shadow"), "ENOENT", "the accounts of the machine");
    expectSame(await attempt("connect", new URL(world.server.url).port), "ECONNREFUSED", "the server's port");
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "action", principal: agent.answer.spiffe_id, outcome: "success" }, 3);
  },
});
