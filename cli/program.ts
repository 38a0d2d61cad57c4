/**
 * The command tree of `warden`: one file a group of commands, put together here.
 */
import { Command, CommanderError } from "commander";
import { addGlobalOptions, examples, type Runtime } from "./command.ts";
import { addA2aCommands } from "./commands/a2a.ts";
import { addAgentCommands } from "./commands/agent.ts";
import { addApprovalsCommands } from "./commands/approvals.ts";
import { addBackupCommands } from "./commands/backup.ts";
import { addBudgetCommands } from "./commands/budget.ts";
import { addCaCommands } from "./commands/ca.ts";
import { addConfirmationCommands } from "./commands/confirmation.ts";
import { addCrlCommand } from "./commands/crl.ts";
import { addDatabaseCommands } from "./commands/database.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEntryCommands } from "./commands/entry.ts";
import { addEvidenceCommands } from "./commands/evidence-bundle.ts";
import { addBundleCommands, addFederationCommands } from "./commands/federation.ts";
import { addForeignCommands } from "./commands/foreign.ts";
import { addGitHookCommands } from "./commands/git-hook.ts";
import { addGitSignCommand } from "./commands/git-sign.ts";
import { addLedgerCommands } from "./commands/ledger.ts";
import { addMcpCommands } from "./commands/mcp.ts";
import { addMonitorCommand } from "./commands/monitor.ts";
import { addNodeCommands } from "./commands/node.ts";
import { addOrganizationCommands } from "./commands/organization.ts";
import { addOwnerCommands } from "./commands/owner.ts";
import { addPayloadCommands } from "./commands/payload.ts";
import { addPersonCommands } from "./commands/person.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addProtectCommand } from "./commands/protect.ts";
import { addQuestionCommands } from "./commands/questions.ts";
import { addRelayCommands } from "./commands/relay.ts";
import { addReportCommand } from "./commands/report.ts";
import { addRevokeCommand } from "./commands/revoke.ts";
import { addRunCommand } from "./commands/run.ts";
import { addScanCommand } from "./commands/scan.ts";
import { addSecretCommands } from "./commands/secret.ts";
import { addStateCommands } from "./commands/state.ts";
import { addSvidCommands } from "./commands/svid.ts";
import { addTokenCommand } from "./commands/token.ts";
import { addUpCommand } from "./commands/up.ts";
import { addUpstreamCommands } from "./commands/upstream.ts";
import { addVerifierCommands } from "./commands/verifier.ts";
import { addWitnessCommands } from "./commands/witness.ts";
import { explainUsage, failureJson, formatFailure } from "./failure.ts";
import type { Io } from "./io.ts";
import { CLI_VERSION } from "./version.ts";

const HELP_EPILOGUE = `
The three questions, at any time, with proof:
  warden who <event>     which agent did this?
  warden why <event>     who authorized it?
  warden stop <agent>    stop it now, without stopping the rest
${examples(
  "warden up                                      start the server",
  "warden owner create alice                      make an owner and its key",
  "warden agent ticket --owner alice --path team/finance --name orchestrator --scope read:transactions --ttl 8h",
  "warden ledger query --agent payment-agent      what it did",
  "warden doctor                                  check the set-up",
)}
Exit codes: 0 done, 1 refused or failed, 2 the command was written wrongly.
`;

/**
 * Runs one command line.
 *
 * @param args - the arguments after the program's name.
 * @returns the exit code.
 */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  let exitCode = 0;
  const setExitCode = (code: number): void => {
    exitCode = code;
  };
  const usage: Usage = { command: "warden", text: "" };
  const program = createProgram({ io, setExitCode }, usage);
  try {
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    // Commander throws for help that was asked for (exit code 0) and for usage errors.
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : reportUsage({ error, usage, isJson: args.includes("--json"), io });
  }
  return exitCode;
}

/** What commander says of a command line that is written wrongly: where it stopped, and the help that it would show. */
interface Usage {
  command: string;
  text: string;
}

function reportUsage({
  error,
  usage,
  isJson,
  io,
}: {
  readonly error: CommanderError;
  readonly usage: Usage;
  readonly isJson: boolean;
  readonly io: Io;
}): number {
  const isIncomplete = error.code === "commander.help";
  const why = isIncomplete ? "it names no command to run" : error.message.replace(/^error: /, "");
  const failure = explainUsage({ command: usage.command, why });
  if (isJson) io.stdout(`${JSON.stringify(failureJson(failure), null, 2)}\n`);
  else io.stderr(isIncomplete ? `${usage.text}\n${formatFailure(failure)}` : formatFailure(failure));
  return failure.exitCode;
}

/** The whole tree, without running anything; the tests of the help texts walk it. */
export function createProgram(runtime: Runtime, usage: Usage = { command: "warden", text: "" }): Command {
  const program = new Command("warden")
    .description("TrustWarden: identity, permission, record and stop for AI agents")
    .version(CLI_VERSION)
    .addHelpText("after", HELP_EPILOGUE);
  addGlobalOptions(program);
  addUpCommand(program, runtime);
  addRunCommand(program, runtime);
  addOwnerCommands(program, runtime);
  addPersonCommands(program, runtime);
  addOrganizationCommands(program, runtime);
  addConfirmationCommands(program, runtime);
  addAgentCommands(program, runtime);
  addEntryCommands(program, runtime);
  addRelayCommands(program, runtime);
  addVerifierCommands(program, runtime);
  addProtectCommand(program, runtime);
  addNodeCommands(program, runtime);
  addFederationCommands(program, runtime);
  addBundleCommands(program, runtime);
  addForeignCommands(program, runtime);
  addRevokeCommand(program, runtime);
  addUpstreamCommands(program, runtime);
  addSecretCommands(program, runtime);
  addScanCommand(program, runtime);
  addDatabaseCommands(program, runtime);
  addPayloadCommands(program, runtime);
  addMcpCommands(program, runtime);
  addA2aCommands(program, runtime);
  addApprovalsCommands(program, runtime);
  addBudgetCommands(program, runtime);
  addCaCommands(program, runtime);
  addCrlCommand(program, runtime);
  addLedgerCommands(program, runtime);
  addStateCommands(program, runtime);
  addReportCommand(program, runtime);
  addWitnessCommands(program, runtime);
  addMonitorCommand(program, runtime);
  addEvidenceCommands(program, runtime);
  addQuestionCommands(program, runtime);
  addPolicyCommands(program, runtime);
  addGitSignCommand(program, runtime);
  addGitHookCommands(program, runtime);
  addSvidCommands(program, runtime);
  addTokenCommand(program, runtime);
  addBackupCommands(program, runtime);
  addDoctorCommand(program, runtime);
  makeStrict(program, runtime.io, usage);
  return program;
}

/** Errors of usage are thrown, with the place noted, and nothing is printed of them yet; in every command alike. */
function makeStrict(command: Command, io: Io, usage: Usage): void {
  command
    .exitOverride((error) => {
      usage.command = pathOf(command);
      throw error;
    })
    .configureOutput({
      writeOut: io.stdout,
      writeErr: (text) => {
        usage.text += text;
      },
      outputError: () => undefined,
    });
  for (const child of command.commands) makeStrict(child, io, usage);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
