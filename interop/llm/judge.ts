/**
 * PyPI's `openai` and `anthropic`, unmodified, as a program that `warden run` starts: they find the gateway by their
 * environment alone, and raise their own exceptions at its refusals. Their npm packages judge in `sdk/gateway.live.test.ts`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { startFakeModel } from "../../test/support/model/fake-model.ts";
import { requireOutput } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab } from "../judge.ts";
import { requirePythonTools } from "../tools.ts";

const TIMEOUT_MS = 120_000;
const SCOPE = [
  "infer:llm:openai/gpt-test",
  "infer:llm:openai/embed-test",
  "infer:llm:anthropic/**",
  "list:llm",
] as const;

const verdict = z.object({
  name: z.string(),
  expected: z.enum(["accept", "refuse"]),
  held: z.boolean(),
  said: z.string(),
});

export const modelClientsJudge: Judge = { name: "PyPI openai and anthropic", run: judgeClients };

async function judgeClients(lab: Lab): Promise<Findings> {
  const python = join(await requirePythonTools(lab, "llm"), "python");
  const home = mkdtempSync(join(lab.scratch, "llm-"));
  const main = join(lab.root, "cli", "main.ts");
  const env = { PATH: process.env.PATH ?? "", HOME: home };
  const warden = (...args: readonly string[]) =>
    requireOutput(process.execPath, [main, ...args], { env, timeoutMs: TIMEOUT_MS });
  const model = await startFakeModel();
  const ports = ["--port", "0", "--stop-port", "0", "--gateway-port", "0"];
  const server = spawn(
    process.execPath,
    [main, "up", "--trust-domain", "judge.test", "--no-node", ...ports],
    {
      env,
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  try {
    for await (const line of createInterface({ input: server.stdout }))
      if (line.includes('"ready":true')) break;
    await warden("owner", "create", "alice");
    for (const kind of ["openai", "anthropic"])
      await warden("upstream", "set", kind, "--kind", kind, "--url", model.url, "--allow-private");
    const scope = SCOPE.flatMap((atom) => ["--scope", atom]);
    const own = ["run", "--no-report", "--owner", "alice", "--agent", "judged", ...scope];
    const output = await warden(...own, "--", python, join(lab.root, "interop", "llm", "judge.py"));
    const verdicts = output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => verdict.parse(JSON.parse(line)))
      .map(({ name, expected, held, said }) => ({
        name,
        expected,
        isAccepted: held === (expected === "accept"),
        said,
      }));
    const isKeyless = model.requests.every(({ headers }) => headers.authorization === undefined);
    const keyless = { name: "no key at the provider", expected: "accept", isAccepted: isKeyless } as const;
    return countVerdicts([...verdicts, keyless], `${model.requests.length} calls reached the model`);
  } finally {
    server.kill("SIGTERM");
    if (server.exitCode === null && server.signalCode === null) await once(server, "close");
    await model.close();
  }
}
