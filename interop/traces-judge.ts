/** The published protocol buffers of OTLP on the spans that a real server sends while agents ask it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createOwner, enrolAgent, spawn } from "../test/support/actors.ts";
import { send } from "../test/support/http.ts";
import { startTestServer } from "../test/support/server.ts";
import { startSpanCollector } from "../test/support/span-collector.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requirePythonTools } from "./tools.ts";

const TIMEOUT_MS = 120_000;

export const tracesJudge: Judge = {
  name: "OTLP spans by the published protocol buffers",
  run: judgeTraces,
};

/** What is broken in one export; the judge has to see it. */
const BREAKS: Readonly<Record<string, (text: string) => string>> = {
  "a short trace id": (text) => text.replace(/"traceId":"[0-9a-f]{2}/, '"traceId":"'),
  "a time that is none": (text) => text.replace('"startTimeUnixNano":"', '"startTimeUnixNano":"x'),
  "an unknown member": (text) => text.replace('"kind":', '"sort":'),
};

async function judgeTraces(lab: Lab): Promise<Findings> {
  const bin = await requirePythonTools(lab, "exports");
  const collector = await startSpanCollector();
  const server = await startTestServer({ traces: { url: collector.url } });
  try {
    const agent = await enrolAgent(server, await createOwner(server));
    await spawn(server, agent);
    await send(server.url, { target: "/v1/agents" });
  } finally {
    await server.close();
    server.home.remove();
    await collector.close();
  }
  const verdicts: Verdict[] = [];
  const look = async (name: string, expected: Verdict["expected"], text: string): Promise<void> => {
    const file = join(lab.scratch, "spans.json");
    writeFileSync(file, text);
    const judge = join(lab.root, "interop", "exports_judge.py");
    const { code, stdout } = await runCommand(join(bin, "python"), [judge, "traces", file], {
      timeoutMs: TIMEOUT_MS,
    });
    const count = Number(/^accepted (\d+)/.exec(stdout)?.[1] ?? 0);
    verdicts.push({ name, expected, isAccepted: code === 0 && count > 10, said: stdout.trim() });
  };
  const text = collector.bodies.join("\n");
  await look("every span", "accept", text);
  for (const [name, breakIt] of Object.entries(BREAKS)) await look(name, "refuse", breakIt(text));
  return countVerdicts(verdicts, `${collector.spans().length} spans`);
}
