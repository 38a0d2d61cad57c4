/**
 * `warden doctor`: checks the set-up on this machine and says, for whatever is wrong, what to do.
 */
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { type Check, runChecks } from "../doctor-checks.ts";
import { EXIT_FAILED } from "../failure.ts";

export function addDoctorCommand(program: Command, runtime: Runtime): void {
  program
    .command("doctor")
    .description("check modes, disk, clock, socket, lock, versions and the ledger")
    .addHelpText("after", examples("warden doctor", "warden doctor --data /var/lib/trustwarden --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The checks could not be made.",
        run: (session) => examine(session, runtime),
      }),
    );
}

async function examine(session: Session, { setExitCode }: Runtime): Promise<void> {
  const checks = await runChecks(session);
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
