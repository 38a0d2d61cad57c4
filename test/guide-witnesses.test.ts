/** The guide to witnesses: its commands run, its configuration is taken, and the log ends up witnessed and watched. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, describe, expect, it, vi } from "vitest";
import { createHome, runWarden } from "../cli/testing.ts";
import { parseConfig } from "../server/config.ts";
import { type RunningServer, startServer } from "../server/main.ts";

const guide = readFileSync(new URL("../docs/guides/witnesses.md", import.meta.url), "utf8");
const blocks = (language: string) =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text = ""]) => text);
const [runWitness = "", writePolicy = "", verify = "", watch = "", turn = ""] = blocks("sh");
const [configuration = ""] = blocks("json");

const MAIN = new URL("../cli/main.ts", import.meta.url).pathname;
const home = createHome();
const base = {
  dataDir: join(home, "data"),
  configDir: join(home, "config"),
  port: 0,
  stopPort: 0,
  logLevel: "silent",
};
const children: ChildProcess[] = [];
let server: RunningServer | undefined;
afterAll(async () => {
  await server?.close();
  for (const child of children) child.kill("SIGKILL");
  rmSync(home, { recursive: true, force: true });
});

/** Runs a block in a shell in which `warden` is this one. */
const shell = async (script: string, env: Readonly<Record<string, string>> = {}) => {
  const { stdout } = await promisify(execFile)("sh", ["-c", script], {
    cwd: home,
    env: {
      ...process.env,
      PATH: `${join(home, "bin")}:${process.env.PATH}`,
      TRUSTWARDEN_DATA_DIR: base.dataDir,
      TRUSTWARDEN_CONFIG_DIR: base.configDir,
      ...env,
    },
  });
  return stdout;
};

/** The guide's witness, in a directory of its own and on any free port. */
async function startWitness(logVkey: string, number: number) {
  const place = runWitness
    .replaceAll("./witness", `./witness-${number}`)
    .replace("witness.auditor.test/1", `witness.auditor.test/${number}`)
    .replace("127.0.0.1:7460", "127.0.0.1:0");
  const [init = "", serve = ""] = place.trim().split("\n");
  // In this process, since starting one takes a while.
  const inHome = init.replace("./witness", join(home, "witness"));
  expect((await runWarden(home, inHome.split(" ").slice(1))).exitCode).toBe(0);
  const args = serve.replace('"$LOG_VKEY"', logVkey).split(" ").slice(1);
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: home, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, "line");
  child.stdout.resume();
  return JSON.parse(String(line));
}

describe("the guide to witnesses", () => {
  it("leads to a ledger that is witnessed, verified and watched", async () => {
    mkdirSync(join(home, "bin"));
    writeFileSync(join(home, "bin", "warden"), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
    chmodSync(join(home, "bin", "warden"), 0o755);
    server = await startServer(parseConfig(base));
    const places = ["--data", base.dataDir, "--config-dir", base.configDir];
    const report = JSON.parse((await runWarden(home, ["ledger", "verify", "--json", ...places])).stdout);
    expect(report.witnessed).toBe(false);
    const status = JSON.parse(
      (await runWarden(home, ["ledger", "export", join(home, "e"), "--json", ...places])).stdout,
    );
    const witnesses = [];
    for (const number of [1, 2, 3]) witnesses.push(await startWitness(status.vkey, number));
    const policy = witnesses.reduce(
      (text, { url }, index) => text.replace(`http://127.0.0.1:${7461 + index}`, url),
      writePolicy,
    );
    const [W1, W2, W3] = witnesses.map(({ vkey }) => String(vkey));
    await shell(policy, { W1: W1 ?? "", W2: W2 ?? "", W3: W3 ?? "" });
    await server.close();
    const { witnesses: settings } = JSON.parse(configuration);
    const policyFile = join(home, settings.policyFile);
    server = await startServer(
      parseConfig({ ...base, witnesses: { ...settings, policyFile, intervalMs: 50 } }),
    );
    await vi.waitFor(async () => expect(await shell(verify)).toContain("witnessed: witness.auditor.test/"), {
      timeout: 180_000,
      interval: 100,
    });
    expect(await shell(watch)).toContain("3 other place(s) show the same history");
    expect(await shell(turn)).toMatch(/^ledger\.trustwarden\.localhost\/\d{4}q\d: [1-9]\d* entries/m);
  }, 400_000);

  it("names every setting", () => {
    for (const name of ["policyFile", "whenSilent", "plainHttp", "intervalMs", "timeoutMs"])
      expect(guide).toContain(`| \`${name}\` |`);
  });
});
