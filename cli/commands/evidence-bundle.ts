/**
 * `warden evidence`: one file that proves events offline, and checking such a file on this side against anchors that
 * the caller brings.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { EventAnswer } from "@trustwarden/core/agentledger/bundle-answers.ts";
import type { EarlierCheckpoint } from "@trustwarden/core/agentledger/evidence-growth.ts";
import type { PayloadState } from "@trustwarden/core/agentledger/evidence-payloads.ts";
import type { BundleReport } from "@trustwarden/core/agentledger/verify-bundle.ts";
import { encodeBase64, encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { type EvidenceTrust, verifyEvidence } from "trustwarden";
import { formatTarget } from "../client.ts";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { agentIdOf, parseInstant } from "../event-filter.ts";
import { printable } from "../output.ts";
import { readTextFile } from "../text-file.ts";

/** Everything there is what was logged, and something is missing. */
const EXIT_MISSING = 3;

interface MakeOptions {
  readonly event?: string;
  readonly agent?: string;
  readonly job?: string;
  readonly since?: string;
  readonly until?: string;
  readonly sinceCheckpoint?: string;
  readonly payloads?: true;
  readonly out: string;
}

type Payloads = BundleReport["payloads"];

interface VerifyOptions {
  readonly vkey?: string;
  readonly policy?: string;
  readonly bundle?: string;
  readonly root?: readonly string[];
  readonly since?: string;
}

export function addEvidenceCommands(program: Command, runtime: Runtime): void {
  const evidence = program
    .command("evidence")
    .description("one file that proves events offline, years later: make it, verify it")
    .addHelpText(
      "after",
      examples(
        "warden evidence make --event 0192f3a0-… --out payment.twb",
        "warden evidence verify payment.twb --vkey ledger.acme.test+1a2b3c4d+AZ… --bundle ./kept/bundle.json",
      ),
    );
  addMakeCommand(evidence, runtime);
  addVerifyCommand(evidence, runtime);
}

function addMakeCommand(evidence: Command, runtime: Runtime): void {
  evidence
    .command("make")
    .description("an event, an agent with its subtree, a job, or everything between two times")
    .option("--event <event>", "event id")
    .option("--agent <agent>", "name, path/name or agt_…; with everything below it")
    .option("--job <job>", "as the agents named it")
    .option("--since <time>", "RFC 3339, or how long ago: 30s, 10m, 1h, 7d")
    .option("--until <time>", "RFC 3339, or how long ago")
    .option(
      "--since-checkpoint <file>",
      "a checkpoint that somebody kept: shows that the log was not rewritten since",
    )
    .option("--payloads", "with what was kept of requests and answers, and what opens their commitments")
    .requiredOption("--out <file>", "a new file, named .twb by convention")
    .addHelpText(
      "after",
      examples(
        "warden evidence make --event 0192f3a0-… --out payment.twb",
        "warden evidence make --agent payment-agent --since 7d --out payment-agent.twb",
        "warden evidence make --since 2026-11-01T00:00:00Z --until 2026-11-02T00:00:00Z --out day.twb",
        "warden evidence make --job month-end --since-checkpoint ./kept/checkpoint --payloads --out month-end.twb",
      ),
    )
    .action((options: MakeOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The evidence bundle was not made.",
        run: (session) => makeBundle(session, options),
      }),
    );
}

function addVerifyCommand(evidence: Command, runtime: Runtime): void {
  evidence
    .command("verify")
    .description("verify an evidence bundle offline, against a log key and trust roots from elsewhere")
    .argument("<file>", "a .twb file")
    .option("--vkey <vkey>", "the log's key")
    .option("--policy <file>", "instead: a C2SP tlog-policy with the log's key, witnesses and their quorum")
    .option("--bundle <file>", "a SPIFFE trust bundle that you kept")
    .addOption(repeatable("--root <sha256>", "fingerprint of a root certificate; may be repeated"))
    .option("--since <file>", "a checkpoint of the log that you kept: it must not have been rewritten since")
    .addHelpText(
      "after",
      examples(
        "warden evidence verify payment.twb --vkey ledger.acme.test+1a2b3c4d+AZ… --bundle ./kept/bundle.json",
        "warden evidence verify payment.twb --vkey ledger.acme.test+1a2b3c4d+AZ… --root 9f86d081…",
      ),
    )
    .action((file: string, options: VerifyOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `${file} is not verified.`,
        run: async (session) => {
          const report = verifyEvidence(readBytes(file), trustOf(options));
          show(session, report);
          if (report.alarms.length > 0) runtime.setExitCode(EXIT_MISSING);
        },
      }),
    );
}

async function makeBundle({ client, io, output }: Session, options: MakeOptions): Promise<void> {
  const { event, job, out } = options;
  const instantOf = (text: string | undefined) =>
    text === undefined ? undefined : parseInstant(text, io.nowMs());
  const agent = options.agent === undefined ? undefined : await agentIdOf(client, options.agent);
  const query = {
    ...{ event, agent, job, since: instantOf(options.since), until: instantOf(options.until) },
    earlier: options.sinceCheckpoint && encodeBase64url(encodeUtf8(readTextFile(options.sinceCheckpoint))),
    payloads: options.payloads && "true",
  };
  const bytes = await client.getBytes(formatTarget("/v1/evidence", query));
  try {
    // An older file of this name is evidence of what was said then.
    writeFileSync(out, bytes, { mode: 0o600, flag: "wx" });
  } catch (cause) {
    throw new TrustWardenError(
      "usage",
      { why: `${out} cannot be written, or exists`, next: "Name a new file." },
      { cause },
    );
  }
  output.show({ file: out, bytes: bytes.length }, [
    `Written to ${out} (${bytes.length} bytes).`,
    "Whoever checks it needs the log's key and the trust roots from elsewhere; VERIFY.md inside says how.",
  ]);
}

function trustOf({ vkey, policy, bundle, root, since }: VerifyOptions): EvidenceTrust {
  const log = policy === undefined ? vkey : undefined;
  if ((vkey === undefined) === (policy === undefined) || (bundle === undefined) === (root === undefined))
    throw new TrustWardenError("usage", {
      why: "whom to trust is not given, or twice",
      next: "Give --vkey or --policy for the log, and --bundle or --root for the certificates; from elsewhere than the file.",
    });
  return {
    log: log === undefined ? { policy: readTextFile(policy ?? "") } : { vkey: log },
    roots: bundle === undefined ? { fingerprints: root ?? [] } : { bundle: readTextFile(bundle) },
    ...(since === undefined ? {} : { earlier: readTextFile(since) }),
  };
}

function show({ output }: Session, report: BundleReport): void {
  const { manifest, checkpoint, cosignatures, entries, signatures, events, policies, alarms, payloads } =
    report;
  const { origin, size } = checkpoint;
  const witnesses = cosignatures.map(({ witness }) => witness);
  const withheld = [...manifest.withheld];
  const facts = { origin, size, entries, signatures, witnesses, policies: { ...policies }, withheld };
  const missing = alarms.map(({ code, place, detail }) => ({ code, place, detail }));
  const grown = report.earlier && { origin: report.earlier.origin, size: report.earlier.size };
  const shown = events.map((answer) => jsonOf(answer, payloads));
  output.show({ verified: true, ...facts, earlier: grown, missing, events: shown }, [
    `Verified: ${events.length} event(s), ${entries} entries, all in ${origin} of size ${size}, ${signatures} signatures.`,
    witnesses.length === 0
      ? "Unwitnessed: the log's own word; compare the root elsewhere."
      : `Witnessed by ${witnesses.join(", ")}.`,
    manifest.range === null
      ? "Single events were chosen: what was left out cannot be seen, but for gaps in an agent's count."
      : `Complete from entry ${manifest.range.start} to ${manifest.range.end - 1}.`,
    `${policies.held} of ${policies.named} policies that decided are here, code and data under their digests.`,
    ...(report.earlier === null ? [] : [formatEarlier(report.earlier)]),
    ...events.flatMap((answer) => formatAnswer(answer, payloads)).map(printable),
    ...manifest.withheld.map((text) => `withheld: ${printable(text)}`),
    ...missing.map(
      ({ code, place, detail }) => `missing: ${code} at ${printable(place)}: ${printable(detail)}`,
    ),
  ]);
}

function formatEarlier({ origin, size, root, isYours }: EarlierCheckpoint): string {
  const what = `Not rewritten since ${origin} had ${size} entries`;
  return isYours
    ? `${what}, as you hold it.`
    : `${what} with root ${encodeBase64(root)}: compare it with what you hold.`;
}

function formatAnswer(
  { event, authorizedBy, stoppedBy }: EventAnswer,
  payloads: Payloads,
): readonly string[] {
  const payload = payloads.get(event.event_id);
  const {
    event_id: id,
    kind,
    action,
    resource,
    timestamp,
    outcome,
    agent_id: agent,
    agent_identity: who,
  } = event;
  return [
    "",
    `event ${id}: ${action ?? kind} on ${resource ?? "-"} at ${timestamp}: ${outcome}`,
    `  which agent:       ${agent ?? "none"} ${who ?? ""}`,
    ...authorizedBy.map(
      ({ by, document, subject }) => `  who authorized it: ${by} signed the ${document} of ${subject}`,
    ),
    `  who authorized it: ${event.authorized_by}`,
    ...stoppedBy.map((text) => `  what stopped it:   ${text}`),
    ...(payload === undefined ? [] : [`  payload:           ${formatPayload(payload)}`]),
  ];
}

function formatPayload(payload: PayloadState): string {
  if (payload.kind === "erased") return `erased (entry ${payload.index})`;
  const { method, target, request, answer } = payload.payload;
  const answered = answer === null ? "no answer that the log commits to" : `answer of ${answer.length} bytes`;
  return `${method} ${target}, request of ${request.length} bytes, ${answered}; as the log commits to it`;
}

function jsonOf({ event, authorizedBy, stoppedBy }: EventAnswer, payloads: Payloads) {
  const payload = payloads.get(event.event_id);
  return {
    payload: payload?.kind ?? null,
    event: { ...event, chain: [...event.chain], reasons: [...event.reasons], indexes: [...event.indexes] },
    authorized_by: authorizedBy.map((one) => ({ ...one, scope: [...one.scope] })),
    stopped_by: [...stoppedBy],
  };
}

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new TrustWardenError(
      "not_found",
      { why: `${file} cannot be read`, next: "Name a .twb file." },
      { cause },
    );
  }
}
