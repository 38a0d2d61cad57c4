/** The policy guide: its configurations are configurations, its request a request, and its commands do what it says. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluationRequest } from "@trustwarden/core/api/authzen.ts";
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import { createRouteTable } from "@trustwarden/core/route-table.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHome, runWarden } from "../cli/testing.ts";
import { parseConfig } from "../server/config.ts";
import { type RunningServer, startServer } from "../server/main.ts";
import { exampleFiles, packFiles } from "./support/policies.ts";

const guide = readFileSync(new URL("../docs/guides/policy.md", import.meta.url), "utf8");
const blocks = (language: string) =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text = ""]) => text);
const home = createHome();
const base = {
  dataDir: join(home, "data"),
  configDir: join(home, "config"),
  port: 0,
  stopPort: 0,
  logLevel: "silent",
};
const OPA = [process.env.OPA_BIN ?? "", fileURLToPath(new URL("../.cache/bin/opa", import.meta.url))].find(
  (path) => path !== "" && existsSync(path),
);
let server: RunningServer;

beforeAll(async () => {
  const [make = ""] = blocks("sh");
  execFileSync("sh", ["-c", make], { cwd: home, stdio: "pipe" });
  const signers = [{ id: "release", publicKeyFile: join(home, "policy.pub.pem") }];
  server = await startServer(parseConfig({ ...base, policy: { signers, deadlineMs: 5000 } }));
});
afterAll(() => server.close());

const warden = (line: string, ...more: readonly string[]) =>
  runWarden(
    home,
    [...line.split(" ").slice(1), ...more, "--data", base.dataDir, "--config-dir", base.configDir],
    OPA === undefined ? {} : { OPA_BIN: OPA },
  );
/** The guide's command that begins so, with its files in the home of this test. */
const command = (start: string) => {
  const line = guide.match(new RegExp(`warden policy ${start}[^\`\n]*`))?.[0] ?? "missing";
  const files = /(?<= )(?<!--name )(?:\.\/)?(payments(?:-1)?(?:\.tar\.gz)?|policy\.key)(?= |$)/g;
  return line.replaceAll(files, (_, name: string) => join(home, name));
};

describe("the policy guide", () => {
  it("shows configurations that are taken, and a request of AuthZEN", () => {
    const json = blocks("json").map((text) => JSON.parse(text));
    expect(json.length).toBeGreaterThan(4);
    for (const block of json) {
      if (!("policy" in block)) expect(evaluationRequest.parse(block)).toEqual(block);
      else {
        const { policy } = parseConfig({ ...base, ...block });
        for (const routes of Object.values(policy.envoy?.services ?? {})) createRouteTable(routes);
      }
    }
  });

  it("signs, loads, shows and rolls back a policy with the commands that it names", async () => {
    const bundle = join(home, "payments.tar.gz");
    const earlier = join(home, "payments-1.tar.gz");
    for (const file of [bundle, earlier]) writeFileSync(file, packFiles(exampleFiles(1)));
    chmodSync(join(home, "policy.key"), 0o644);
    const open = await warden(command("sign"));
    expect([open.exitCode, open.stderr]).toEqual([1, expect.stringContaining("(file_mode_too_open)")]);
    chmodSync(join(home, "policy.key"), 0o600);
    const unsigned = await warden(command("load"));
    expect(unsigned.stderr).toContain("(policy_bundle_unsigned)");
    const replayed = await warden(command("replay"));
    expect([replayed.stderr, replayed.stdout]).toEqual([
      "",
      "0 decisions: 0 unchanged, 0 different, 0 could not be replayed\n",
    ]);
    expect((await warden(command("sign"))).stdout).toContain("signed by release");
    expect((await warden(command("load"))).stdout).toContain("payments version 1 is in force");
    expect((await warden(command("load"))).stderr).toContain("(policy_rollback)");
    const back = await warden(command("rollback"));
    expect([back.stderr, back.stdout]).toEqual([
      "",
      expect.stringContaining("payments version 2 is in force"),
    ]);
    const shown = policyAnswer.parse(JSON.parse((await warden(command("show"), "--json")).stdout));
    expect(shown.custom).toMatchObject({ name: "payments", version: 2 });
  });

  it("builds the policy that it shows, where there is opa", async (context) => {
    if (OPA === undefined) {
      console.warn("SKIPPED: opa is not here; ./dev setup opa");
      return context.skip();
    }
    mkdirSync(join(home, "payments"), { recursive: true });
    writeFileSync(join(home, "payments", "custom.rego"), blocks("rego")[0] ?? "");
    const built = await warden(command("build"));
    expect([built.stderr, built.stdout]).toEqual(["", expect.stringContaining("payments version 1")]);
    expect((await warden(command("sign"))).exitCode).toBe(0);
    writeFileSync(join(home, "payments", "custom.rego"), "package custom\n\nresult := http.send({})\n");
    expect((await warden(command("build"))).stderr).toContain("(policy_refused)");
  });
});
