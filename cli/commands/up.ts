/**
 * `warden up`: runs the server in this process until SIGTERM or SIGINT.
 *
 * The only place outside the server that loads it, and only when asked: every other command starts without it.
 */
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import type { ServerSettings } from "@trustwarden/server/config.ts";
import type { Command } from "commander";
import { examples, type GlobalOptions, type Runtime, runCommand, wholeNumber } from "../command.ts";
import { EXIT_FAILED } from "../failure.ts";
import { requireOutsideData, resolvePaths } from "../paths.ts";

/** After the ledger has failed, requests in flight get their refusal and stops still go out; then the process ends. */
const FATAL_GRACE_MS = 1500;
/** The exit code of a shell for a process that was ended by SIGINT. */
const INTERRUPTED = 130;

type UpOptions = Pick<ServerSettings, "trustDomain" | "host" | "port" | "stopPort" | "logLevel"> & {
  readonly allowExternal?: true;
  readonly config?: string;
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
    .option("--config <file>", "JSON settings; flags and environment go before it")
    .addHelpText(
      "after",
      examples(
        "warden up",
        "warden up --trust-domain acme.test --data /var/lib/trustwarden --config-dir /etc/trustwarden",
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
  const { config: file, ...flags } = options;
  const config = loadConfig({
    flags: { ...flags, dataDir: paths.dataDir, configDir: paths.configDir },
    environment: io.env,
    ...(file === undefined ? {} : { file }),
  });
  const server = await startServer(config);
  const { url, stopUrl, adminSocket } = server;
  io.stdout(`${JSON.stringify({ ready: true, url, stop_url: stopUrl, admin_socket: adminSocket })}\n`);
  const ending = await Promise.race([
    once(process, "SIGTERM").then(() => "asked"),
    once(process, "SIGINT").then(() => "asked"),
    server.failed.then(() => "failed"),
  ]);
  // A second signal does not wait for the graceful end.
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(INTERRUPTED));
  if (ending === "failed") {
    setExitCode(EXIT_FAILED);
    await setTimeout(FATAL_GRACE_MS);
  }
  await server.close();
}
