/**
 * Entry point of the server: `startServer` for whoever runs it in its own process, and `node main.ts`.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type BuiltServer, buildServer } from "./build.ts";
import type { Clock } from "./clock.ts";
import { loadConfig, type ServerConfig } from "./config.ts";

/** After the ledger has failed, requests in flight get their 503 and stops still go out; then the process ends. */
const FATAL_GRACE_MS = 1500;
/** The exit code of a shell for a process that was ended by SIGINT. */
const INTERRUPTED = 130;

/** A server that is listening. */
export type RunningServer = BuiltServer;

/**
 * Starts a server in this process. The caller decides what happens on signals and when `failed` resolves.
 *
 * @param clock - another clock than the machine's, for tests that move time.
 * @throws TrustWardenError any code of the set-up section of `core/error.ts`, and `clock_rolled_back`.
 */
export function startServer(config: ServerConfig, clock?: Clock): Promise<RunningServer> {
  return buildServer(config, clock);
}

/** Runs until a signal or a fatal failure; a second signal does not wait. */
async function run(): Promise<void> {
  const server = await startServer(loadConfig());
  const { url, stopUrl, adminSocket, gatewayUrl, consoleUrl, envoyPort } = server;
  const addresses = {
    url,
    stop_url: stopUrl,
    admin_socket: adminSocket,
    gateway_url: gatewayUrl,
    console_url: consoleUrl,
    envoy_port: envoyPort,
  };
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) process.exit(INTERRUPTED);
    isStopping = true;
    server.close().catch(fail);
  };
  // Before anybody is told that it listens: whoever reads that may ask it to end at once, and would kill it.
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.stdout.write(`${JSON.stringify({ ready: true, ...addresses })}\n`);
  fail(await server.failed);
  setTimeout(() => process.exit(1), FATAL_GRACE_MS);
}

function fail(error: unknown): void {
  const code = error instanceof TrustWardenError ? error.code : "internal";
  process.stderr.write(`${JSON.stringify({ ready: false, code, ...detailsOf(error) })}\n`);
  process.exitCode = 1;
}

function detailsOf(error: unknown): { readonly details?: TrustWardenError["details"] } {
  return error instanceof TrustWardenError ? { details: error.details } : {};
}

if (import.meta.main) run().catch(fail);
