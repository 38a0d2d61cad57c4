/**
 * `warden secret import`: brings secrets from where they lie in the clear, and says what lay where.
 *
 * What comes in goes nowhere and is for nobody until `warden secret scope` says otherwise. The report names variables,
 * paths and reasons, never values.
 */
import { readFileSync } from "node:fs";
import { secretAnswer } from "@trustwarden/core/api/secrets.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Json } from "@trustwarden/core/json.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { formatTable } from "../output.ts";
import { nameOfVariable, parseEnvFile, readValue, whySecret } from "../secret-input.ts";
import { readVault } from "../vault-kv.ts";

const MAX_FILE_BYTES = 1_048_576;

interface ImportOptions {
  readonly envFile?: string;
  readonly vault?: string;
  readonly vaultTokenFile?: string;
  readonly mount: string;
  readonly path: string;
  readonly include?: readonly string[];
  readonly prefix?: string;
  readonly dryRun?: true;
}

/** A value that was found, and why it is thought to be a secret. */
interface Candidate {
  /** Where it lay: file and line, or address and path. */
  readonly from: string;
  readonly name: string;
  readonly value: string;
  /** Undefined for what does not look like one. */
  readonly why: string | undefined;
}

/** What became of it. */
type Verdict = "kept" | "would be kept" | "no secret by its looks" | `left: ${string}`;

export function addImport(secret: Command, runtime: Runtime): void {
  secret
    .command("import")
    .description(
      "bring secrets from an environment file, or from Vault's or OpenBao's KV; for nobody until scoped",
    )
    .option("--env-file <file>", "such as .env")
    .option("--vault <url>", "address of a Vault or OpenBao; the token comes from VAULT_TOKEN or a file")
    .option("--vault-token-file <file>", "the token, instead of VAULT_TOKEN")
    .option("--mount <mount>", "of the KV engine, version 1 or 2", "secret")
    .option("--path <path>", "import what is below this path", "")
    .addOption(
      repeatable(
        "--include <variable>",
        "import it although it does not look like a secret; repeat for more",
      ),
    )
    .option("--prefix <text>", "begins the name of every secret")
    .option("--dry-run", "only say what is where")
    .addHelpText(
      "after",
      examples(
        "warden secret import --env-file .env --dry-run",
        "warden secret import --env-file .env --include REGION_ID",
        "warden secret import --vault https://vault.example:8200 --mount kv --path apps/shop --dry-run",
      ),
    )
    .action((options: ImportOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The import was not finished.",
        run: (session) => importAll(session, options),
      }),
    );
}

async function importAll(session: Session, options: ImportOptions): Promise<void> {
  const candidates = await findCandidates(session, options);
  const rows: {
    readonly from: string;
    readonly name: string;
    readonly why: string;
    readonly verdict: Verdict;
  }[] = [];
  for (const candidate of candidates) {
    const isAsked =
      options.include?.some((variable) => nameOf(variable, options) === candidate.name) ?? false;
    const why = candidate.why ?? (isAsked ? "asked for" : undefined);
    const verdict = why === undefined ? "no secret by its looks" : await keep(session, candidate, options);
    rows.push({ from: candidate.from, name: candidate.name, why: why ?? "", verdict });
  }
  const kept = rows.filter(({ verdict }) => verdict === "kept").length;
  const facts: Json = { kept, found: rows.length, dry_run: options.dryRun ?? false, report: rows };
  session.output.show(facts, [
    ...formatTable(
      ["WHERE IT LAY", "NAME", "WHY", "WHAT BECAME OF IT"],
      rows.map(({ from, name, why, verdict }) => [from, name, why, verdict]),
      "Nothing was found.",
    ),
    ...adviceOf(kept),
  ]);
}

function adviceOf(kept: number): readonly string[] {
  if (kept === 0) return [];
  return [
    `${kept} kept. They go nowhere and are for nobody: name upstreams and agents with \`warden secret scope\`.`,
    "They lay in the clear: replace them at their upstreams with `warden secret rotate`, then delete them there.",
  ];
}

async function keep(
  { client }: Session,
  { name, value, from }: Candidate,
  options: ImportOptions,
): Promise<Verdict> {
  if (options.dryRun === true) return "would be kept";
  const injection = { as: "header", name: "authorization", template: "Bearer {secret}" };
  const body = { name, value, injection, reason: `imported from ${from}`.slice(0, 512) };
  try {
    await client.post({ target: "/v1/secrets", body, schema: secretAnswer });
    return "kept";
  } catch (error) {
    // One that cannot be kept is reported; the others go on.
    if (!(error instanceof TrustWardenError) || error.status >= 500) throw error;
    return `left: ${error.code}`;
  }
}

async function findCandidates({ io }: Session, options: ImportOptions): Promise<readonly Candidate[]> {
  const { envFile, vault } = options;
  if ((envFile === undefined) === (vault === undefined))
    throw new TrustWardenError("usage", { reason: "one of --env-file and --vault" });
  if (envFile !== undefined) return fromEnvFile(envFile, options);
  const { vaultTokenFile, mount, path } = options;
  const token = vaultTokenFile === undefined ? io.env.VAULT_TOKEN : readValue(vaultTokenFile);
  if (token === undefined)
    throw new TrustWardenError("usage", { reason: "VAULT_TOKEN or --vault-token-file" });
  const entries = await readVault({ url: vault ?? "", token, mount, path });
  return entries.map(({ path: at, key, value }) => ({
    from: `${mount}/${at}#${key}`,
    name: nameOf(`${at}_${key}`.replaceAll(/[^A-Za-z0-9]+/g, "_"), options),
    value,
    // Whoever put it into a vault thought that it was one.
    why: "in the vault",
  }));
}

function fromEnvFile(path: string, options: ImportOptions): readonly Candidate[] {
  return parseEnvFile(readText(path)).map((entry) => ({
    from: `${path}:${entry.line}`,
    name: nameOf(entry.variable, options),
    value: entry.value,
    why: whySecret(entry),
  }));
}

function nameOf(variable: string, { prefix = "" }: ImportOptions): string {
  return `${prefix}${nameOfVariable(variable)}`.slice(0, 63);
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_FILE_BYTES)
      throw new TrustWardenError("usage", { argument: "--env-file", reason: "too large" });
    return parseUtf8(bytes);
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "usage") throw cause;
    throw new TrustWardenError("usage", { argument: "--env-file", reason: "cannot be read" }, { cause });
  }
}
