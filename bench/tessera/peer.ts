/** Tessera's side: `go/main.go`, a process that adds the same entries to Tessera's POSIX log, run by run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { requireGoProgram } from "../../interop/tools.ts";
import type { Asked, Run, Where } from "./ours.ts";

export const TESSERA_VERSION = "1.0.4";
const MAX_SAID_CHARS = 4000;

/** A running process. */
export interface Peer {
  run(asked: Asked): Promise<Run>;
  close(): Promise<void>;
}

/** Builds and starts it. @throws JudgeUnavailable without Go. */
export async function startPeer(
  files: { readonly entries: string; readonly spki: string },
  directories: Readonly<Partial<Record<Where, string>>>,
): Promise<Peer> {
  const folder = join(import.meta.dirname, "go");
  const cache = join(import.meta.dirname, "..", "..", ".cache", "interop");
  const program = await requireGoProgram({ cache }, { folder, name: "tesserabench" });
  const places = Object.entries(directories).flatMap(([name, directory]) => [`-${name}`, directory]);
  const child = spawn(program, ["-entries", files.entries, "-spki", files.spki, ...places], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  // It tells much that is no error; shown when it ends before its time.
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    said = `${said}${part}`.slice(-MAX_SAID_CHARS);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`Tessera's side has ended: ${said}`);
    return Object(JSON.parse(String(value)));
  };
  await read();
  return {
    run: async ({ kind, where, how, number, ms }) => {
      child.stdin.write(`${kind} ${where} ${how} ${number} ${ms}\n`);
      const { rate, p50, p99 } = await read();
      return { rate: Number(rate), p50: Number(p50), p99: Number(p99) };
    },
    close: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}
