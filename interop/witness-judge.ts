/**
 * A log made of the Go project's `x/mod` packages, with the transparency-dev project's verifier of cosignatures, asks
 * `warden witness` for its word: while it grows, and in every way that has to be refused. Checklist 22 to 29.
 *
 * No independent witness is to be had by package here, so the other direction is judged by the verifier alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { requireOutput } from "./command.ts";
import { countVerdicts, type Judge, type Verdict } from "./judge.ts";
import { requireGoTools } from "./tools.ts";

const TIMEOUT_MS = 60_000;

export const witnessJudge: Judge = {
  name: "x/mod 0.42.0 and transparency-dev cosignatures on warden witness",
  run: async (lab) => {
    const { witnessjudge } = await requireGoTools(lab);
    const timeoutMs = TIMEOUT_MS;
    const { key, vkey } = JSON.parse(await requireOutput(witnessjudge, ["-new"], { timeoutMs }));
    const directory = join(lab.scratch, "witness");
    const warden = join(lab.root, "cli", "main.ts");
    const init = [warden, "witness", "init", directory, "--name", "witness.judge.test/1"];
    await requireOutput(process.execPath, init, { timeoutMs });
    const serve = [warden, "witness", "serve", directory, "--log", vkey, "--listen", "127.0.0.1:0"];
    const child = spawn(process.execPath, serve, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const ready = await readReady(child);
      const keys = ["-key", key, "-log", vkey, "-witness", ready.vkey, "-url", ready.url];
      return countVerdicts(parseVerdicts(await requireOutput(witnessjudge, keys, { timeoutMs })));
    } finally {
      child.kill("SIGTERM");
    }
  },
};

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
