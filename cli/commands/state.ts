/**
 * `warden state`: the tables of a state store in PostgreSQL, and the move there. Works on the data directory itself and not
 * through the server; it loads the server's modules only when asked.
 */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import {
  examples,
  type GlobalOptions,
  type Runtime,
  runCommand,
  type Session,
  wholeNumber,
} from "../command.ts";
import { resolvePaths } from "../paths.ts";

export function addStateCommands(program: Command, runtime: Runtime): void {
  const state = program
    .command("state")
    .description("where the state is kept, when it is in PostgreSQL")
    .addHelpText("after", examples("warden state sql > state.sql", "warden state migrate --to state.json"));
  addSqlCommand(state, runtime);
  addMoveCommand(state, runtime);
}

function addSqlCommand(state: Command, runtime: Runtime): void {
  state
    .command("sql")
    .description("print the statements that make the tables, for whoever owns the database")
    .option("--from <version>", "only what an earlier version of the tables lacks", wholeNumber(1, 100_000))
    .addHelpText("after", examples("warden state sql > state.sql"))
    .action((options: { readonly from?: number }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "There is nothing to print.",
        run: async ({ output }: Session) => {
          const { stateSql } = await import("@trustwarden/server/move-state.ts");
          const sql = stateSql(options.from ?? null);
          output.show({ sql }, [sql.trimEnd()]);
        },
      }),
    );
}

function addMoveCommand(state: Command, runtime: Runtime): void {
  state
    .command("migrate")
    .description("move the state from the data directory to PostgreSQL; the server is stopped")
    .requiredOption("--to <file>", "JSON: the section `state` of the configuration to be")
    .option("--config <file>", "JSON settings that the server runs with")
    .addHelpText("after", examples("warden state migrate --to state.json"))
    .action((options: { readonly to: string; readonly config?: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The state is not moved.",
        run: (session) => move(session, options, { command, runtime }),
      }),
    );
}

async function move(
  { output, io }: Session,
  { to, config: file }: { readonly to: string; readonly config?: string },
  { command, runtime }: { readonly command: Command; readonly runtime: Runtime },
): Promise<void> {
  const paths = resolvePaths(command.optsWithGlobals<GlobalOptions>(), runtime.io);
  const [{ loadConfig }, { moveStateOf }] = await Promise.all([
    import("@trustwarden/server/config.ts"),
    import("@trustwarden/server/move-state.ts"),
  ]);
  const flags = { dataDir: paths.dataDir, configDir: paths.configDir };
  const config = loadConfig({ flags, environment: io.env, ...(file === undefined ? {} : { file }) });
  const random = (length: number) => new Uint8Array(randomBytes(length));
  const { rows, tables } = moveStateOf({ config, settingsFile: to, random });
  output.show({ moved: true, rows, tables }, [
    `Moved: ${rows} rows of ${tables} tables.`,
    `Put the content of ${to} under "state" in the server's configuration and start it. No server opens the old state again.`,
  ]);
}
