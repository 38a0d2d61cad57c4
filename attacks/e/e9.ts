/** E9: a policy that reaches out. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { codeOf } from "../../test/support/http.ts";
import { createPolicyKey, exampleFiles, loadBundle, packSigned } from "../../test/support/policies.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { ROOT } from "../support/child.ts";

const key = createPolicyKey("release");
const OPA =
  [process.env.OPA_BIN ?? "", join(ROOT, ".cache", "bin", "opa")].find((path) => existsSync(path)) ?? "";

/** What a tenant would like its policy to do. */
const CALLS: Readonly<Record<string, string>> = {
  "http.send": 'http.send({"method": "get", "url": "http://127.0.0.1:1"}).status_code == 200',
  "opa.runtime": "opa.runtime().env.HOME",
  "net.lookup_ip_addr": 'count(net.lookup_ip_addr("localhost")) > 0',
  "time.now_ns": "time.now_ns() > 0",
  "rand.intn": 'rand.intn("x", 9) > 0',
};

const sourceOf = (call: string) =>
  `package custom\n\nresult := {"allow": true, "reasons": []} if {\n\t${call}\n}\n`;

/** The module as stock opa compiles it, which knows of no list. */
function compile(source: string): Uint8Array {
  const work = mkdtempSync(join(tmpdir(), "tw-e9-"));
  try {
    writeFileSync(join(work, "custom.rego"), source);
    const output = join(work, "out.tar.gz");
    const build = spawnSync(OPA, ["build", "-t", "wasm", "-e", "custom/result", "-b", work, "-o", output]);
    if (build.status !== 0) throw new Error(`opa build: ${build.stderr}`);
    return spawnSync("tar", ["-xzPOf", output, "/policy.wasm"], { maxBuffer: 16_000_000 }).stdout;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E9",
  title: "writes a policy that calls http.send, opa.runtime, net, time or rand, and signs it with a good key",
  expected: "refused when it is compiled, and refused when it was compiled elsewhere",
  weakening: "any-builtin",
  missing: () => (OPA === "" ? "opa (./dev setup opa)" : undefined),
  world: { configure: () => ({ policy: { signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] } }) },
  mayChange: ["epoch"],
  prepare: async () => undefined,
  control: async (world) => {
    const answer = await loadBundle(world.server.adminSocket, packSigned(exampleFiles(1), key));
    expectSame(answer.status, 200, "a policy that only reads its input");
  },
  attack: async (world) => {
    const folder = mkdtempSync(join(tmpdir(), "tw-e9-src-"));
    try {
      for (const [name, call] of Object.entries(CALLS)) {
        const source = join(folder, name);
        mkdirSync(source);
        writeFileSync(join(source, "custom.rego"), sourceOf(call));
        const build = await world.run({
          args: [
            ...["cli/main.ts", "policy", "build", source, "--name", "x", "--revision", "2"],
            ...["--output", join(folder, "out.tar.gz"), "--json"],
          ],
          env: { OPA_BIN: OPA },
        });
        expect(
          build.exitCode !== 0 && build.output.includes("policy_refused"),
          `warden policy build refuses ${name}: ${build.output.slice(0, 200)}`,
        );
        const wasm = compile(sourceOf(call));
        const changes = new Map([
          ["policy.wasm", wasm],
          ["custom.rego", encodeUtf8(readFileSync(join(source, "custom.rego"), "utf8"))],
        ]);
        const answer = await loadBundle(world.server.adminSocket, packSigned(exampleFiles(2, changes), key));
        const code = answer.status === 200 ? "loaded" : codeOf(answer);
        expectSame([answer.status, code], [400, "policy_refused"], `a signed policy that calls ${name}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "policy_refused" }, Object.keys(CALLS).length);
    await ledger.expect({ kind: "policy" }, 0);
  },
});
