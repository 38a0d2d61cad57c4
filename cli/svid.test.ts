/** `warden svid write` as a process of its own, beside `warden up` with its node, and OpenSSL as the reader of the files. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createDomain, issueSvid } from "../interop/domain.ts";
import { openScriptedEndpoint, x509Response } from "../test/support/scripted-endpoint.ts";
import { createHome, runWarden } from "./testing.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const home = createHome();
const places = ["--data", join(home, "data"), "--config-dir", join(home, "config")];
const directory = join(home, "identity");
const file = (name: string) => join(directory, name);
const children: ChildProcess[] = [];

function start(...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { HOME: home, SPIFFE_ENDPOINT_SOCKET: `unix://${join(home, "data", "agent.sock")}` },
  });
  children.push(child);
  return child;
}

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("standard output is a pipe");
  return String((await once(createInterface(stdout), "line"))[0]);
}

beforeAll(async () => {
  const ports = ["--trust-domain", "acme.test", "--port", "0", "--stop-port", "0", "--log-level", "silent"];
  await firstLine(start("up", ...ports, ...places));
  expect((await runWarden(home, ["owner", "create", "alice", ...places])).exitCode).toBe(0);
  const who = ["--owner", "alice", "--path", "team/finance", "--name", "payment-agent", "--node", "*"];
  const rights = ["--scope", "read:transactions", "--selector", `unix:uid:${process.getuid?.()}`];
  const { exitCode, stderr } = await runWarden(home, ["entry", "create", ...who, ...rights, ...places]);
  expect([exitCode, stderr]).toEqual([0, ""]);
}, 30_000);
afterAll(async () => {
  for (const child of children.filter(({ exitCode }) => exitCode === null)) {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
  rmSync(home, { recursive: true, force: true });
});

test("keeps files that OpenSSL takes for a client, and takes them away at its end", async () => {
  const writer = start("svid", "write", "--dir", directory);
  expect(await firstLine(writer)).toMatch(/^spiffe:\/\/acme\.test\/team\/finance\/payment-agent\/inst-/);
  expect(readdirSync(directory).sort()).toEqual(["roots.pem", "svid.key", "svid.pem"]);
  expect([statSync(file("svid.key")).mode & 0o777, statSync(directory).mode & 0o777]).toEqual([0o600, 0o700]);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { encoding: "utf8" });
  const trust = ["-CAfile", file("roots.pem"), "-untrusted", file("svid.pem"), "-purpose", "sslclient"];
  expect(openssl("verify", ...trust, file("svid.pem"))).toContain("OK");
  expect(openssl("pkey", "-in", file("svid.key"), "-pubout")).toBe(
    openssl("x509", "-in", file("svid.pem"), "-noout", "-pubkey"),
  );
  const exited = once(writer, "exit");
  writer.kill("SIGTERM");
  expect((await exited)[0]).toBe(0);
  expect(readdirSync(directory)).toEqual([]);
});

test("says what is missing: an endpoint, and an identity of that hint", async () => {
  const socket = `unix://${join(home, "data", "agent.sock")}`;
  const other = await runWarden(home, [
    "svid",
    "write",
    "--dir",
    directory,
    "--socket",
    socket,
    "--hint",
    "x",
  ]);
  expect([other.exitCode, other.stderr]).toEqual([2, expect.stringContaining("no identity has this hint")]);
  expect(existsSync(file("svid.key"))).toBe(false);
  const none = await runWarden(home, ["svid", "write", "--dir", directory]);
  expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("no Workload API is named")]);
});

test("takes the files away when the agent is stopped", async () => {
  const writer = start("svid", "write", "--dir", directory);
  await firstLine(writer);
  expect(existsSync(file("svid.key"))).toBe(true);
  const listed = await runWarden(home, ["agent", "list", "--json", ...places]);
  const id = /agt_[0-9A-Z]+/.exec(listed.stdout)?.[0] ?? "";
  expect((await runWarden(home, ["stop", id, ...places])).exitCode).toBe(0);
  await vi.waitFor(() => expect(existsSync(file("svid.key"))).toBe(false), { timeout: 10_000 });
});

test("ends, and takes the files away, when the endpoint does not take the call any more", async () => {
  const now = Math.floor(Date.now() / 1000);
  const domain = createDomain("acme.test", now);
  const endpoint = await openScriptedEndpoint();
  try {
    const svids = [issueSvid(domain, ["a"], now)];
    endpoint.push("FetchX509SVID", x509Response({ svids, bundle: [domain.root.der] }));
    const ran = runWarden(home, ["svid", "write", "--dir", directory, "--socket", endpoint.socket]);
    await vi.waitFor(() => expect(endpoint.calls.length).toBe(2), { timeout: 10_000 });
    endpoint.fail("FetchX509SVID", 3);
    const { exitCode, stderr } = await ran;
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("request_malformed")]);
    expect(stderr).not.toContain("trying again");
    expect(existsSync(file("svid.key"))).toBe(false);
  } finally {
    endpoint.close();
  }
});
