/**
 * `warden state`: the tables of a state store in PostgreSQL, and the move there. Works on the data directory itself and not
 * through the server; it loads the server's modules only when asked.
 */
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { loadServerConfig } from "../server-config.ts";

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
        run: (session) => move(session, options),
      }),
    );
}

async function move(
  session: Session,
  { to, config: file }: { readonly to: string; readonly config?: string },
): Promise<void> {
  const { moveStateOf } = await import("@trustwarden/server/move-state.ts");
  const config = await loadServerConfig(session, file);
  const { rows, tables } = await moveStateOf({ config, settingsFile: to, random: session.io.random });
  session.output.show({ moved: true, rows, tables }, [
    `Moved: ${rows} rows of ${tables} tables.`,
    `Put the content of ${to} under "state" in the server's configuration and start it. No server opens the old state again.`,
  ]);
}
