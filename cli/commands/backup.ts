/**
 * `warden backup` and `warden restore`: work on the data directory itself, the first beside a running server, the second in its place.
 * They load the server's modules only when asked.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type RestoreAnswer, restoreAnswer } from "@trustwarden/core/api/restore.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Restored } from "@trustwarden/server/backup/restore-backup.ts";
import type { Command } from "commander";
import {
  examples,
  type GlobalOptions,
  type Runtime,
  repeatable,
  runCommand,
  type Session,
} from "../command.ts";
import { formatSeconds } from "../output.ts";
import { resolvePaths } from "../paths.ts";

const HELD =
  "The server is held: it stops, shows and proves what is there, and issues and allows nothing (restore_held).";
const WHO_AGREES =
  "Two admins agree in the console, by passkeys that are older than the restore; a newer one counts after a day.";

interface BackupOptions {
  readonly recipient?: string;
  readonly plain?: true;
  readonly config?: string;
}

interface RestoreOptions {
  readonly key?: string;
  readonly ledger?: string;
  readonly voidAll?: true;
  readonly vouchOwner?: readonly string[];
  readonly acceptOlderRules?: true;
  readonly config?: string;
}

/** Where a command was given. */
interface Given {
  readonly command: Command;
  readonly runtime: Runtime;
}

export function addBackupCommands(program: Command, runtime: Runtime): void {
  const backup = program
    .command("backup")
    .description("back the data directory up, while the server works")
    .argument("<file>", "a new file")
    .option("--recipient <file>", "public key of who may restore it; see `warden backup-key`")
    .option("--plain", "sealed to nobody: whoever has the file has the state (keys in it stay sealed)")
    .option("--config <file>", "JSON settings that the server runs with")
    .addHelpText("after", examples("warden backup --recipient backup.pub /mnt/backups/monday.tw"));
  backup.action((file: string, options: BackupOptions, command: Command) =>
    runCommand({
      runtime,
      command,
      refusal: "No backup was made.",
      run: (session) => backUp(session, { file, ...options }, { command, runtime }),
    }),
  );
  program
    .command("backup-key")
    .description(
      "make the pair of keys of backups: the private half belongs where backups are kept, not on the server",
    )
    .argument("<name>", "<name>.pub and <name>.key are made")
    .addHelpText("after", examples("warden backup-key backup"))
    .action((name: string, _: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "No key was made.", run: (session) => makeKey(session, name) }),
    );
  addRestoreCommand(program, runtime);
  addRestoreStatusCommand(program, runtime);
}

function addRestoreStatusCommand(program: Command, runtime: Runtime): void {
  program
    .command("restore-status")
    .description(
      "the restore that this server came back by, and whether two admins still have to agree to it",
    )
    .addHelpText("after", examples("warden restore-status --json"))
    .action((_options: object, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "What was restored is not known.",
        run: async ({ client, output }) => {
          const answer = await client.get("/v1/restore", restoreAnswer);
          output.show(answer, statusLines(answer));
        },
      }),
    );
}

function statusLines({ restore }: RestoreAnswer): readonly string[] {
  if (restore === null) return ["No restore made this server's state."];
  const { id, restored_at, outcome, restored_by, held } = restore;
  const made = `Restored at ${formatSeconds(restored_at)} by ${restored_by} (${outcome}, restore:${id}).`;
  return held ? [made, HELD, WHO_AGREES] : [made, "It issues and allows."];
}

function addRestoreCommand(program: Command, runtime: Runtime): void {
  program
    .command("restore")
    .description("make the data directory of a backup; what was stopped since stays stopped")
    .argument("<file>", "of `warden backup`")
    .option("--key <file>", "private key of the recipient")
    .option("--ledger <directory>", "a newer ledger: what survived, an export, or a monitor's copy")
    .option("--void-all", "where nothing proves what was stopped since: end every identity of the backup")
    .addOption(
      repeatable(
        "--vouch-owner <name>",
        "with --void-all: this owner was not revoked since; may be repeated",
      ),
    )
    .option(
      "--accept-older-rules",
      "go on although policies, secrets or authorities changed after the backup",
    )
    .option("--config <file>", "JSON settings that the server is to run with")
    .addHelpText(
      "after",
      examples(
        "warden restore --key backup.key --ledger /mnt/old-disk/ledger monday.tw",
        "warden restore --key backup.key --void-all --vouch-owner alice monday.tw",
      ),
    )
    .action((file: string, options: RestoreOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "Nothing was restored.",
        run: (session) => restore(session, { file, ...options }, { command, runtime }),
      }),
    );
}

async function backUp(
  { output, io }: Session,
  options: BackupOptions & { readonly file: string },
  { command, runtime }: Given,
): Promise<void> {
  const { file, recipient, plain, config: settings } = options;
  if ((recipient === undefined) !== (plain === true))
    throw new TrustWardenError("config_invalid", {
      setting: "recipient",
      reason: "give --recipient, or --plain",
    });
  const { dataDir, configDir } = resolvePaths(command.optsWithGlobals<GlobalOptions>(), runtime.io);
  const [{ loadConfig }, { createBackup }, { parseRecipient }] = await Promise.all([
    import("@trustwarden/server/config.ts"),
    import("@trustwarden/server/backup/create-backup.ts"),
    import("@trustwarden/server/backup/sealed-stream.ts"),
  ]);
  const config = loadConfig({
    flags: { dataDir, configDir },
    environment: io.env,
    ...(settings === undefined ? {} : { file: settings }),
  });
  const made = await createBackup({
    config,
    file: resolve(file),
    recipient: recipient === undefined ? null : parseRecipient(readKey(recipient)),
    random: io.random,
    nowMs: io.nowMs,
    onProgress: (step) => io.stderr(`${step} ...\n`),
  });
  output.show({ file, ...made }, [
    `Backed up: ${made.files} files, ${made.bytes} bytes, ${made.size} events of the ledger; written and read again.`,
    `Made by ${made.madeBy}; the server records that as backup:${made.id}, at its next start if it does not run.`,
    "Keep it in another place, under another account. The unseal key and the owners' keys are not in it.",
  ]);
}

async function makeKey({ output }: Session, name: string): Promise<void> {
  const { createRecipient } = await import("@trustwarden/server/backup/sealed-stream.ts");
  const { publicPem, privatePem } = createRecipient();
  writeFileSync(`${name}.key`, privatePem, { mode: 0o600, flag: "wx" });
  writeFileSync(`${name}.pub`, publicPem, { mode: 0o644, flag: "wx" });
  output.show({ public: `${name}.pub`, private: `${name}.key` }, [
    `${name}.pub goes to the server. ${name}.key opens every backup that is sealed to it: keep it elsewhere.`,
  ]);
}

async function restore(
  { output, io }: Session,
  options: RestoreOptions & { readonly file: string },
  { command, runtime }: Given,
): Promise<void> {
  const { dataDir, configDir } = resolvePaths(command.optsWithGlobals<GlobalOptions>(), runtime.io);
  const [{ loadConfig }, { restoreBackup }, { parseRecipientKey }] = await Promise.all([
    import("@trustwarden/server/config.ts"),
    import("@trustwarden/server/backup/restore-backup.ts"),
    import("@trustwarden/server/backup/sealed-stream.ts"),
  ]);
  const settings = options.config === undefined ? {} : { file: options.config };
  const restored = await restoreBackup({
    file: options.file,
    recipientKey: options.key === undefined ? null : parseRecipientKey(readKey(options.key)),
    dataDir,
    configOf: (building) =>
      loadConfig({ flags: { dataDir: building, configDir }, environment: io.env, ...settings }),
    ledger: options.ledger ?? null,
    isVoidAccepted: options.voidAll === true,
    vouched: options.vouchOwner ?? [],
    areOlderRulesAccepted: options.acceptOlderRules === true,
    random: io.random,
    nowMs: io.nowMs,
    onProgress: (step) => io.stderr(`${step} ...\n`),
  });
  const { replayed, made, ...facts } = restored;
  const json = {
    ...facts,
    made: made && { ...made },
    replayed: { ...replayed, missing: { ...replayed.missing } },
  };
  output.show(json, [makerLine(restored), ...linesOf(restored)]);
}

function makerLine({ made }: Pick<Restored, "made">): string {
  if (made === null) return "The backup does not say who made it.";
  const recorded = made.isRecorded
    ? "as the ledger at hand says too"
    : "which the ledger at hand does not say: it may end before that, or nobody told the server";
  return `Made on ${made.at} by ${made.by} (backup:${made.id}), ${recorded}.`;
}

function linesOf(restored: Pick<Restored, "outcome" | "origin" | "replayed" | "admins" | "isHeld">) {
  const what =
    restored.outcome === "proven"
      ? `Restored. ${restored.replayed.stops} stop(s) after the backup are in force again.`
      : "Restored. Every identity of the backup is void: agents, nodes and services enrol anew.";
  return [
    what,
    `The ledger is ${restored.origin}. Tickets, grants and entries that were signed before now are void.`,
    ...(restored.isHeld
      ? [HELD, WHO_AGREES]
      : [`It waits for nobody: ${restored.admins} admin(s) are known, and two are needed to agree.`]),
  ];
}

function readKey(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError(
      "config_invalid",
      { setting: "key", reason: "cannot be read", path },
      { cause },
    );
  }
}
