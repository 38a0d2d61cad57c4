/**
 * What every command shares: its global options, its session (paths, output, client), and the one place where an
 * error becomes three sentences and an exit code.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { createAdminTransport } from "./admin-transport.ts";
import { type Client, createClient, type Transport } from "./client.ts";
import { type Confirming, confirming } from "./confirming-transport.ts";
import { explainFailure, failureJson, formatFailure } from "./failure.ts";
import type { Io } from "./io.ts";
import { createOutput, type Output } from "./output.ts";
import { openOwner } from "./owner-keys.ts";
import { createOwnerTransport } from "./owner-transport.ts";
import { type Paths, resolvePaths } from "./paths.ts";

/** Options of the program itself; they may stand before or after the command. */
export interface GlobalOptions extends Confirming {
  readonly data?: string;
  readonly configDir?: string;
  readonly as?: string;
  readonly json?: boolean;
}

/** What a running command has at hand. */
export interface Session {
  readonly io: Io;
  readonly paths: Paths;
  readonly output: Output;
  /** The API as the operator (admin socket), or as the owner that `--as` names. */
  readonly client: Client;
  /** The name given with `--as`. */
  readonly asOwner: string | undefined;
}

/** What the program runs with, and how it ends: a command that fails sets the exit code. */
export interface Runtime {
  readonly io: Io;
  readonly setExitCode: (code: number) => void;
}

/** Adds the global options to the program. */
export function addGlobalOptions(program: Command): void {
  program
    .option("--data <dir>", "data directory of the server on this machine")
    .option("--config-dir <dir>", "configuration directory, with the owner keys")
    .option("--as <owner>", "act over HTTPS as this owner, with its key, instead of over the admin socket")
    .option("--ask <reason>", "where a second admin is needed: ask for exactly this command, with a reason")
    .option("--confirmation <id>", "where a second admin is needed: the confirmation of this command, cnf_…")
    .option("--json", "print one JSON document");
}

/**
 * Runs one command: opens the session, and turns whatever it throws into what happened, why and what to do next.
 *
 * @param refusal - what did not happen when it fails, as a sentence.
 */
export async function runCommand({
  runtime,
  command,
  refusal,
  run,
}: {
  readonly runtime: Runtime;
  readonly command: Command;
  readonly refusal: string;
  readonly run: (session: Session) => Promise<void>;
}): Promise<void> {
  const { io, setExitCode } = runtime;
  const options = command.optsWithGlobals<GlobalOptions>();
  let transport: Transport | undefined;
  try {
    const paths = resolvePaths(options, io);
    transport = openTransport(options, paths, io);
    await run(openSession({ options, paths, io, transport }));
  } catch (error) {
    const failure = explainFailure(error, refusal);
    if (options.json === true) io.stdout(`${JSON.stringify(failureJson(failure), null, 2)}\n`);
    else io.stderr(formatFailure(failure));
    setExitCode(failure.exitCode);
  } finally {
    transport?.close();
  }
}

/** An option that may be given several times; each value is kept in order. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);
}

/** A whole number within bounds, for options. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is expected.`);
  };
}

/** The text under `Examples:` that every command's help ends with. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}\n`;
}

function openTransport(options: GlobalOptions, paths: Paths, io: Io): Transport {
  if (options.as === undefined) return confirming(createAdminTransport(paths.adminSocket), options);
  return createOwnerTransport(openOwner(paths, options.as), io);
}

function openSession({
  options,
  paths,
  io,
  transport,
}: {
  readonly options: GlobalOptions;
  readonly paths: Paths;
  readonly io: Io;
  readonly transport: Transport;
}): Session {
  const { stdout, stderr } = io;
  return {
    io,
    paths,
    output: createOutput({ isJson: options.json === true, stdout, stderr }),
    client: createClient(transport),
    asOwner: options.as,
  };
}
