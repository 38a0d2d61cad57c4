/**
 * `warden run`: gives an unmodified program an identity of its own, takes the secrets out of its environment, and ends the
 * identity with the program.
 *
 * Everything that is said goes to standard error: standard output is the program's.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LaunchIdentity, RunReport, SandboxPlan } from "@trustwarden/node/launcher/run.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { formatSeconds } from "../output.ts";
import { issueOwnerTicket } from "../owner-ticket.ts";

const TICKET_VALID_FOR = "1m";
const MAX_ID = 4_294_967_294;
/** Of a home directory, what holds credentials by custom: hidden from a sandbox even when it sees the home. */
const PRIVATE_PLACES = [
  ".ssh",
  ".gnupg",
  ".aws",
  ".azure",
  ".kube",
  ".docker",
  ".config",
  ".netrc",
  ".npmrc",
  ".pypirc",
  ".local/share",
] as const;

interface RunCommandOptions {
  readonly agent?: string;
  readonly path: string;
  readonly scope?: readonly string[];
  readonly ttl: string;
  readonly owner?: string;
  readonly parent?: true | string;
  readonly uid?: number;
  readonly gid?: number;
  readonly sandbox?: true;
  readonly allow?: readonly string[];
  readonly readOnly?: readonly string[];
  readonly envKeep?: readonly string[];
  readonly composition?: string;
  readonly endOnRevoke: boolean;
  readonly report: boolean;
}

export function addRunCommand(program: Command, runtime: Runtime): void {
  program
    .command("run")
    .description(
      "run a program with an identity of its own: SVID by the Workload API, no secrets in its environment",
    )
    .argument("<command...>", "the program and its arguments, after --")
    .option("--agent <name>", "of the agent; needed with --owner and --parent")
    .option("--path <path>", "its place, such as team/finance", "")
    .addOption(repeatable("--scope <atom>", "what it may do, verb:type[:path]; repeat for each"))
    .option("--ttl <time>", "lifetime of the instance", "8h")
    .option("--owner <name>", "whose key on this machine permits it; else TRUSTWARDEN_TICKET does")
    .option(
      "--parent [id]",
      "as a child of the agent that this command runs in (SPIFFE_ENDPOINT_SOCKET): inst-…, agt_… or its SPIFFE ID where it has several",
    )
    .option(
      "--uid <n>",
      "run it as this account, which then is what binds the identity; needs root, and an account that nothing else uses",
      wholeNumber(1, MAX_ID),
    )
    .option("--gid <n>", "with --uid; the same number unless given", wholeNumber(1, MAX_ID))
    .option("--sandbox", "Linux: own processes, files and network; the only way out is --allow")
    .addOption(
      repeatable("--allow <host:port>", "with --sandbox: a place that HTTPS may reach; repeat for each"),
    )
    .addOption(repeatable("--read-only <path>", "with --sandbox: a path that it may read; repeat for each"))
    .addOption(
      repeatable(
        "--env-keep <name>",
        "pass this variable on although it looks like a secret; repeat for each",
      ),
    )
    .option(
      "--composition <file>",
      "JSON: digests of model, prompts, skills and tools, or files to take them from; bound to the identity",
    )
    .option(
      "--no-end-on-revoke",
      "when the identity is revoked, cut the streams and leave the program running",
    )
    .option("--no-report", "say nothing about what was given and removed")
    .addHelpText(
      "after",
      examples(
        "warden run --owner alice --agent crawler --scope fetch:web --ttl 1h -- python crawler.py",
        "TRUSTWARDEN_TICKET=tw1.… warden run -- ./agent",
        "warden run --owner alice --agent crawler --scope fetch:web --sandbox --allow api.example:443 -- node crawler.js",
        "warden run --parent --agent helper --scope fetch:web:docs --ttl 10m -- ./helper     # inside another run",
        "warden run --parent agt_01J… --agent helper --scope fetch:web:docs -- ./helper      # of several that a node gives",
      ),
    )
    .action((words: readonly string[], options: RunCommandOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The program was not run.",
        run: async (session) => {
          runtime.setExitCode(await run(session, words, options));
        },
      }),
    );
}

async function run(
  session: Session,
  command: readonly string[],
  options: RunCommandOptions,
): Promise<number> {
  const { io, output } = session;
  const identity = await identityOf(session, options);
  const [{ runLaunched }, { openCompositionFile }, { systemRuntime }] = await Promise.all([
    import("@trustwarden/node/launcher/run.ts"),
    import("@trustwarden/node/composition-file.ts"),
    import("trustwarden"),
  ]);
  const { composition } = options;
  const result = await runLaunched({
    identity,
    command,
    environment: io.env,
    keep: options.envKeep ?? [],
    composition: composition === undefined ? undefined : openCompositionFile(composition),
    account: accountOf(options),
    sandbox: await sandboxOf(session, options),
    endsOnRevoke: options.endOnRevoke,
    isOnTerminal: process.stdin.isTTY === true,
    runtime: systemRuntime,
    onReady: (report) => {
      if (options.report) for (const line of formatReport(report)) output.note(line);
    },
    signals: process,
  });
  if (result.isRevoked) output.note("warden: the identity was revoked while the program ran.");
  for (const place of result.refusedPlaces) output.note(`warden: the sandbox refused ${place}`);
  return result.exitCode;
}

async function identityOf(session: Session, options: RunCommandOptions): Promise<LaunchIdentity> {
  const { env } = session.io;
  const { owner, agent, scope, ttl, path } = options;
  if (options.parent !== undefined) return parentOf(options, env.SPIFFE_ENDPOINT_SOCKET);
  if (owner !== undefined) {
    if (agent === undefined || scope === undefined)
      throw new TrustWardenError("usage", { why: "--owner needs --agent and --scope" });
    const made = await issueOwnerTicket(session, {
      owner,
      path,
      name: agent,
      scope,
      ttl,
      validFor: TICKET_VALID_FOR,
      depth: 3,
      fanOut: 16,
    });
    return { kind: "ticket", ticket: made.value };
  }
  const ticket = env.TRUSTWARDEN_TICKET;
  if (ticket === undefined || ticket === "") throw new TrustWardenError("ticket_missing");
  return { kind: "ticket", ticket };
}

/** A parent proves itself by its key, which is behind this process's own socket: no owner stands in for it. */
function parentOf(
  { parent, owner, agent, scope, ttl }: RunCommandOptions,
  socketPath: string | undefined,
): LaunchIdentity {
  if (owner !== undefined)
    throw new TrustWardenError("usage", {
      why: "a child is permitted by its parent and by no owner: --parent or --owner",
    });
  if (agent === undefined || scope === undefined)
    throw new TrustWardenError("usage", { why: "--parent needs --agent and --scope" });
  if (socketPath === undefined)
    throw new TrustWardenError("parent_proof_missing", { reason: "SPIFFE_ENDPOINT_SOCKET" });
  const parentId = parent === true ? undefined : parent;
  return { kind: "parent", socketPath, parentId, child: { name: agent, scope, ttl } };
}

function accountOf({
  uid,
  gid,
}: RunCommandOptions): { readonly uid: number; readonly gid: number } | undefined {
  if (uid === undefined) {
    if (gid !== undefined) throw new TrustWardenError("usage", { why: "--gid goes with --uid" });
    return undefined;
  }
  return { uid, gid: gid ?? uid };
}

async function sandboxOf({ paths }: Session, options: RunCommandOptions): Promise<SandboxPlan | undefined> {
  const { allow = [], readOnly = [] } = options;
  if (options.sandbox !== true) {
    if (allow.length + readOnly.length > 0)
      throw new TrustWardenError("usage", { why: "--allow and --read-only go with --sandbox" });
    return undefined;
  }
  if (options.uid !== undefined)
    throw new TrustWardenError("usage", { why: "--sandbox has an account of its own" });
  const { parsePlace } = await import("@trustwarden/node/launcher/way-out.ts");
  const home = homedir();
  return {
    workingDirectory: process.cwd(),
    readOnly,
    hidden: PRIVATE_PLACES.map((name) => join(home, name)),
    never: [paths.dataDir, paths.configDir],
    allowed: allow.map(parsePlace),
  };
}

function formatReport({
  spiffeId,
  classSpiffeId,
  scope,
  expiresAt,
  strength,
  boundBy,
  environment,
  gateway,
}: RunReport): readonly string[] {
  const { removed, kept } = environment;
  const names = removed.map(({ name, reason }) => `${name} (${reason})`).join(", ");
  return [
    `warden: ${spiffeId}`,
    `warden: second SVID ${classSpiffeId}, which TrustWarden itself takes from nobody`,
    `warden: scope ${scope.join(" ")}, until ${formatSeconds(expiresAt)}`,
    `warden: bound to ${boundBy}: ${strength === "launcher" ? "launcher" : "same_uid, so a process of that account that sets out to can use it; --uid or --sandbox is stronger"}`,
    removed.length === 0
      ? "warden: nothing in the environment looked like a secret"
      : `warden: not passed on: ${names}`,
    ...(gateway === null || gateway.length === 0 ? [] : [`warden: to the gateway by ${gateway.join(", ")}`]),
    ...(kept.length === 0 ? [] : [`warden: passed on although it looks like a secret: ${kept.join(", ")}`]),
  ];
}
