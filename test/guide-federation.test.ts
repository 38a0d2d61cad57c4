/**
 * The blocks of `docs/guides/federation.md` against a second, real trust domain: a server with a node, whose workload then acts
 * here. The block for SPIRE's command is what `interop/spire` runs with a real SPIRE.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { joinTokenAnswer } from "@trustwarden/core/api/registration.ts";
import { systemRuntime } from "trustwarden";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { type RunningNode, startNode } from "../node/daemon.ts";
import { parseAnswer } from "./support/actors.ts";
import { freePort } from "./support/free-port.ts";
import { send, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { createWebCertificate } from "./support/web-certificate.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GUIDE = readFileSync(join(ROOT, "docs/guides/federation.md"), "utf8");
const home = mkdtempSync(join(tmpdir(), "warden-guide-"));
const programs = join(ROOT, ".cache", `federation-${process.pid}`);
const certificate = createWebCertificate();
const exec = promisify(execFile);

let ours: TestServer;
let theirs: TestServer;
let node: RunningNode;

beforeAll(async () => {
  mkdirSync(programs, { recursive: true });
  ours = await startTestServer();
  const { certFile, keyFile } = certificate;
  const web = { port: await freePort(), certFile, keyFile };
  const settings = { trustDomain: "partner.test", federation: { web } };
  theirs = await startTestServer({ ...settings, jwtIssuer: `https://localhost:${web.port}` });
  await runAt(theirs, ["owner", "create", "bob"]);
  const worker = "--owner bob --path ns/prod/sa --name worker --scope read:reports".split(" ");
  await runAt(theirs, ["entry", "create", ...worker, "--selector", `unix:uid:${process.getuid?.() ?? 0}`]);
  const asked = { method: "POST", target: "/v1/join-tokens", body: JSON.stringify({ name: "host-1" }) };
  const { token } = parseAnswer(joinTokenAnswer, await sendAdmin(theirs.adminSocket, asked));
  const runtime = { ...systemRuntime, notify: () => {} };
  const socketPath = join(home, "agent.sock");
  node = await startNode({ dataDir: join(home, "node"), socketPath, runtime, joinToken: async () => token });
});
afterAll(async () => {
  await node.close();
  for (const server of [ours, theirs]) {
    await server.close();
    server.home.remove();
  }
  certificate.remove();
  for (const folder of [home, programs]) rmSync(folder, { recursive: true, force: true });
});

function blockWith(language: string, mark: string): string {
  const blocks = [...GUIDE.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  const found = blocks.filter(([, name, block]) => name === language && block?.includes(mark));
  expect(found, `one ${language} block with ${mark}`).toHaveLength(1);
  return found[0]?.[2] ?? "";
}

/** One command of the guide, with our places. */
async function warden(line: string, ...more: readonly string[]): Promise<string> {
  const words = execFileSync("sh", ["-c", `printf '%s\n' ${line}`], { cwd: home, encoding: "utf8" });
  const [, ...args] = words.trimEnd().split("\n");
  return runAt(ours, [...args, ...more]);
}

async function runAt({ home: place }: TestServer, args: readonly string[]): Promise<string> {
  const { dataDir, configDir } = place;
  const ran = await runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
  if (ran.exitCode !== 0) throw new Error(`${args.join(" ")}: ${ran.stderr}`);
  return ran.stdout;
}

test("both profiles bring the other's bundle here, and its workload acts as an agent of ours", async () => {
  await warden("warden owner create alice");
  const web = blockWith("sh", "--profile https_web");
  await warden(
    web.replace(/--url \S+/, `--url ${theirs.webUrl}/v1/bundle`),
    "--ca-file",
    certificate.certFile,
  );
  expect(await warden("warden federation list")).toContain("https_web");
  await warden("warden federation remove partner.test");

  const target = "/.well-known/trustwarden";
  const { server_id } = parseAnswer(discovery, await send(theirs.url, { target }));
  const bundle = join(home, "partner.json");
  writeFileSync(bundle, (await send(theirs.url, { target: "/v1/bundle" })).text);
  const spiffe = blockWith("sh", "--profile https_spiffe");
  await warden(
    spiffe
      .replace(/--url \S+/, `--url ${theirs.url}/v1/bundle`)
      .replace(/--endpoint-spiffe-id \S+/, `--endpoint-spiffe-id ${server_id}`)
      .replace("partner.json", bundle),
  );
  await warden("warden federation refresh partner.test");

  const created = await warden(blockWith("sh", "warden foreign create"));
  const [registration = ""] = /twf1\.\S+/.exec(created) ?? [];
  const program = join(programs, "worker.ts");
  // A node of ours gives the instance first; the registration names the class, as SPIRE's one identity is called.
  writeFileSync(
    program,
    `${blockWith("ts", "fromSvid").replace("svids[0]", "svids[1]!")}\nawait agent.close();\nworkload.close();\n`,
  );
  await exec(process.execPath, [program], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH ?? "",
      WORKER_REGISTRATION: registration,
      SPIFFE_ENDPOINT_SOCKET: `unix://${node.socketPath}`,
    },
  });
  const [event] = await eventsOf(ours, "action");
  expect(event).toMatchObject({
    agent_identity: "spiffe://partner.test/ns/prod/sa/worker",
    action: "read:reports",
    outcome: "success",
  });
  await warden("warden stop worker");
});
