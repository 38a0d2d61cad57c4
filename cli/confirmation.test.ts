/** `warden` on a host whose operator wants a second admin: asked by `--ask`, done with `--confirmation`. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { confirm, createPerson, refresh } from "../test/support/people.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createHome, runWarden } from "./testing.ts";

const DAY_MS = 86_400_000;
const home = createHome();
let server: TestServer;
let offsetMs = 0;
beforeAll(async () => {
  server = await startTestServer({ console: { port: 0, secondAdmin: "everywhere" } }, undefined, {
    nowMs: () => Date.now() + offsetMs,
    monoMs: () => performance.now(),
  });
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

const warden = (...args: readonly string[]) =>
  runWarden(home, [...args, "--data", server.home.dataDir, "--config-dir", server.home.configDir]);

test("a command that waits for a second admin is asked about, confirmed in the console, and done once", async () => {
  const made = await createPerson(server);
  offsetMs = DAY_MS;
  const admin = await refresh(server, made);
  const invite = (...options: readonly string[]) =>
    warden("person", "link", "--role", "admin", "--json", ...options);
  const alone = await invite();
  expect([alone.exitCode, JSON.parse(alone.stdout).error.code]).toEqual([1, "confirmation_required"]);
  const asked = await invite("--ask", "yearly");
  const [id = ""] = /cnf_[0-9A-Z]{26}/.exec(JSON.parse(asked.stdout).error.next) ?? [];
  const list = await warden("confirmation", "list");
  expect(list.stdout).toContain(`${id}  pending    operator  POST /v1/people/links`);
  expect((await warden("confirmation", "show", id)).stdout).toContain("reason: yearly");
  expect((await confirm(server, admin, id)).status).toBe(200);
  const done = await invite("--confirmation", id);
  expect([done.exitCode, done.stderr]).toEqual([0, ""]);
  const again = await invite("--confirmation", id);
  expect(JSON.parse(again.stdout).error.code).toBe("confirmation_invalid");
});
