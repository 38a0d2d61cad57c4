/**
 * `warden ledger`: search the record, and prove or export it. Verification happens on this side, never by asking the
 * server whether it is right.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import type { EventAnswer, ShardHeadView } from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { headOfRecord } from "../evidence.ts";
import { createEventProver, formatProof } from "../evidence-session.ts";
import { exportLog } from "../log-directory.ts";
import { printable } from "../output.ts";
import { readWitnessPolicy } from "../witness-policy.ts";
import { addMigrateCommand } from "./ledger-migrate.ts";
import { addQueryCommands } from "./ledger-query.ts";
import { addRotateCommand } from "./ledger-rotate.ts";
import { addFormatOptions, addTailCommand, exportEvents, type FormatOptions } from "./ledger-tail.ts";
import { addVerifyCommand } from "./ledger-verify.ts";

interface ProveOptions {
  readonly out?: string;
  readonly witnessPolicy?: string;
}

export function addLedgerCommands(program: Command, runtime: Runtime): void {
  const ledger = program
    .command("ledger")
    .description("the record: questions (query, owner, policy, job), show, follow, verify, prove, export")
    .addHelpText(
      "after",
      examples(
        "warden ledger query --outcome denied --since 1h",
        "warden ledger job invoice-4711 --prove",
        "warden ledger export ./evidence && warden ledger verify ./evidence",
      ),
    );
  addQueryCommands(ledger, runtime);
  addShowCommand(ledger, runtime);
  addVerifyCommand(ledger, runtime);
  addProveCommand(ledger, runtime);
  addExportCommand(ledger, runtime);
  addTailCommand(ledger, runtime);
  addMigrateCommand(ledger, runtime);
  addRotateCommand(ledger, runtime);
}

function addShowCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("show")
    .description("one event with its signed records as they lie in the ledger")
    .argument("<event>", "event id")
    .addHelpText("after", examples("warden ledger show 0192f3a0-…", "warden ledger show 0192f3a0-… --json"))
    .action((eventId: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The event ${eventId} could not be shown.`,
        run: async ({ client, output, paths }) => {
          const prover = await createEventProver(client, readWitnessPolicy(paths));
          const { answer, evidence } = await prover.prove(eventId);
          const lines = [...formatRecords(answer), "", formatProof(evidence.proof)];
          output.show({ event: { ...answer.event }, records: decodeRecords(answer) }, lines);
        },
      }),
    );
}

function addProveCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("prove")
    .description("prove one event, and print or keep the proofs (C2SP tlog-proof)")
    .argument("<event>", "event id")
    .option("--out <dir>", "write each entry and its proof there, for anybody's verifier")
    .option(
      "--witness-policy <file>",
      "fail unless the checkpoint satisfies it; witness.policy of --config-dir if there",
    )
    .addHelpText(
      "after",
      examples("warden ledger prove 0192f3a0-…", "warden ledger prove 0192f3a0-… --out ./proof"),
    )
    .action((eventId: string, options: ProveOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The event ${eventId} is not proven.`,
        run: (session) => proveEvent(session, eventId, options),
      }),
    );
}

function addExportCommand(ledger: Command, runtime: Runtime): void {
  addFormatOptions(
    ledger
      .command("export")
      .description(
        "write the whole log as tlog-tiles with its key, or with --format events for other programs",
      )
      .argument("<target>", "a new or empty directory; with --format a new file, or - for standard output"),
  )
    .addHelpText(
      "after",
      examples(
        "warden ledger export ./evidence",
        "warden ledger export --format ocsf --since 1d events.ocsf.jsonl",
        "warden ledger export --format csv --agent payment-agent -",
      ),
    )
    .action((target: string, { format, ...options }: FormatOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The ledger was not exported.",
        run: (session) =>
          format === undefined
            ? exportWholeLog(session, target)
            : exportEvents(session, { ...options, file: target, format }),
      }),
    );
}

async function exportWholeLog({ client, output }: Session, directory: string): Promise<void> {
  const { size, vkey, files } = await exportLog(client, directory);
  const { name: origin } = parseVkey(vkey);
  output.show({ directory, origin, size, vkey, files }, [
    `Exported ${size} entries of ${origin} to ${directory} (${files} files).`,
    "Verify it anywhere with `warden ledger verify` or any tlog-tiles tool. The log's key:",
    vkey,
  ]);
}

async function proveEvent(
  { client, output, paths }: Session,
  eventId: string,
  { out, witnessPolicy }: ProveOptions,
): Promise<void> {
  const prover = await createEventProver(client, readWitnessPolicy(paths, witnessPolicy));
  const { answer, evidence } = await prover.prove(eventId);
  if (evidence.proof.witnessed.kind === "unwitnessed") {
    throw new TrustWardenError("checkpoint_unwitnessed", { size: evidence.proof.size });
  }
  const proofs = answer.records.map((record) => ({
    index: record.index,
    entry: record.entry,
    proof: formatTlogProof(record, headOfRecord(answer, record.index)),
  }));
  if (out !== undefined) {
    mkdirSync(out, { recursive: true, mode: 0o700 });
    for (const { index, entry, proof } of proofs) {
      writeFileSync(join(out, `${index}.entry.json`), entry, { mode: 0o600 });
      writeFileSync(join(out, `${index}.tlog-proof`), proof, { mode: 0o600 });
    }
  }
  const { origin, size, indexes, witnessed } = evidence.proof;
  const status = {
    verified: true,
    witnessed: witnessed.kind === "proven",
    origin,
    size,
    indexes: [...indexes],
  };
  const shown = out === undefined ? proofs.map(({ proof }) => proof) : [`Written to ${out}.`];
  output.show({ event_id: eventId, ...status, proofs }, [formatProof(evidence.proof), "", ...shown]);
}

/** @see C2SP tlog-proof */
function formatTlogProof(
  record: EventAnswer["records"][number],
  { first, checkpoint }: ShardHeadView,
): string {
  const hashes = record.inclusion_proof.map((hash) => `${hash}\n`).join("");
  return `c2sp.org/tlog-proof@v1\nindex ${record.index - first}\n${hashes}\n${checkpoint}`;
}

function formatRecords({ records }: EventAnswer): readonly string[] {
  return records.flatMap(({ index, entry }) => {
    const { payload, payloadType, unverifiedKeyid } = parseEnvelope(entry);
    const pretty = JSON.stringify(JSON.parse(parseUtf8(payload)), null, 2);
    return [
      `entry ${index}: ${payloadType}, signed by SVID ${printable(unverifiedKeyid)}`,
      ...pretty.split("\n").map(printable),
    ];
  });
}

function decodeRecords({ records }: EventAnswer) {
  return records.map(({ index, entry, inclusion_proof }) => ({
    index,
    entry,
    entry_bytes: encodeUtf8(entry).length,
    payload: parseUtf8(parseEnvelope(entry).payload),
    inclusion_proof: [...inclusion_proof],
  }));
}
