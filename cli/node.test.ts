/** `warden up` with its node, and `warden explain`, as processes of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestKey } from "../server/attest/issuer.test.support.ts";
import { jsonOf, sendAdmin } from "../test/support/http.ts";
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

  test("keeps no key in its server's data directory, and joins anew at each start", async () => {
    const first = await up();
    const names = readdirSync(join(home, "data"), { recursive: true }).map(String);
    expect(names.some((name) => name.includes("node.json"))).toBe(false);
    for (const child of children) await stop(child);
    expect((await up()).agent_socket).toBe(first.agent_socket);
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

  test("joins by its platform's evidence, as `warden node --attest`", async () => {
    const key = new TestKey("cluster-1");
    const keys = { inline: [{ ...key.bareJwk, kid: key.kid }] };
    const k8s = [{ name: "prod", mode: "jwks", issuer: "https://prod.test", keys }];
    mkdirSync(join(home, "config"), { mode: 0o700 });
    writeFileSync(join(home, "config", "server.json"), JSON.stringify({ attestation: { k8s } }));
    const { url, admin_socket } = await up("--no-node");
    const selectors = ["k8s:cluster:prod", "k8s:ns:infra", "k8s:sa:node"];
    const admission = { node_entry: { name: "host-1", selectors } };
    const request = { method: "POST", target: "/v1/entries", body: JSON.stringify(admission) };
    expect((await sendAdmin(String(admin_socket), request)).status).toBe(200);
    const discovery = await sendAdmin(String(admin_socket), { target: "/.well-known/trustwarden" });
    const authorities = String(jsonOf(discovery).authorities_sha256);
    const tokenFile = join(home, "token");
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: "https://prod.test",
      aud: ["spiffe://acme.test"],
      sub: "system:serviceaccount:infra:node",
      iat: now,
      exp: now + 600,
      "kubernetes.io": { namespace: "infra", serviceaccount: { name: "node", uid: "1" } },
    };
    writeFileSync(tokenFile, key.token(claims));
    const options = ["node", "--attest", "kubernetes", "--cluster", "prod", "--token-file", tokenFile];
    const ready = await start([
      ...options,
      "--server",
      String(url),
      "--authorities",
      authorities,
      ...places("node"),
    ]);
    expect(ready).toMatchObject({ ready: true, name: "host-1" });
    expect(ready.spiffe_id).toMatch(/^spiffe:\/\/acme\.test\/trustwarden\/node\/host-1\/inst-/);
    for (const wrong of [
      options,
      ["node", "--attest", "vmware", "--server", String(url), "--authorities", authorities],
      ["node", "--attest", "kubernetes", "--server", String(url), "--authorities", authorities],
      [...options, "--server", String(url), "--authorities", authorities, "--join-token", "twj1.x"],
    ]) {
      expect((await runWarden(home, [...wrong, ...places("other")])).exitCode).toBe(2);
    }
  });
});
