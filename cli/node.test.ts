/** `warden up` with its node, and `warden explain`, as processes of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHome, runWarden } from "./testing.ts";

const MAIN = join(import.meta.dirname, "main.ts");
let home: string;
let children: ChildProcess[];

beforeEach(() => {
  home = createHome();
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(stop));
  rmSync(home, { recursive: true, force: true });
});

const places = (name: string) => ["--data", join(home, name), "--config-dir", join(home, "config")];
async function start(args: readonly string[]): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { HOME: home },
  });
  children.push(child);
  if (child.stdout === null) throw new Error("standard output is a pipe");
  const [line]: unknown[] = await once(createInterface(child.stdout), "line");
  return Object(JSON.parse(String(line)));
}
async function stop(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  return (await exited)[0];
}
const up = (...more: readonly string[]) =>
  start([
    "up",
    "--trust-domain",
    "acme.test",
    "--port",
    "0",
    "--stop-port",
    "0",
    "--log-level",
    "silent",
    ...places("data"),
    ...more,
  ]);

describe("a node", () => {
  test("runs in `warden up`, explains a process, and goes with it", async () => {
    const { agent_socket } = await up();
    expect(agent_socket).toBe(join(home, "data", "agent.sock"));
    const explained = await runWarden(home, ["explain", String(process.pid), ...places("data")]);
    expect(explained.stdout).toContain(`unix:uid:${process.getuid?.()}`);
    expect(explained.stdout).toContain("no registration entry is for this node");
    const gone = await runWarden(home, ["explain", "4194304", ...places("data")]);
    expect(gone).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("workload_gone") });
    expect((await runWarden(home, ["explain", "0x1", ...places("data")])).exitCode).toBe(2);
    for (const child of children) expect(await stop(child)).toBe(0);
    expect(existsSync(String(agent_socket))).toBe(false);
    const again = await up("--agent-socket", `unix://${join(home, "other.sock")}`);
    expect(again.agent_socket).toBe(join(home, "other.sock"));
  });

  test("is left out by --no-node, and a bad socket that was asked for stops the start", async () => {
    expect(Object.keys(await up("--no-node")).sort()).toEqual(["admin_socket", "ready", "stop_url", "url"]);
    for (const child of children) await stop(child);
    const child = spawn(
      process.execPath,
      [
        MAIN,
        "up",
        ...places("data"),
        "--port",
        "0",
        "--stop-port",
        "0",
        "--agent-socket",
        "tcp://127.0.0.1:1",
      ],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { HOME: home },
      },
    );
    let text = "";
    child.stderr.on("data", (part) => {
      text += part;
    });
    expect((await once(child, "exit"))[0]).toBe(1);
    expect(text).toContain("endpoint_malformed");
  });

  test("joins from another directory with a token in a file, as `warden node`", async () => {
    const { url } = await up("--no-node");
    const made = await runWarden(home, ["node", "token", "--name", "host-1", ...places("data")]);
    expect(made.stdout).toMatch(/^twj1\./);
    const file = join(home, "token");
    writeFileSync(file, made.stdout);
    const wrong = await runWarden(home, [
      "node",
      "--join-token-file",
      file,
      "--server",
      "https://127.0.0.1:1",
      ...places("node"),
    ]);
    expect(wrong.exitCode).toBe(2);
    const ready = await start([
      "node",
      "--join-token-file",
      file,
      "--server",
      String(url),
      ...places("node"),
    ]);
    expect(ready).toMatchObject({
      ready: true,
      name: "host-1",
      agent_socket: join(home, "node", "agent.sock"),
    });
    expect((await runWarden(home, ["explain", String(process.pid), ...places("node")])).stdout).toContain(
      "on host-1",
    );
    expect(await stop(children.at(-1) ?? Object())).toBe(0);
  });
});
