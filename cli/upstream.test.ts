/** `warden upstream` against a real server with a gateway. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, runWarden } from "./testing.ts";

const home = createHome();
const settings = {
  trustDomain: "acme.test",
  port: 0,
  stopPort: 0,
  gateway: { port: 0 },
  logLevel: "silent",
  dataDir: join(home, "data"),
  configDir: join(home, "config"),
};
let server: RunningServer;

beforeAll(async () => {
  server = await startServer(parseConfig(settings));
});
afterAll(() => server.close());

const warden = (...args: readonly string[]) =>
  runWarden(home, [...args, "--data", settings.dataDir, "--config-dir", settings.configDir]);
const set = (...args: readonly string[]) => warden("upstream", "set", "shop", "--kind", "http", ...args);

describe("warden upstream", () => {
  const file = join(home, "shop.json");
  const routes = [{ method: "GET", path: "/items", action: "read:items", resource: "shop://items" }];

  test("registers, shows, and takes away", async () => {
    writeFileSync(file, JSON.stringify({ routes }));
    expect((await warden("upstream", "list")).stdout).toContain("No upstreams yet");
    const made = await set("--url", "https://127.0.0.1:8443/base", "--allow-private", "--settings", file);
    expect([made.exitCode, made.stdout]).toEqual([
      0,
      expect.stringContaining("/shop at the gateway leads to"),
    ]);
    const shown = JSON.parse((await warden("upstream", "show", "shop", "--json")).stdout);
    expect(shown).toMatchObject({ kind: "http", allow_private: true, secret: null, settings: { routes } });
    expect((await warden("upstream", "list")).stdout).toMatch(/shop +http +https:/);
    expect((await warden("upstream", "remove", "shop")).stdout).toContain("0 running calls");
    expect((await warden("upstream", "show", "shop")).stderr).toContain("(upstream_unknown)");
  });

  test("says what is wrong with an address, a route table or a name", async () => {
    expect((await set("--url", "http://shop.test")).stderr).toContain("(upstream_malformed)");
    writeFileSync(file, JSON.stringify({ routes: [{ ...routes[0], action: "READ" }] }));
    const bad = await set("--url", "https://shop.test", "--settings", file);
    expect([bad.exitCode, bad.stderr]).toEqual([1, expect.stringContaining("(config_invalid)")]);
    expect((await warden("upstream", "remove", "a/b")).exitCode).toBe(2);
  });
});
