/**
 * The command tree of `warden`: one file a group of commands, put together here.
 */
import { Command, CommanderError } from "commander";
import { addGlobalOptions, examples, type Runtime } from "./command.ts";
import { explainUsage, failureJson, formatFailure } from "./failure.ts";
import { FAMILIES, type Family, familiesFor } from "./families.ts";
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
  try {
    const families = familiesFor(firstWordOf(args));
    const program = await createProgram({ io, setExitCode }, { usage, families });
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

/** The tree of commands, without running anything: all of it, as the tests of the help texts walk it, or some families. */
export async function createProgram(
  runtime: Runtime,
  {
    usage = { command: "warden", text: "" },
    families = FAMILIES,
  }: { readonly usage?: Usage; readonly families?: readonly Family[] } = {},
): Promise<Command> {
  const program = new Command("warden")
    .description("TrustWarden: identity, permission, record and stop for AI agents")
    .version(CLI_VERSION)
    .addHelpText("after", HELP_EPILOGUE);
  addGlobalOptions(program);
  for (const family of families) (await family.load())(program, runtime);
  makeStrict(program, runtime.io, usage);
  return program;
}

/** The first argument that is neither an option of the program itself nor the value of one: the command. */
function firstWordOf(args: readonly string[]): string | undefined {
  // An option without its value is an error of usage here already.
  const program = new Command().exitOverride().configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  return program.parseOptions([...args]).operands[0];
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
