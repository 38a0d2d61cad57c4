/**
 * `warden up`: runs the server in this process until SIGTERM or SIGINT.
 *
 * The only place outside the server that loads it, and only when asked: every other command starts without it (but for
 * `warden ledger migrate`, which works on the ledger in the server's place).
 */
import { setTimeout } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RunningNode } from "@trustwarden/node/daemon.ts";
import { parseEndpointAddress } from "@trustwarden/node/workload-api/endpoint-address.ts";
import type { ServerSettings } from "@trustwarden/server/config.ts";
import type { Command } from "commander";
import { createAdminTransport } from "../admin-transport.ts";
import { askedToEnd, endAtNextSignal } from "../asked-to-end.ts";
import { createClient } from "../client.ts";
import {
  examples,
  type GlobalOptions,
  type Runtime,
  repeatable,
  runCommand,
  wholeNumber,
} from "../command.ts";
import { EXIT_FAILED, explainFailure, formatFailure } from "../failure.ts";
import type { Io } from "../io.ts";
import { startLocalNode } from "../node-run.ts";
import { type Paths, requireOutsideData, resolvePaths } from "../paths.ts";
import { createFirstLink } from "./person.ts";

/** After the ledger has failed, requests in flight get their refusal and stops still go out; then the process ends. */
const FATAL_GRACE_MS = 1500;

type UpOptions = Pick<ServerSettings, "trustDomain" | "host" | "port" | "stopPort" | "logLevel"> & {
  readonly allowExternal?: true;
  readonly config?: string;
  /** False for `--no-node`. */
  readonly node?: boolean;
  readonly agentSocket?: string;
  readonly gatewayPort?: number;
  readonly consolePort?: number;
  readonly sinkFrom?: readonly string[];
};

export function addUpCommand(program: Command, runtime: Runtime): void {
  program
    .command("up")
    .description("start the server: one process, one data directory, TLS 1.3 on loopback")
    .option("--trust-domain <name>", "such as acme.test; fixed when the data directory is made")
    .option("--host <address>", "to listen on; beyond loopback only with --allow-external")
    .option("--port <n>", "main listener, 0 for any free one", wholeNumber(0, 65_535))
    .option("--stop-port <n>", "listener for stopping and health, 0 for any free one", wholeNumber(0, 65_535))
    .option("--allow-external", "permit an address beyond loopback")
    .option("--log-level <level>", "fatal, error, warn, info, debug or silent")
    .option("--no-node", "without the node that serves this host's processes the SPIFFE Workload API")
    .option("--agent-socket <path>", "of that API; agent.sock in the data directory unless given")
    .option("--gateway-port <n>", "open the gateway there, 0 for any free one", wholeNumber(0, 65_535))
    .option("--console-port <n>", "open the console there, 0 for any free one", wholeNumber(0, 65_535))
    .addOption(
      repeatable("--sink-from <name=index>", "begin a sink there, whatever it kept; may be repeated"),
    )
    .option("--config <file>", "JSON settings; flags and environment go before it")
    .addHelpText(
      "after",
      examples(
        "warden up",
        "warden up --trust-domain acme.test --data /var/lib/trustwarden --config-dir /etc/trustwarden",
        "warden up --gateway-port 7445          # and the gateway, for what `warden upstream` registers",
        "warden up --port 0 --stop-port 0        # any free ports; the ready line says which",
      ),
    )
    .action((options: UpOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The server did not start, or did not stop cleanly.",
        run: async ({ paths }) => {
          requireOutsideData(paths);
          await serve(options, command, runtime);
        },
      }),
    );
}

async function serve(options: UpOptions, command: Command, { io, setExitCode }: Runtime): Promise<void> {
  const paths = resolvePaths(command.optsWithGlobals<GlobalOptions>(), io);
  const [{ loadConfig }, { startServer }] = await Promise.all([
    import("@trustwarden/server/config.ts"),
    import("@trustwarden/server/main.ts"),
  ]);
  const { config: file, node: isNodeWanted = true, agentSocket, sinkFrom, ...more } = options;
  const { gatewayPort, consolePort, ...flags } = more;
  const listeners = {
    ...(gatewayPort === undefined ? {} : { gateway: { port: gatewayPort } }),
    ...(consolePort === undefined ? {} : { console: { port: consolePort } }),
  };
  const socketPath = agentSocket === undefined ? undefined : parseEndpointAddress(agentSocket);
  const config = loadConfig({
    flags: {
      ...flags,
      ...listeners,
      ...placesOf(sinkFrom),
      dataDir: paths.dataDir,
      configDir: paths.configDir,
    },
    environment: io.env,
    ...(file === undefined ? {} : { file }),
  });
  const server = await startServer(config);
  const { url, stopUrl, adminSocket, gatewayUrl, consoleUrl } = server;
  const local = isNodeWanted ? await openNode({ paths, socketPath, io, server }) : undefined;
  const ready = { ready: true, url, stop_url: stopUrl, admin_socket: adminSocket };
  const gatewayPart = gatewayUrl === null ? {} : { gateway_url: gatewayUrl };
  const consolePart = consoleUrl === null ? {} : { console_url: consoleUrl };
  const node = isNodeWanted ? { agent_socket: local?.socketPath ?? null } : {};
  const asked = askedToEnd();
  io.stdout(`${JSON.stringify({ ...ready, ...gatewayPart, ...consolePart, ...node })}\n`);
  if (consoleUrl !== null) await inviteFirstAdmin(consoleUrl, { adminSocket, io });
  const ending = await Promise.race([
    asked.then(() => "asked"),
    server.failed.then((why) => {
      io.stderr(formatFailure(explainFailure(why, "The server stops: nothing more can be recorded.")));
      return "failed";
    }),
  ]);
  endAtNextSignal();
  if (ending === "failed") {
    setExitCode(EXIT_FAILED);
    await setTimeout(FATAL_GRACE_MS);
  }
  await local?.close();
  await server.close();
}

/** Tells whoever started the server how to become its first admin; nobody else learns the link. */
async function inviteFirstAdmin(
  consoleUrl: string,
  { adminSocket, io }: { readonly adminSocket: string; readonly io: Io },
): Promise<void> {
  const link = await createFirstLink(createClient(createAdminTransport(adminSocket)));
  if (link === null) return;
  io.stderr(
    `Nobody is an admin yet. Open ${consoleUrl}/app/welcome#${link} within 10 minutes, and make a passkey; it works once.\n`,
  );
}

/** @throws TrustWardenError `usage` for what is not `name=index`. */
function placesOf(texts: readonly string[] | undefined): Pick<ServerSettings, "sinkFrom"> {
  if (texts === undefined) return {};
  const places = texts.map((text) => {
    const [, name, index] = /^([a-z0-9-]{1,63})=(\d{1,15})$/.exec(text) ?? [];
    if (name !== undefined) return [name, Number(index)] as const;
    throw new TrustWardenError("usage", { why: `${text} is not a sink's name, = and an index` });
  });
  return { sinkFrom: Object.fromEntries(places) };
}

/** The node of this host; without a named socket its failure is told, and the server goes on alone. */
async function openNode(options: {
  readonly paths: Paths;
  readonly socketPath: string | undefined;
  readonly io: Io;
  readonly server: { readonly close: () => Promise<void> };
}): Promise<RunningNode | undefined> {
  const { paths, socketPath, io, server } = options;
  try {
    const { node, why } = await startLocalNode(paths, socketPath);
    if (why !== undefined) io.stderr(formatFailure(explainFailure(why, "The server runs without a node.")));
    return node;
  } catch (error) {
    await server.close();
    throw error;
  }
}
