/**
 * `warden node`: the daemon of one host, and the tokens by which hosts join. `warden explain`: why a process has an
 * identity here, or has none.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJoinTokenValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { type ExplainAnswer, explainAnswer } from "@trustwarden/core/api/node-admin.ts";
import { joinTokenAnswer } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import { parseEndpointAddress } from "@trustwarden/node/workload-api/endpoint-address.ts";
import type { Command } from "commander";
import { createAdminTransport } from "../admin-transport.ts";
import { askedToEnd, endAtNextSignal } from "../asked-to-end.ts";
import { createClient } from "../client.ts";
import { examples, type Runtime, runCommand } from "../command.ts";
import type { PlatformOptions } from "../host-evidence.ts";
import { defaultAgentSocket, nodeDirOf } from "../node-run.ts";
import { printable } from "../output.ts";
import type { Paths } from "../paths.ts";

const MAX_TOKEN_FILE_BYTES = 8192;

interface NodeOptions extends PlatformOptions {
  readonly server?: string;
  readonly joinToken?: string;
  readonly joinTokenFile?: string;
  readonly socket?: string;
  readonly compositions?: string;
}

export function addNodeCommands(program: Command, runtime: Runtime): void {
  const node = program
    .command("node")
    .description("attest the processes of this host and serve them the SPIFFE Workload API")
    .option("--server <url>", "must be the join token's server when given")
    .option("--join-token <token>", "a twj1. value; needed for the first start only")
    .option("--join-token-file <file>", "the same from a file, which keeps it out of the list of processes")
    .option("--attest <platform>", "join by evidence instead: ec2, gce, azure-machine or kubernetes")
    .option("--authorities <digest>", "with --attest: authorities_sha256 of the server's trust domain")
    .option("--cluster <name>", "with --attest kubernetes: as the server calls it")
    .option("--token-file <file>", "with --attest kubernetes: a service-account token for our audience")
    .option("--socket <path>", "of the Workload API; agent.sock in the data directory unless given")
    .option("--compositions <file>", "JSON: what the agents of this host are made of, by path/name")
    .addHelpText(
      "after",
      examples(
        "warden node token --name host-1                         # where the server runs",
        "warden node --join-token-file token --socket /run/trustwarden/agent.sock --data /var/lib/trustwarden-node",
        "warden node --attest ec2 --server https://trustwarden.example:7443 --authorities <authorities_sha256>",
        "SPIFFE_ENDPOINT_SOCKET=unix:///run/trustwarden/agent.sock    # for the workloads",
      ),
    )
    .action((options: NodeOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The node did not start, or did not stop cleanly.",
        run: ({ paths }) => runNode(options, paths, runtime),
      }),
    );
  addTokenCommand(node, runtime);
  addExplainCommand(program, runtime);
}

function addTokenCommand(node: Command, runtime: Runtime): void {
  node
    .command("token")
    .description("approve one host: prints the token that its daemon joins with, once")
    .requiredOption("--name <name>", "of the host, such as host-1")
    .option("--ttl <time>", "how long the token can be used", "10m")
    .addHelpText(
      "after",
      examples("warden node token --name host-1", "warden node token --name host-1 --ttl 1m"),
    )
    .action((options: { readonly name: string; readonly ttl: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No join token was made.",
        run: async ({ client, output }) => {
          const body = { name: options.name, ttl_seconds: parseTtl(options.ttl) };
          const answer = await client.post({ target: "/v1/join-tokens", body, schema: joinTokenAnswer });
          output.show(answer, [answer.token]);
        },
      }),
    );
}

function addExplainCommand(program: Command, runtime: Runtime): void {
  program
    .command("explain")
    .description("why a process of this host has an identity, or what it lacks for each entry")
    .argument("<pid>", "number of the process")
    .addHelpText("after", examples("warden explain 4711", "warden explain 4711 --json"))
    .action((pid: string, _options: object, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The process could not be explained.",
        run: async ({ paths, output }) => {
          if (!/^[1-9]\d{0,9}$/.test(pid))
            throw new TrustWardenError("usage", { why: "a process number is expected" });
          const { ADMIN_SOCKET } = await import("@trustwarden/node/daemon.ts");
          const client = createClient(createAdminTransport(join(nodeDirOf(paths), ADMIN_SOCKET)));
          const answer = await client.get(`/explain?pid=${pid}`, explainAnswer);
          output.show(answer, formatExplanation(answer));
        },
      }),
    );
}

async function runNode(options: NodeOptions, paths: Paths, { io }: Runtime): Promise<void> {
  const token = readToken(options);
  const { hostEvidenceOf } = await import("../host-evidence.ts");
  const host = hostEvidenceOf(options);
  if (host !== undefined && token !== undefined)
    throw new TrustWardenError("usage", { why: "give a join token or --attest, not both" });
  if (
    token !== undefined &&
    options.server !== undefined &&
    parseJoinTokenValue(token).server !== options.server
  )
    throw new TrustWardenError("usage", { why: "the join token is for another server" });
  const { startNode } = await import("@trustwarden/node/daemon.ts");
  const { openCompositionsFile } = await import("@trustwarden/node/composition-file.ts");
  const { socket, compositions } = options;
  const node = await startNode({
    dataDir: nodeDirOf(paths),
    identityDir: join(paths.configDir, "node"),
    socketPath: socket === undefined ? defaultAgentSocket(paths) : parseEndpointAddress(socket),
    ...(compositions === undefined ? {} : { compositions: openCompositionsFile(compositions) }),
    ...(token === undefined ? {} : { joinToken: async () => token }),
    ...(host === undefined ? {} : { host }),
  });
  const { spiffeId, socketPath } = node;
  const ending = askedToEnd();
  io.stdout(
    `${JSON.stringify({ ready: true, name: node.name, spiffe_id: spiffeId, agent_socket: socketPath })}\n`,
  );
  // Nothing else keeps the process alive: the node's timers do not.
  const keepAlive = setInterval(() => {}, 60_000);
  await ending;
  clearInterval(keepAlive);
  endAtNextSignal();
  await node.close();
}

function readToken({ joinToken, joinTokenFile }: NodeOptions): string | undefined {
  if (joinTokenFile === undefined) return joinToken;
  if (joinToken !== undefined) throw new TrustWardenError("usage", { why: "two join tokens were given" });
  const text = readTokenFile(joinTokenFile);
  if (text.length > MAX_TOKEN_FILE_BYTES)
    throw new TrustWardenError("join_token_invalid", { reason: "too long" });
  return text.toString().trim();
}

function readTokenFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TrustWardenError("join_token_invalid", { why: `${path} cannot be read` }, { cause });
  }
}

function formatExplanation({
  pid,
  node,
  exe,
  selectors,
  entries,
  instances,
}: ExplainAnswer): readonly string[] {
  return [
    `process ${pid} on ${node}: ${exe}`,
    ...instances.map(({ spiffe_id }) => `  identity ${spiffe_id}`),
    ...(instances.length === 0 ? ["  no identity has been asked for yet, or none is alive"] : []),
    "attested:",
    ...selectors.map((selector) => `  ${selector}`),
    entries.length === 0 ? "no registration entry is for this node" : "registration entries for this node:",
    ...entries.map(formatEntry),
  ].map(printable);
}

function formatEntry({
  entry_id,
  path,
  name,
  matches,
  missing,
  refused,
}: ExplainAnswer["entries"][number]): string {
  const label = `  ${[path, name].filter((part) => part !== "").join("/")} (${entry_id})`;
  if (matches) return `${label}: matches`;
  if (refused !== null) return `${label}: used for nobody, ${refused}`;
  return `${label}: lacks ${missing.join(", ")}`;
}
