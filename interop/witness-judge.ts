/**
 * Two logs of others ask `warden witness` for its word, while they grow and in every way that has to be refused
 * (checklist 22 to 29): one made of the Go project's `x/mod` packages, with the transparency-dev project's verifier of
 * cosignatures, and Tessera with its own client. The other direction, our log before another's witness, is `litewitness/`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { requireOutput } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requireGoTools } from "./tools.ts";

const TIMEOUT_MS = 60_000;
const TESSERA_TIMEOUT_MS = 180_000;

export const witnessJudge: Judge = {
  name: "x/mod 0.42.0 and transparency-dev cosignatures on warden witness",
  run: async (lab) => {
    const { witnessjudge } = await requireGoTools(lab);
    return withWitness(lab, "witness", async ({ key, log, ready }) => {
      const keys = ["-key", key, "-log", log, "-witness", ready.vkey, "-url", ready.url];
      return requireOutput(witnessjudge, keys, { timeoutMs: TIMEOUT_MS });
    });
  },
};

export const tesseraWitnessJudge: Judge = {
  name: "Tessera 1.0.4 with warden witness as its witness",
  run: async (lab) => {
    const { tesserajudge } = await requireGoTools(lab);
    return withWitness(lab, "tessera-witness", async ({ key, log, ready }) => {
      const [policy, directory] = [join(lab.scratch, "tessera.policy"), join(lab.scratch, "tessera")];
      writeFileSync(policy, `witness one ${ready.vkey} ${ready.url}\nquorum one\n`);
      const args = ["-key", key, "-log", log, "-policy", policy, "-dir", directory];
      return requireOutput(tesserajudge, args, { timeoutMs: TESSERA_TIMEOUT_MS });
    });
  },
};

/** A fresh key of a log, and a witness that follows that log. */
interface Setting {
  readonly key: string;
  readonly log: string;
  readonly ready: { readonly url: string; readonly vkey: string };
}

async function withWitness(
  lab: Lab,
  name: string,
  ask: (setting: Setting) => Promise<string>,
): Promise<Findings> {
  const { witnessjudge } = await requireGoTools(lab);
  const timeoutMs = TIMEOUT_MS;
  const { key, vkey } = JSON.parse(await requireOutput(witnessjudge, ["-new"], { timeoutMs }));
  const directory = join(lab.scratch, name);
  const warden = join(lab.root, "cli", "main.ts");
  const init = [warden, "witness", "init", directory, "--name", "witness.judge.test/1"];
  await requireOutput(process.execPath, init, { timeoutMs });
  const serve = [warden, "witness", "serve", directory, "--log", vkey, "--listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, serve, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    return countVerdicts(parseVerdicts(await ask({ key, log: vkey, ready: await readReady(child) })));
  } finally {
    child.kill("SIGTERM");
  }
}

async function readReady(child: ChildProcess): Promise<{ readonly url: string; readonly vkey: string }> {
  if (child.stdout === null) throw new Error("it has a standard output");
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  child.stdout.resume();
  return JSON.parse(String(line));
}

/** One line a verdict: what was expected, whether it was accepted, what it was about, what was said. */
function parseVerdicts(output: string): readonly Verdict[] {
  return output
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [expected, isAccepted, name = "", said] = line.split("\t");
      return {
        name,
        expected: expected === "accept" ? "accept" : "refuse",
        isAccepted: isAccepted === "true",
        said,
      };
    });
}
