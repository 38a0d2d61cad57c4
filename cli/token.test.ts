/** `warden token` against a real Workload API endpoint. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  openTestEndpoint,
  type TestEndpoint,
} from "../test/workload-api-conformance/memory-endpoint.test.support.ts";
import { createHome, runWarden } from "./testing.ts";

const home = createHome();
let endpoint: TestEndpoint;
beforeAll(async () => {
  endpoint = await openTestEndpoint();
});
afterAll(async () => {
  await endpoint.close();
  rmSync(home, { recursive: true, force: true });
});

const TOKEN = /eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/;
const ask = (...args: readonly string[]) =>
  runWarden(home, ["token", "--audience", "https://api.test", ...args], {
    SPIFFE_ENDPOINT_SOCKET: endpoint.socket,
  });

describe("warden token", () => {
  test("says what the token is, and prints it only when asked", async () => {
    const shown = await ask();
    expect([shown.exitCode, shown.stdout]).toEqual([
      0,
      expect.stringMatching(/^A token of spiffe:\/\/ours\.test\//),
    ]);
    expect(shown.stdout + shown.stderr).not.toMatch(TOKEN);
    const json = await ask("--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ audience: "https://api.test" });
    expect(json.stdout).not.toMatch(TOKEN);
    expect((await ask("--raw")).stdout.trim()).toMatch(new RegExp(`^${TOKEN.source}$`));
  });

  test("takes the socket from its option, and says when there is none", async () => {
    const args = ["token", "--audience", "https://api.test"];
    expect((await runWarden(home, [...args, "--socket", endpoint.socket])).exitCode).toBe(0);
    const { exitCode, stderr } = await runWarden(home, args);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("(endpoint_malformed)")]);
  });
});
