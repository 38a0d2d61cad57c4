/** The shell blocks of `docs/guides/scan.md`, in their order, against a real server. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readGuide, Terminal } from "./support/guide.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let terminal: Terminal;

beforeAll(async () => {
  server = await startTestServer();
  terminal = new Terminal(server.home);
});
afterAll(async () => {
  terminal?.close();
  await server?.close();
  server?.home.remove();
});

test("every block of the guide does what it says, and shows no value", async () => {
  const blocks = readGuide("scan.md").filter(({ language }) => language === "sh");
  expect(blocks).toHaveLength(3);
  const [look = "", ci = "", move = ""] = blocks.map(({ text }) => text);
  const found = await terminal.must(look);
  expect(found).toMatch(
    /mcp\.json:1 +Authorization +named\/authorization +\*{4}Nw85 .*--fix: upstream search \(mcp\)/,
  );
  expect(found).toMatch(/\.env:1 +MISTRAL_API_KEY +mistral +\*{4}Ui90 .*--fix: upstream mistral \(openai\)/);
  await terminal.must(ci);
  const read = (name: string) => JSON.parse(readFileSync(join(terminal.directory, name), "utf8"));
  expect(read("scan.sarif").runs[0].results).toHaveLength(3);
  expect(read("scan.json").findings).toHaveLength(3);
  const moved = await terminal.must(move);
  for (const words of [
    "MISTRAL_API_KEY=held-by-the-gateway",
    `"url": "$\{env:SEARCH_BASE_URL}/mcp"`,
    "Bearer held-by-the-gateway",
    "DB_PASSWORD=hunter2hunter2",
    "warden secret rotate mistral-",
  ])
    expect(moved).toContain(words);
  expect(moved).toMatch(/mistral +openai +https:\/\/api\.mistral\.ai +mistral-[0-9a-f]{8}/);
  for (const value of ["Zx81plk09", "Qm51xkl20", "hunter2h"])
    expect(found + moved.replace("DB_PASSWORD=hunter2hunter2", "")).not.toContain(value);
});
