/**
 * `warden scan`: finds static keys and plaintext secrets where agents keep them, says what the broker can do about each, and does
 * it with `--fix`.
 *
 * It changes nothing unless told to, needs no server to look, and prints no value.
 */
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Command, Option } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { printable } from "../output.ts";
import type { Finding } from "../scan/finding.ts";
import { fingerprintOf, maskSecret, openSalt } from "../scan/masking.ts";
import { type FileToFix, type Moved, moveSecrets } from "../scan/move-secrets.ts";
import { planText } from "../scan/plan.ts";
import { addressVariableOf, type Left, type Move, type Planned } from "../scan/planned.ts";
import { readScannedFile } from "../scan/read-file.ts";
import { formatPlace, reportJson, reportLines } from "../scan/report.ts";
import { formatSarif } from "../scan/sarif.ts";
import { type ScanResult, scan } from "../scan/scan.ts";

/** Something was found and is still there: not 1, so that a script can tell it from a scan that failed. */
const EXIT_FOUND = 3;
const EXIT_INCOMPLETE = 1;
const SUFFIX_BYTES = 6;
const MAX_COMMITS = 100_000;
const MAX_PID = 4_194_304;
const MAX_TIMEOUT_SECONDS = 3600;
const DEFAULT_TIMEOUT_SECONDS = 120;

interface ScanFlags {
  readonly history?: true;
  readonly git: number;
  readonly pid?: readonly string[];
  readonly fix?: true;
  readonly dryRun?: true;
  readonly agent?: readonly string[];
  readonly backup?: true;
  readonly sarif?: true;
  readonly timeout: number;
}

export function addScanCommand(program: Command, runtime: Runtime): void {
  program
    .command("scan")
    .description(
      "find secrets in the configuration, environment and history of agents; --fix gives them to the broker",
    )
    .argument(
      "[paths...]",
      "files and directories; otherwise the known places of agents in the home and here",
    )
    .option("--history", "also the histories of shells and agents in the home")
    .option(
      "--git <commits>",
      "also what so many of the latest commits added",
      wholeNumber(0, MAX_COMMITS),
      0,
    )
    .addOption(repeatable("--pid <pid>", "also the environment of this process; repeat for more"))
    .addOption(new Option("--dry-run", "only say what --fix would change; the default").conflicts("fix"))
    .option("--fix", "move to the broker what it can put on requests, and take it out of its file")
    .addOption(repeatable("--agent <pattern>", "with --fix: who may use what is moved; nobody otherwise"))
    .option(
      "--backup",
      "with --fix: keep the old file beside the new one, mode 0600, with its secrets in the clear",
    )
    .addOption(new Option("--sarif", "print SARIF 2.1.0").conflicts("fix"))
    .option(
      "--timeout <seconds>",
      "end the scan after this",
      wholeNumber(1, MAX_TIMEOUT_SECONDS),
      DEFAULT_TIMEOUT_SECONDS,
    )
    .addHelpText(
      "after",
      `${examples(
        "warden scan                                  the known places of agents",
        "warden scan . --git 1000 --sarif             a repository, for CI",
        "warden scan --history --pid 4711",
        "warden scan .mcp.json --fix --agent 'agent:team/**'",
      )}
Exit codes: 0 nothing found, or all of it moved; 3 found and still there; 1 failed, or not looked at everything; 2 written wrongly.
`,
    )
    .action((paths: readonly string[], flags: ScanFlags, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The scan was not finished.",
        run: async (session) => runtime.setExitCode(await scanAll(session, paths, flags)),
      }),
    );
}

async function scanAll(session: Session, paths: readonly string[], flags: ScanFlags): Promise<number> {
  const { io, output, paths: directories } = session;
  const { salt, isKept } = openSalt(directories.configDir, io.random);
  if (!isKept)
    output.note("Fingerprints count for this run only: the configuration directory cannot be written.");
  const result = await scan({
    paths,
    home: io.home,
    directory: process.cwd(),
    hasHistory: flags.history ?? false,
    maxCommits: flags.git,
    pids: (flags.pid ?? []).map(parsePid),
    timeoutMs: flags.timeout * 1000,
    env: io.env,
    nowMs: io.nowMs,
    onProgress: output.note,
  });
  const planned = planAll(result.findings);
  const parts = { result, planned, salt };
  if (flags.sarif === true) {
    const { isComplete } = result;
    const document = formatSarif(result.findings, { salt, directory: process.cwd(), isComplete });
    io.stdout(`${JSON.stringify(document, null, 2)}\n`);
    return exitCodeOf(result, result.findings.length);
  }
  if (flags.fix !== true) {
    output.show(reportJson(parts), reportLines(parts));
    return exitCodeOf(result, result.findings.length);
  }
  const moved = await fix(session, planned, { flags, salt });
  const left = [...planned.filter((plan): plan is Left => !("edits" in plan)), ...moved.left];
  const after = { result, planned: left, salt };
  output.show({ ...reportJson(after), moved: movedJson(moved) }, [
    ...movedLines(moved, flags),
    ...reportLines(after),
  ]);
  return exitCodeOf(result, left.length);
}

function parsePid(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text) || Number(text) > MAX_PID)
    throw new TrustWardenError("usage", { argument: "--pid", reason: "a process id" });
  return Number(text);
}

function exitCodeOf({ isComplete }: ScanResult, found: number): number {
  if (found > 0) return EXIT_FOUND;
  return isComplete ? 0 : EXIT_INCOMPLETE;
}

/** Plans file by file, on the text as it is now; where it is another one by now, nothing is planned for it. */
function planAll(findings: readonly Finding[]): readonly Planned[] {
  const groups = Map.groupBy(findings, ({ place }) => (place.kind === "file" ? place.path : undefined));
  return [...groups].flatMap(([path, group]): readonly Planned[] => {
    if (path === undefined) return planText("", group, maskSecret);
    const text = textOf(path, group);
    return text === undefined ? group.map(changedMeanwhile) : planText(text, group, maskSecret);
  });
}

function changedMeanwhile(finding: Finding): Left {
  return { finding, why: "the file has changed meanwhile: scan again" };
}

/** The file's text, if every finding still stands where it was found. */
function textOf(path: string, findings: readonly Finding[]): string | undefined {
  const read = readScannedFile(path, { root: "/" });
  if (!("text" in read)) return undefined;
  const isSame = findings.every(({ start, end, value }) => read.text.slice(start, end) === value);
  return isSame ? read.text : undefined;
}

async function fix(
  { client, io }: Session,
  planned: readonly Planned[],
  { flags, salt }: { readonly flags: ScanFlags; readonly salt: Uint8Array },
): Promise<Moved> {
  const moves = planned.filter((plan): plan is Move => "edits" in plan);
  if (moves.length === 0) return { moved: [], left: [], backups: [] };
  const groups = Map.groupBy(moves, ({ finding }) =>
    finding.place.kind === "file" ? finding.place.path : "",
  );
  const files: FileToFix[] = [];
  const changed: Left[] = [];
  for (const [path, group] of groups) {
    const findings = group.map(({ finding }) => finding);
    const text = textOf(path, findings);
    if (text === undefined) changed.push(...findings.map(changedMeanwhile));
    else files.push({ path, text, moves: group });
  }
  const result = await moveSecrets(files, {
    client,
    fingerprintOf: (value) => fingerprintOf(value, salt),
    agents: flags.agent ?? [],
    suffix: `warden-${encodeHex(io.random(SUFFIX_BYTES))}`,
    hasBackup: flags.backup ?? false,
  });
  return { ...result, left: [...changed, ...result.left] };
}

function movedJson({ moved, backups }: Moved) {
  return {
    secrets: moved.map(({ finding, secret, upstream }) => ({
      secret,
      upstream: upstream.name,
      from: formatPlace(finding.place, finding.line),
      address_variable: addressVariableOf(upstream.name),
    })),
    backups: [...backups],
  };
}

function movedLines({ moved, backups }: Moved, { agent = [] }: ScanFlags): readonly string[] {
  if (moved.length === 0) return [];
  const names = [...new Set(moved.map(({ secret }) => secret))];
  const mcp = [...new Set(moved.flatMap(({ upstream }) => (upstream.kind === "mcp" ? [upstream.name] : [])))];
  return [
    ...moved.map(({ finding, secret, upstream }) =>
      printable(
        `${formatPlace(finding.place, finding.line)}: the broker keeps ${secret} for the upstream ${upstream.name} (${addressVariableOf(upstream.name)}).`,
      ),
    ),
    "They lay in the clear. Replace each at its issuer, and give the new one to the broker:",
    ...names.map((name) => `  warden secret rotate ${name}`),
    ...(agent.length > 0
      ? []
      : [`Nobody may use them yet: \`warden secret scope ${names[0] ?? ""} --agent 'agent:team/**'\`.`]),
    ...mcp.map((name) => `Look at what the server offers and approve it: \`warden mcp pin ${name}\`.`),
    "Start the agent with `warden run`: it finds the addresses in its environment.",
    ...backups.map((path) => `${path} still holds the secrets in the clear: delete it once the agent works.`),
    "",
  ];
}
