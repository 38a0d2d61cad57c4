/**
 * `warden doctor`: checks the set-up on this machine and says, for whatever is wrong, what to do.
 */
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import type { Check } from "../doctor-check.ts";
import { runChecks } from "../doctor-checks.ts";
import { EXIT_FAILED } from "../failure.ts";

export function addDoctorCommand(program: Command, runtime: Runtime): void {
  program
    .command("doctor")
    .description(
      "check a deployment: modes, keys, disk, clock, versions, listeners, ledger, witnesses, what it depends on",
    )
    .option("--config <file>", "the JSON settings that `warden up` is given")
    .addHelpText(
      "after",
      examples(
        "warden doctor",
        "warden doctor --data /var/lib/trustwarden --json",
        "warden doctor --data /var/lib/trustwarden --config-dir /var/lib/trustwarden-keys --config /etc/trustwarden/server.json",
      ),
    )
    .action((options: { readonly config?: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The checks could not be made.",
        run: (session) => examine(session, runtime, options.config),
      }),
    );
}

async function examine(session: Session, { setExitCode }: Runtime, file?: string): Promise<void> {
  const checks = await runChecks(session, file);
  const isHealthy = checks.every((check) => check.state !== "bad");
  if (!isHealthy) setExitCode(EXIT_FAILED);
  session.output.show({ healthy: isHealthy, checks: checks.map((check) => ({ ...check })) }, [
    ...checks.flatMap(formatCheck),
    "",
    isHealthy ? "Nothing is wrong." : "Something is wrong; mend it from the top.",
  ]);
}

function formatCheck({ state, name, found, next }: Check): readonly string[] {
  const mark = { good: "ok  ", bad: "BAD ", unknown: "?   " }[state];
  return [`${mark} ${name}: ${found}`, ...(next === "" ? [] : [`       next: ${next}`])];
}
