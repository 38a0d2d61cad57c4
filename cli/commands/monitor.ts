/**
 * `warden monitor`: watches a log from outside, ours or anybody's, and keeps what convicts it.
 */
import { setTimeout } from "node:timers/promises";
import { parseUnverifiedAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { type ShardName, shardFolder, shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { originHash } from "@trustwarden/core/agentledger/witness.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { EXIT_FAILED } from "../failure.ts";
import { createServerSource, createUrlSource, type LogSource } from "../monitor/log-source.ts";
import {
  type MonitorOptions,
  type MonitorReport,
  runMonitorPass,
  type ShardSources,
} from "../monitor/monitor-pass.ts";
import { readMonitorState, writeMonitorState } from "../monitor/monitor-state.ts";
import { printable } from "../output.ts";
import { readTextFile } from "../text-file.ts";
import { readWitnessPolicy } from "../witness-policy.ts";

/** Exit code when the log's own signatures convict it. */
const EXIT_CONVICTED = 3;
/** Before a log that lags behind what others were shown is asked once more. */
const LAG_MS = 1000;

interface Options {
  readonly url?: string;
  readonly vkey?: string;
  readonly compare?: readonly string[];
  readonly ack?: readonly string[];
  readonly witnessPolicy?: string;
  readonly caFile?: string;
  readonly state: string;
  readonly evidence: string;
  readonly every: number;
  readonly mergeDelay: number;
  /** False for `--no-entries`. */
  readonly entries: boolean;
  readonly once?: true;
}

export function addMonitorCommand(program: Command, runtime: Runtime): void {
  program
    .command("monitor")
    .description("watch a log: it only grows, shows everybody the same, and keeps its promises")
    .option("--url <prefix>", "of a tlog-tiles log; the running server's ledger unless given")
    .option("--vkey <vkey>", "the log's key, from a place that you trust; the server's own word unless given")
    .addOption(repeatable("--compare <prefix>", "another place that shows the same log; may be repeated"))
    .option(
      "--witness-policy <file>",
      "also ask the witnesses in it; witness.policy of --config-dir if there",
    )
    .addOption(repeatable("--ack <file>", "a signed acknowledgement to redeem; may be repeated"))
    .option("--merge-delay <seconds>", "within which a promise has to be kept", wholeNumber(1, 86_400), 60)
    .option("--no-entries", "hash tiles only, for a log that shows its entries to nobody else")
    .option("--ca-file <file>", "PEM of the authorities of https servers")
    .option("--state <file>", "where to go on from the next time", "monitor.state.json")
    .option(
      "--evidence <dir>",
      "where to keep what the log signed and cannot both be true",
      "monitor-evidence",
    )
    .option("--every <seconds>", "between two looks", wholeNumber(1, 86_400), 10)
    .option("--once", "take one look and end")
    .addHelpText(
      "after",
      `${examples(
        "warden monitor --once",
        "warden monitor --url https://ledger.acme.test/ledger --vkey ledger.acme.test+1a2b3c4d+AZ… --no-entries",
        "warden monitor --once --json --compare https://mirror.test/log --witness-policy ./witness.policy",
      )}
Exit codes: 0 nothing is wrong, 1 something is wrong or could not be read, 3 the log's own signatures convict it.
`,
    )
    .action((options: Options, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The log was not watched.",
        run: (session) => monitor(session, options, runtime),
      }),
    );
}

async function monitor(session: Session, options: Options, { setExitCode }: Runtime): Promise<void> {
  const { client, io } = session;
  const vkey = options.vkey ?? (await client.get("/.well-known/trustwarden", discovery)).log_vkey;
  const acknowledgements = (options.ack ?? []).map(readTextFile);
  // What is no promise of this log is the caller's mistake, not the log's.
  for (const acknowledgement of acknowledgements)
    if (parseUnverifiedAcknowledgement(acknowledgement).origin !== parseVkey(vkey).name)
      throw new TrustWardenError("receipt_invalid", { reason: "a promise of another log" });
  const ca = options.caFile === undefined ? undefined : readTextFile(options.caFile);
  const opened = new Map<ShardName, ShardSources>();
  const open = (shard: ShardName): ShardSources => {
    const sources = opened.get(shard) ?? openSources(session, options, { vkey, ca, shard });
    opened.set(shard, sources);
    return sources;
  };
  // What is no prefix is the caller's mistake, before anything is asked.
  open(null);
  try {
    setExitCode(
      await watch(session, options, {
        open,
        vkey,
        acknowledgements,
        withEntries: options.entries,
        delaySeconds: options.mergeDelay,
        evidenceDirectory: options.evidence,
        now: () => Math.floor(io.nowMs() / 1000),
        pause: () => setTimeout(LAG_MS),
      }),
    );
  } finally {
    for (const { log, others } of opened.values()) for (const source of [log, ...others]) source.close();
  }
}

/** Looks again and again, until the log is convicted or one look was all; the exit code. */
async function watch(
  { output }: Session,
  { state: file, once, every }: Options,
  settings: Omit<MonitorOptions, "state">,
): Promise<number> {
  const { vkey } = settings;
  let state = readMonitorState(file, vkey);
  for (;;) {
    const report = await runMonitorPass({ ...settings, state });
    state = report.state;
    writeMonitorState(file, state);
    const origin = parseVkey(report.state.place.vkey).name;
    output.show({ ...reportJson(report, vkey), origin }, formatReport(report, origin));
    if (report.findings.some(({ isProof }) => isProof)) return EXIT_CONVICTED;
    if (once === true) return report.findings.length === 0 ? 0 : EXIT_FAILED;
    await setTimeout(every * 1000);
  }
}

/** A shard of the log, its other addresses, and what each witness of the policy remembers of it. */
function openSources(
  { paths, client }: Session,
  { url, compare = [], witnessPolicy }: Options,
  { vkey, ca, shard }: { readonly vkey: string; readonly ca: string | undefined; readonly shard: ShardName },
): ShardSources {
  const folder = shardFolder(shard);
  const below = (prefix: string) => (shard === null ? prefix : `${prefix.replace(/\/+$/, "")}/${folder}`);
  const hash = originHash(shardOrigin(parseVkey(vkey).name, shard));
  const policy = readWitnessPolicy(paths, witnessPolicy);
  const witnesses = (policy?.witnesses ?? []).flatMap(({ url }) => (url === null ? [] : [url]));
  const log = url === undefined ? createServerSource(client, folder) : createUrlSource(below(url), { ca });
  const others: readonly LogSource[] = [
    ...compare.map((prefix) => createUrlSource(below(prefix), { ca })),
    ...witnesses.map((prefix) =>
      createUrlSource(prefix, { ca, checkpointPath: `${hash}/checkpoint`, mayBeEmpty: true }),
    ),
  ];
  return { log, others };
}

function reportJson(report: MonitorReport, vkey: string) {
  const { previousSize, size, agreeing, kept, pending, findings } = report;
  return {
    vkey,
    previous_size: previousSize,
    size,
    agreeing: [...agreeing],
    acknowledgements: { kept, pending },
    findings: findings.map(({ code, isProof, source, detail, evidence }) => ({
      code,
      is_proof: isProof,
      source,
      detail,
      evidence,
    })),
  };
}

function formatReport(
  { previousSize, size, agreeing, kept, pending, findings }: MonitorReport,
  origin: string,
): readonly string[] {
  const grown = `${origin}: ${size} entries, ${size - previousSize} of them new and verified`;
  const others = agreeing.length === 0 ? "" : `; ${agreeing.length} other place(s) show the same history`;
  const promises = kept + pending === 0 ? "" : `; ${kept} promise(s) kept, ${pending} not due yet`;
  return [
    `${grown}${others}${promises}.`,
    ...findings.map(({ code, isProof, source, detail, evidence }) => {
      const kept = evidence === null ? "" : ` (kept in ${evidence})`;
      return `  ${isProof ? "PROOF" : "alarm"}  ${code} at ${printable(source)}: ${printable(detail)}${kept}`;
    }),
  ];
}
