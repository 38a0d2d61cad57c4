/** `warden crl` and `warden bundle show --pem` against a real server, with OpenSSL as the program that reads the files. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, runWarden } from "./testing.ts";

const home = createHome();
const [dataDir, configDir] = [join(home, "data"), join(home, "config")];
const file = (name: string) => join(home, name);
let server: RunningServer;
let agent: AgentIdentity;

const warden = (...args: readonly string[]) =>
  runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
const facts = async (...args: readonly string[]) => JSON.parse((await warden(...args, "--json")).stdout);

beforeAll(async () => {
  server = await startServer(
    parseConfig({ trustDomain: "acme.test", port: 0, stopPort: 0, logLevel: "silent", dataDir, configDir }),
  );
  await warden("owner", "create", "alice");
  const who = ["--owner", "alice", "--path", "team", "--name", "worker", "--scope", "read:files"];
  const { ticket } = await facts("agent", "ticket", ...who);
  agent = await AgentIdentity.create({ name: "worker", ticket });
});
afterAll(async () => {
  await agent.close();
  await server.close();
});

describe("warden crl", () => {
  test("says that nothing is revoked, and then what is", async () => {
    expect((await warden("crl")).stdout).toContain("No certificate in use is revoked.");
    await agent.revoke("test");
    const { stdout } = await warden("crl");
    expect(stdout).toMatch(/SERIAL +REVOKED +REASON\n[0-9a-f]{34} +\S+Z +privilege_withdrawn/);
    expect((await facts("crl")).revoked).toHaveLength(1);
  });

  test("writes files that OpenSSL reads, readable by anybody", async () => {
    await warden("crl", "--out", file("crl.der"));
    const printed = execFileSync("openssl", [
      "crl",
      "-inform",
      "DER",
      "-in",
      file("crl.der"),
      "-noout",
      "-text",
    ]);
    expect(printed.toString()).toContain("Privilege Withdrawn");
    await warden("crl", "--pem", "--out", file("crl.pem"));
    expect(readFileSync(file("crl.pem"), "utf8").match(/BEGIN X509 CRL/g)).toHaveLength(2);
    expect(statSync(file("crl.pem")).mode & 0o777).toBe(0o644);
    expect((await warden("crl", "--pem")).stdout).toBe(readFileSync(file("crl.pem"), "utf8"));
  });

  test("leaves nothing behind where it may not write", async () => {
    const path = join(home, "missing", "crl.pem");
    const { exitCode, stderr } = await warden("crl", "--out", path);
    expect([exitCode, existsSync(path)]).toEqual([2, false]);
    expect(stderr).toContain("cannot be written");
  });
});

describe("warden bundle show --pem", () => {
  test("prints the root that OpenSSL verifies the root's own list with", async () => {
    writeFileSync(file("roots.pem"), (await warden("bundle", "show", "--pem")).stdout);
    const printed = execFileSync("openssl", ["x509", "-in", file("roots.pem"), "-noout", "-subject"]);
    expect(printed.toString()).toContain("TrustWarden root");
  });
});
