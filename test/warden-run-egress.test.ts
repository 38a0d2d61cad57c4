/** `warden run` and the way out: programs that know `HTTPS_PROXY` reach what operator and scope allow. Linux only. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");
const TUNNEL = join(ROOT, "test/support/launched-tunnel.mjs");
const home = mkdtempSync(join(tmpdir(), "warden-egress-test-"));
const children: ChildProcess[] = [];
let echo: Server;
let place: string;

function run(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, HOME: home, HTTPS_PROXY: "http://elsewhere.test:1" },
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

function linesOf(child: ChildProcess): () => Promise<Record<string, unknown>> {
  if (child.stdout === null) throw new Error("its lines are read");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const line = await lines.next();
    if (line.done === true) throw new Error("no more lines");
    return JSON.parse(line.value);
  };
}

beforeAll(async () => {
  echo = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  const { port } = Object(echo.address()) as AddressInfo; // the one cast: a TCP server's address
  place = `127.0.0.1:${port}`;
  const ports = ["--port", "0", "--stop-port", "0", "--gateway-port", "0"];
  await linesOf(run(["up", "--trust-domain", "acme.test", "--no-node", "--log-level", "error", ...ports]))();
  expect((await runWarden(home, ["owner", "create", "alice"])).exitCode).toBe(0);
  const settings = join(home, "egress.json");
  writeFileSync(settings, JSON.stringify({ places: [place] }));
  const set = ["upstream", "set", "egress", "--kind", "egress", "--url", "egress:", "--allow-private"];
  expect((await runWarden(home, [...set, "--settings", settings])).exitCode).toBe(0);
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(
    children.map((child) =>
      child.exitCode === null && child.signalCode === null ? once(child, "close") : null,
    ),
  );
  echo.close();
  rmSync(home, { recursive: true, force: true });
});

describe.skipIf(process.platform !== "linux")("warden run with an egress upstream", () => {
  test("lets a program out to the named place alone, records it, and cuts the tunnel with the agent", async () => {
    const own = ["run", "--no-report", "--no-end-on-revoke", "--owner", "alice", "--agent", "walker"];
    const scope = ["--scope", "connect:net:127.0.0.1/**"];
    const next = linesOf(run([...own, ...scope, "--", process.execPath, TUNNEL, place, "10.0.0.1:443"]));
    expect(await next()).toEqual({
      proxy: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      without: "127.0.0.1,localhost",
    });
    expect(await next()).toEqual({ status: 200 });
    expect(await next()).toEqual({ echoed: "through" });
    expect(await next()).toEqual({ status: 404 });
    const { stdout } = await runWarden(home, ["ledger", "query", "--agent", "walker", "--json"]);
    expect(stdout).toContain(`connect:net:${place.replace(":", "/")}`);
    expect((await runWarden(home, ["stop", "walker"])).exitCode).toBe(0);
    expect(await next()).toEqual({ cut: true });
  });
});
