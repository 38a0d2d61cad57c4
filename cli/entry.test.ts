/** `warden entry` against a running server: what an owner registers, sees and removes, and what an operator admits. */
import { rmSync } from "node:fs";
import { entryList } from "@trustwarden/core/api/registration.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createHome, type Ran, runWarden } from "./testing.ts";

const home = createHome();
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  expect((await warden("owner", "create", "alice")).exitCode).toBe(0);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

function warden(...args: readonly string[]): Promise<Ran> {
  const { dataDir, configDir } = server.home;
  return runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
}

const CRAWLER = ["--owner", "alice", "--path", "team/web", "--name", "crawler", "--scope", "fetch:web"];

async function entries(...args: readonly string[]) {
  return entryList
    .pick({ entries: true })
    .parse(JSON.parse((await warden("entry", "list", "--json", ...args)).stdout)).entries;
}

test("an owner's entry is signed, registered, listed, shown and removed", async () => {
  const created = await warden(
    ...["entry", "create", ...CRAWLER, "--selector", "unix:uid:1000", "--selector", "unix:gid:7"],
    ...["--node", "host-2", "--node", "host-1", "--hint", "crawler", "--json"],
  );
  expect(created.stderr).toBe("");
  const { entry_id: id } = JSON.parse(created.stdout);
  expect(await entries("--as", "alice")).toMatchObject([
    {
      entry_id: id,
      kind: "agent",
      path: "team/web",
      name: "crawler",
      scope: ["fetch:web"],
      selectors: ["unix:gid:7", "unix:uid:1000"],
      nodes: ["host-1", "host-2"],
      hint: "crawler",
      status: "live",
      ttl_seconds: 28_800,
    },
  ]);
  expect((await warden("entry", "show", id)).stdout).toContain("team/web/crawler  (agent, live)");
  expect((await warden("entry", "remove", id, "--as", "alice")).exitCode).toBe(0);
  expect((await entries())[0]?.status).toBe("removed");
});

test("weak, odd and incomplete entries are refused before anything is registered", async () => {
  const before = await entries();
  const weak = await warden("entry", "create", ...CRAWLER, "--selector", "unix:path:/usr/bin/crawler");
  expect([weak.exitCode, weak.stderr.includes("selectors_too_weak")]).toEqual([1, true]);
  const odd = await warden("entry", "create", ...CRAWLER, "--selector", "uid=1000");
  expect([odd.exitCode, odd.stderr.includes("selector_malformed")]).toEqual([1, true]);
  const long = await warden("entry", "create", ...CRAWLER, "--selector", "unix:uid:1", "--valid-for", "367d");
  expect([long.exitCode, long.stderr.includes("entry_invalid")]).toEqual([1, true]);
  const unnamed = await warden("entry", "create", "--owner", "alice", "--selector", "unix:uid:1");
  expect(unnamed.exitCode).toBe(2);
  expect(await entries()).toEqual(before);
});

test("an operator admits nodes, and an owner does not", async () => {
  const args = ["entry", "create", "--admit-node", "runner", "--selector", "aws:account:123456789012"];
  expect((await warden(...args)).exitCode).toBe(0);
  const refused = await warden(...args, "--as", "alice");
  expect([refused.exitCode, refused.stderr.includes("(denied)")]).toEqual([1, true]);
  const nodes = (await entries()).filter(({ kind }) => kind === "node");
  expect(nodes).toMatchObject([{ name: "runner", selectors: ["aws:account:123456789012"], owner_id: null }]);
  expect((await entries("--as", "alice")).every(({ kind }) => kind === "agent")).toBe(true);
});

test("what does not exist is neither shown nor removed", async () => {
  const id = "ent_01J0000000000000000000000A";
  for (const verb of ["show", "remove"]) {
    const { exitCode, stderr } = await warden("entry", verb, id);
    expect([exitCode, stderr.includes("(not_found)")]).toEqual([1, true]);
  }
});
