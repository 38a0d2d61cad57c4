/**
 * The published schemas and the standards' own libraries on what `warden ledger export --format` writes of a real
 * server.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runWarden } from "../cli/testing.ts";
import { createBundleStory } from "../test/support/evidence.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requirePythonTools } from "./tools.ts";

const TIMEOUT_MS = 120_000;

export const exportsJudge: Judge = {
  name: "OCSF 1.8, OTLP, CloudEvents and CSV by their own libraries",
  run: judgeExports,
};

/** What is broken in each form; every judge has to see it. */
const BREAKS = {
  ocsf: (text: string) => text.replace('"activity_id"', '"activity"'),
  otel: (text: string) => text.replace('"timeUnixNano":"', '"timeUnixNano":"x'),
  cloudevents: (text: string) => text.replace('"specversion":"1.0"', '"specversion":"9"'),
  csv: (text: string) => `${text}"=1+1"\r\n`,
} as const;

type Form = keyof typeof BREAKS;
const FORMS: readonly Form[] = ["ocsf", "otel", "cloudevents", "csv"];

async function judgeExports(lab: Lab): Promise<Findings> {
  const bin = await requirePythonTools(lab, "exports");
  const judge = join(lab.root, "interop", "exports_judge.py");
  const story = await createBundleStory();
  const verdicts: Verdict[] = [];
  let events = 0;
  try {
    for (const form of FORMS) {
      const file = join(lab.scratch, `events.${form}`);
      const { dataDir } = story.server.home;
      const ran = await runWarden(lab.scratch, [
        "ledger",
        "export",
        "--format",
        form,
        file,
        "--data",
        dataDir,
      ]);
      if (ran.exitCode !== 0) throw new Error(`${form}: ${ran.stderr}`);
      const look = async (name: string, expected: Verdict["expected"]): Promise<void> => {
        const { code, stdout } = await runCommand(join(bin, "python"), [judge, form, file], {
          timeoutMs: TIMEOUT_MS,
        });
        const count = Number(/^accepted (\d+)/.exec(stdout)?.[1] ?? 0);
        events += count;
        verdicts.push({ name, expected, isAccepted: code === 0 && count > 10, said: stdout.trim() });
      };
      await look(`${form}: every event`, "accept");
      writeFileSync(file, BREAKS[form](readFileSync(file, "utf8")));
      await look(`${form}: one event broken`, "refuse");
    }
    return countVerdicts(verdicts, `${events} events`);
  } finally {
    await story.server.close();
    story.server.home.remove();
  }
}
