/**
 * `warden ledger migrate`: moves the ledger to another storage. Works on the data directory itself and not through the
 * server, which it waits for to end; it loads the server's modules only when asked.
 */
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { loadServerConfig } from "../server-config.ts";

interface MigrateOptions {
  readonly to: string;
  readonly config?: string;
  readonly wait: number;
}

export function addMigrateCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("migrate")
    .description("move the ledger to another storage, to the same root; most of it while the server works")
    .requiredOption("--to <file>", "JSON: the section `ledger` of the configuration to be")
    .option("--config <file>", "JSON settings that the server runs with")
    .option("--wait <seconds>", "for the server to end, once all else is copied", wholeNumber(0, 86_400), 600)
    .addHelpText(
      "after",
      examples(
        "warden ledger migrate --to ledger.json           # then stop the server when it says so",
        "warden ledger migrate --to ledger.json --wait 0  # with a server that is stopped already",
      ),
    )
    .action((options: MigrateOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The ledger is not moved.",
        run: (session) => migrate(session, options),
      }),
    );
}

async function migrate(session: Session, { to, config: file, wait }: MigrateOptions): Promise<void> {
  const { output, io } = session;
  const { moveLedger } = await import("@trustwarden/server/move-ledger.ts");
  const config = await loadServerConfig(session, file);
  const { size, root, pending, shards } = await moveLedger({
    config,
    settingsFile: to,
    waitMs: wait * 1000,
    random: io.random,
    nowMs: io.nowMs,
    onCopied: (files) =>
      io.stderr(`${files} file(s) are copied. Stop the server now; the rest is moved when it has ended.\n`),
  });
  output.show({ moved: true, size, root: encodeBase64(root), pending, shards }, [
    `Moved: ${size} entries in ${shards} shard(s), the last under root ${encodeBase64(root)}, and ${pending} that were acknowledged behind them.`,
    `Put the content of ${to} under "ledger" in the server's configuration and start it. The old storage is never extended again.`,
  ]);
}
