/**
 * `warden ledger verify`: checks a whole log on this side: an exported directory, or the running server's, exported
 * for the purpose.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { EXIT_FAILED } from "../failure.ts";
import { printable } from "../output.ts";
import { createTemporaryExport } from "../temporary-export.ts";
import { readTextFile } from "../text-file.ts";
import { auditDirectory, type DirectoryReport } from "../verify-directory.ts";
import { formatWitnessStatus, readWitnessPolicy } from "../witness-policy.ts";

/** A ruined log has thousands of findings; the first ones say where to look, and `--json` has them all. */
const MAX_SHOWN = 20;

/** In a log that grows an action may be under way, and the records of one instance come in any order. */
const LIVE_WINDOW_SECONDS = 60;

const OWN_KEY =
  "The log's key is the export's own, so this shows no more than that it fits itself; give the key that you trust with --vkey.";
const OWN_ROOTS =
  "The certificates are held against the export's own trust bundle; give the bundle that you trust with --bundle.";

interface VerifyOptions {
  readonly vkey?: string;
  readonly bundle?: string;
  readonly olderCheckpoint?: string;
  readonly witnessPolicy?: string;
  readonly window?: number;
}

export function addVerifyCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("verify")
    .description("verify every entry, signature and join; offline for an exported directory")
    .argument("[dir]", "an export; without one, the running server's log")
    .option("--vkey <vkey>", "the log's key, from a place other than the export")
    .option("--bundle <file>", "the trust bundle, from a place other than the export")
    .option("--older-checkpoint <file>", "a checkpoint kept earlier: the log must continue it")
    .option(
      "--witness-policy <file>",
      "fail unless witnesses cosigned; witness.policy of --config-dir if there",
    )
    .option(
      "--window <seconds>",
      `how old something must be before what should follow it is missed; ${LIVE_WINDOW_SECONDS} for the running server, 0 for a directory`,
      wholeNumber(0, 86_400),
    )
    .addHelpText(
      "after",
      examples(
        "warden ledger verify",
        "warden ledger verify ./evidence --vkey ledger.acme.test+1a2b3c4d+AZ… --bundle ./kept/bundle.json",
        "warden ledger verify ./evidence --older-checkpoint ./kept/checkpoint",
        "warden ledger verify ./evidence --witness-policy ./kept/witness.policy",
      ),
    )
    .action((directory: string | undefined, options: VerifyOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The ledger is not verified.",
        run: async (session) => {
          const report = await audit(session, directory, options);
          if (report.witnessed.kind === "unwitnessed") throw new TrustWardenError("checkpoint_unwitnessed");
          const isWhole = show(session, report, {
            isKeyGiven: options.vkey !== undefined,
            isBundleGiven: options.bundle !== undefined,
          });
          if (!isWhole) runtime.setExitCode(EXIT_FAILED);
        },
      }),
    );
}

async function audit(
  { client, paths }: Session,
  directory: string | undefined,
  options: VerifyOptions,
): Promise<DirectoryReport> {
  const olderCheckpoint =
    options.olderCheckpoint === undefined ? undefined : readTextFile(options.olderCheckpoint);
  const bundle = options.bundle === undefined ? undefined : readTextFile(options.bundle);
  const policy = readWitnessPolicy(paths, options.witnessPolicy);
  const windowSeconds = options.window ?? (directory === undefined ? LIVE_WINDOW_SECONDS : 0);
  const given = { vkey: options.vkey, bundle, olderCheckpoint, policy, windowSeconds };
  if (directory !== undefined) return auditDirectory({ directory, ...given });
  const temporary = await createTemporaryExport(client);
  try {
    return await auditDirectory({ directory: temporary.directory, ...given });
  } finally {
    temporary.remove();
  }
}

/** @returns whether nothing is damaged; alarms are shown and leave the log whole. */
function show(
  { output }: Session,
  {
    checkpoint,
    size,
    shards,
    records,
    signatures,
    notDue,
    findings,
    witnessed,
    witnessedSize,
  }: DirectoryReport,
  { isKeyGiven, isBundleGiven }: { readonly isKeyGiven: boolean; readonly isBundleGiven: boolean },
): boolean {
  const { origin } = shards[0]?.checkpoint ?? checkpoint;
  const damage = findings.filter((finding) => finding.severity === "damage").length;
  const isWhole = damage === 0;
  const { intent, decision, outcome, control } = records;
  const lines = findings
    .slice(0, MAX_SHOWN)
    .map(
      ({ severity, code, place, detail }) =>
        `  ${severity}  ${code} at ${printable(place)}: ${printable(detail)}`,
    );
  const facts = {
    origin,
    size,
    shards: shards.map(({ first, checkpoint: { origin: name, size: entries } }) => ({
      origin: name,
      first,
      size: entries,
    })),
    records: { ...records },
    signatures,
    not_due: notDue,
    witnessed: witnessed.kind === "proven",
    witnessed_size: witnessedSize,
    verified: isWhole,
    key_given: isKeyGiven,
    bundle_given: isBundleGiven,
  };
  output.show({ ...facts, findings: findings.map((finding) => ({ ...finding })) }, [
    isWhole
      ? `${origin} verifies: ${size} entries${shards.length === 1 ? "" : ` in ${shards.length} shards`}, ${signatures} signatures (${intent} intents, ${decision} decisions, ${outcome} outcomes, ${control} control events).`
      : `${origin} does NOT verify: ${damage} damaged place(s) in ${size} entries.`,
    ...lines,
    ...(findings.length > MAX_SHOWN ? [`  and ${findings.length - MAX_SHOWN} more; --json shows all`] : []),
    ...(notDue === 0 ? [] : [`${notDue} outcome(s) or intent(s) are not here, and not due yet (--window).`]),
    ...(isKeyGiven ? [] : [OWN_KEY]),
    ...(isBundleGiven ? [] : [OWN_ROOTS]),
    ...(witnessedSize === null
      ? ["It is unwitnessed: keep this checkpoint, and give it with --older-checkpoint next time."]
      : [`${formatWitnessed(witnessedSize, size)}; ${formatWitnessStatus(witnessed)}.`]),
  ]);
  return isWhole;
}

/** Whether the witnesses saw all of it or the beginning. */
function formatWitnessed(witnessedSize: number, size: number): string {
  return witnessedSize === size
    ? "All of it is witnessed"
    : `The first ${witnessedSize} of ${size} entries are witnessed, the rest is the log's word alone`;
}
