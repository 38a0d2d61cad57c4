/**
 * `warden ledger tail` and `warden ledger export --format`: events for other programs, as a stream that goes on where it
 * ended, or as a file.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import {
  EXPORT_FORMATS,
  type ExportFormat,
  exportHead,
  formatExport,
} from "@trustwarden/core/agentledger/export.ts";
import { discovery, type EventView, eventPage, shardList, tailAnswer } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Command, Option } from "commander";
import { type Client, formatTarget } from "../client.ts";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { agentIdOf, ownerIdOf, parseInstant } from "../event-filter.ts";
import { printable } from "../output.ts";
import { CLI_VERSION } from "../version.ts";

const POLL_MS = 500;
const PAGE = 500;
const STDOUT = "-";

interface TailOptions {
  readonly since?: number;
  readonly count?: number;
  readonly follow: boolean;
}

/** Which events go into a file, and how they are written. */
export interface FormatOptions {
  readonly format?: ExportFormat;
  readonly agent?: string;
  readonly owner?: string;
  readonly since?: string;
  readonly until?: string;
  readonly outcome?: string;
  readonly kind?: string;
}

/** The options of `warden ledger export` that `exportEvents` reads. */
export function addFormatOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--format <format>", "events instead of the log's files").choices([...EXPORT_FORMATS]),
    )
    .option("--agent <agent>", "with --format: name, path/name, agt_…, inst-… or SPIFFE ID")
    .option("--owner <owner>", "with --format: name or own_…")
    .option("--since <time>", "with --format: RFC 3339, or how long ago: 30s, 10m, 1h, 7d")
    .option("--until <time>", "with --format: RFC 3339, or how long ago")
    .option("--outcome <outcome>", "with --format: success, failure, aborted, denied or pending")
    .option("--kind <kind>", "with --format: action, or a control kind");
}

export function addTailCommand(ledger: Command, runtime: Runtime): void {
  ledger
    .command("tail")
    .description("follow the ledger: an event with each record that says more of it, in the order of the log")
    .option(
      "--since <cursor>",
      "begin there, such as 0 or the cursor of the last line; now without it",
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option("--count <n>", "end after so many events", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--no-follow", "end when there is nothing more")
    .addHelpText(
      "after",
      examples(
        "warden ledger tail",
        "warden ledger tail --since 184 --json",
        "warden ledger tail --since 0 --no-follow --json",
      ),
    )
    .action((options: TailOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The ledger cannot be followed.",
        run: (session) => tail(session, { ...options, isJson: command.optsWithGlobals().json === true }),
      }),
    );
}

/** One JSON document a line, or one row; each line's cursor is where to go on after it. */
async function tail(
  { client, io }: Session,
  { since, count, follow, isJson }: TailOptions & { readonly isJson: boolean },
): Promise<void> {
  let next = since ?? (await sizeOf(client));
  let left = count ?? Number.POSITIVE_INFINITY;
  while (left > 0) {
    const hasMore = await waitForMore(client, { next, follow });
    if (!hasMore) return;
    const answer = await client.get(formatTarget("/v1/ledger/tail", { from: next, limit: PAGE }), tailAnswer);
    const events = answer.events.slice(0, left);
    for (const { index, event } of events)
      io.stdout(`${formatLine(index + 1, event, isJson ? "json" : "row")}\n`);
    left -= events.length;
    next = answer.next;
  }
}

async function waitForMore(
  client: Client,
  { next, follow }: { readonly next: number; readonly follow: boolean },
): Promise<boolean> {
  while ((await sizeOf(client)) <= next) {
    if (!follow) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}

function formatLine(cursor: number, event: EventView, form: "json" | "row"): string {
  if (form === "json") return JSON.stringify({ cursor, ...event });
  const { timestamp, outcome, action, kind, resource, agent_id: agent, authorized_by: by } = event;
  return printable([cursor, timestamp, outcome, action ?? kind, resource ?? "-", agent ?? by].join("  "));
}

/** Sizes are public, so that waiting leaves no record. */
async function sizeOf(client: Client): Promise<number> {
  const { shards } = await client.get("/ledger/shards", shardList);
  const last = shards.at(-1);
  return last === undefined ? 0 : last.first + last.size;
}

/**
 * Writes events to a new file or to standard output, newest first, a page at a time.
 *
 * @throws TrustWardenError `usage` for a file that exists.
 */
export async function exportEvents(
  { client, io, output }: Session,
  { file, format, ...options }: FormatOptions & { readonly file: string; readonly format: ExportFormat },
): Promise<void> {
  const { log_origin: origin } = await client.get("/.well-known/trustwarden", discovery);
  const source = { origin, version: CLI_VERSION };
  const instantOf = (text: string | undefined) =>
    text === undefined ? undefined : parseInstant(text, io.nowMs());
  const agent = options.agent === undefined ? undefined : await agentIdOf(client, options.agent);
  const owner = options.owner === undefined ? undefined : await ownerIdOf(client, options.owner);
  const { outcome, kind } = options;
  const query = {
    agent,
    owner,
    outcome,
    kind,
    since: instantOf(options.since),
    until: instantOf(options.until),
  };
  const sink = openFile(file, io.stdout);
  let events = 0;
  try {
    sink.write(exportHead(format));
    let cursor: string | undefined;
    do {
      const page = await client.get(formatTarget("/v1/events", { ...query, cursor, limit: PAGE }), eventPage);
      sink.write(formatExport(format, page.events, source));
      events += page.events.length;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  } finally {
    sink.close();
  }
  if (file !== STDOUT)
    output.show({ file, format, events, origin }, [`Wrote ${events} events of ${origin} to ${file}.`]);
}

function openFile(
  file: string,
  stdout: (text: string) => void,
): { readonly write: (text: string) => void; readonly close: () => void } {
  if (file === STDOUT) return { write: stdout, close: () => undefined };
  try {
    const handle = openSync(file, "wx", 0o600);
    return { write: (text) => void writeSync(handle, text), close: () => closeSync(handle) };
  } catch (cause) {
    throw new TrustWardenError(
      "usage",
      { why: `${file} cannot be written, or exists`, next: "Name a new file, or - for standard output." },
      { cause },
    );
  }
}
