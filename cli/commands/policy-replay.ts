/**
 * `warden policy replay`: what a draft would have decided of the decisions that the ledger has.
 */
import {
  type ReplayChange,
  type ReplayLine,
  type ReplayResult,
  replayLine,
} from "@trustwarden/core/api/policy.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { parseInstant } from "../event-filter.ts";
import { formatTable } from "../output.ts";
import { readBundleFile } from "../policy-files.ts";

const MAX_DECISIONS = 100_000;
/** As many changes as a person reads; all that the server tells are in the JSON form. */
const MAX_SHOWN = 50;
/** What the ledger does not have, in words. */
const MEMBERS: Readonly<Record<ReplayResult["needs"][number]["member"], string>> = {
  arguments: "parameters of calls through the gateway: the ledger has a commitment to them",
  labels: "what the job had read before",
  outside: "whether the action carried anything to where others read it",
  frozen: "whether a freeze was on while something was read",
  selectors: "selectors of an instance that is not registered any more",
  policy: "what the policies would have said: none of them answered",
};

interface ReplayOptions {
  readonly limit?: number;
  readonly since?: string;
  readonly until?: string;
}

/** Adds the command to `warden policy`. */
export function addPolicyReplayCommand(policy: Command, runtime: Runtime): void {
  policy
    .command("replay")
    .description("what a draft would have decided of recorded decisions; puts nothing in force")
    .argument("<bundle>", "as `warden policy build` makes it, signed or not")
    .option("--limit <n>", "so many decisions, from the newest on (10000)", wholeNumber(1, MAX_DECISIONS))
    .option("--since <time>", "RFC 3339, or how long ago: 30s, 10m, 1h, 7d")
    .option("--until <time>", "RFC 3339, or how long ago")
    .addHelpText(
      "after",
      examples(
        "warden policy replay payments.tar.gz",
        "warden policy replay payments.tar.gz --since 7d --json",
      ),
    )
    .action((file: string, options: ReplayOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The draft was not replayed.",
        run: (session) => replay(session, { file, options }),
      }),
    );
}

async function replay(
  { client, io, output }: Session,
  { file, options }: { readonly file: string; readonly options: ReplayOptions },
): Promise<void> {
  const { limit, since, until } = options;
  const nowMs = io.nowMs();
  const text = await client.postText({
    target: "/v1/policy/replays",
    body: {
      bundle: encodeBase64(readBundleFile(file)),
      ...(limit === undefined ? {} : { limit }),
      ...(since === undefined ? {} : { since: parseInstant(since, nowMs) }),
      ...(until === undefined ? {} : { until: parseInstant(until, nowMs) }),
    },
  });
  const { changes, result } = readLines(text);
  output.show({ ...result, changes: [...changes] }, formatReplay(changes, result));
}

/** @throws TrustWardenError the server's, or `server_untrusted` for an answer without an end. */
function readLines(text: string): {
  readonly changes: readonly ReplayChange[];
  readonly result: ReplayResult;
} {
  const lines = text.trim().split("\n").map(parseLine);
  const changes = lines.flatMap((line) => ("change" in line ? [line.change] : []));
  const last = lines.at(-1);
  if (last !== undefined && "result" in last) return { changes, result: last.result };
  const code = last !== undefined && "error" in last ? last.error.code : "";
  throw new TrustWardenError(isErrorCode(code) ? code : "server_untrusted", { why: "the replay has no end" });
}

function parseLine(line: string): ReplayLine {
  try {
    return replayLine.parse(JSON.parse(line));
  } catch (cause) {
    throw new TrustWardenError("server_untrusted", { why: "a line of the answer is none" }, { cause });
  }
}

function formatReplay(changes: readonly ReplayChange[], result: ReplayResult): readonly string[] {
  const { decisions, same, changed, not_replayed: notReplayed, needs, has_more: hasMore } = result;
  const rows = changes
    .slice(0, MAX_SHOWN)
    .map(({ timestamp, agent_identity: agent, action, before, after, reasons_before, reasons_after }) => [
      timestamp,
      agent,
      action,
      `${before} -> ${after}`,
      [...reasons_before, "->", ...reasons_after].join(" "),
    ]);
  const differing = changed.reduce((sum, { count }) => sum + count, 0);
  return [
    `${decisions} decisions: ${same} unchanged, ${differing} different, ${notReplayed} could not be replayed`,
    ...changed.map(({ before, after, count }) => `  ${count} from ${before} to ${after}`),
    ...needs.map(({ member, count }) => `  ${count} need ${MEMBERS[member]}`),
    ...(rows.length === 0 ? [] : formatTable(["when", "agent", "action", "decision", "reasons"], rows, "")),
    ...(differing > rows.length ? [`${differing - rows.length} more; --json has up to a thousand`] : []),
    ...(hasMore ? ["Older decisions were not looked at: --limit and --since say how far back."] : []),
  ];
}
