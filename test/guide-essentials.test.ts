/** The guides that everybody meets first, as their reader meets them: three questions, a stop, a policy on an MCP tool. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readGuide, Terminal } from "./support/guide.ts";
import { type RunningMcpServer, startModernServer } from "./support/mcp-servers.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let tools: RunningMcpServer;
const terminals: Terminal[] = [];

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  tools = await startModernServer();
});
afterAll(async () => {
  for (const terminal of terminals) terminal.close();
  await server?.close();
  tools?.close();
  server?.home.remove();
});

/** Runs the shell blocks of a guide in their order, with its files at hand. */
async function play(page: string, extra: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const terminal = new Terminal(server.home, extra);
  terminals.push(terminal);
  const blocks = readGuide(page);
  terminal.writeFiles(blocks);
  const shown: string[] = [];
  for (const { text } of blocks.filter(({ language }) => language === "sh"))
    shown.push(await terminal.must(text));
  return shown;
}

describe("docs/guides/three-questions.md", () => {
  it("answers all three, with proof", async () => {
    const [, acted, found, who, why, stopped, proof] = await play("three-questions.md");
    expect(acted).toBe("three invoices\ndenied\n");
    expect(found).toMatch(/denied +delete:invoices/);
    expect(who).toContain("team/finance/helper/inst-");
    for (const words of ["signed by owner own_", "clerk", "helper", "read:invoices"])
      expect(why).toContain(words);
    expect(stopped).toMatch(/^Stopped .*helper/);
    expect(proof).toContain("Verified: 1 event(s)");
  });
});

describe("docs/guides/stop.md", () => {
  it("stops one and not the rest, takes away a part, and leaves it so", async () => {
    const [, , stopped, , narrowed, job, stays] = await play("stop.md");
    expect(JSON.parse(job ?? "")).toMatchObject({ target: { kind: "job" }, behind_relays: { acked: 0 } });
    expect(stopped).toMatch(
      /Stopped .*reader[\s\S]*running\nthe child: principal_refused\nits parent: done\n/,
    );
    expect(narrowed).toBe("done done\ndone denied\n");
    expect(stays).toContain("revoked");
    expect(stays).toContain("revoke");
  });
});

describe("docs/guides/mcp-policy.md", () => {
  it("shows an agent its part of the tools, denies by argument, and has a human asked", async () => {
    const gateway = { SEARCH_URL: tools.url, GATEWAY_URL: server.gatewayUrl ?? "" };
    const [, , acted, seen] = await play("mcp-policy.md", gateway);
    expect(acted).toMatch(
      /^tools: find( remove)?\nfind: .*found invoice 7.*\nremove 8: refused: .*\nremove 7: refused: .*\n$/,
    );
    expect(tools.world.calls).toEqual([{ find: "invoice 7" }]);
    expect(seen).toContain("delete:record:7");
    expect(seen).toMatch(/denied +delete:record:8/);
  });
});
