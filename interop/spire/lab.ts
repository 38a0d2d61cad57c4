/**
 * A real SPIRE server and agent on loopback, in one folder: join token, unix workload attestor, keys in memory, SQLite.
 *
 * What differs from SPIRE's defaults is here and nowhere else, and `configuration` says it for reports.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput, runCommand } from "../command.ts";
import type { SpireTools } from "./tools.ts";

const COMMAND_TIMEOUT_MS = 30_000;
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 200;

export interface SpireOptions {
  readonly trustDomain: string;
  /** Whether the limit of 500 signings a second and address is kept; a benchmark lifts it and says so. */
  readonly isRateLimited: boolean;
  /** Serves the bundle as `https_spiffe` on a free port of 127.0.0.1; as `https_web` with a certificate of the web. */
  readonly hasBundleEndpoint?: boolean;
  readonly webCertificate?: { readonly certFile: string; readonly keyFile: string };
  /** How often the agent asks its server what changed; SPIRE's default is 5 s. */
  readonly syncInterval?: string;
}

/** One registration entry. */
export interface SpireEntry {
  readonly spiffeId: string;
  readonly selector: string;
  readonly hint?: string;
  readonly x509TtlSeconds?: number;
  readonly federatesWith?: string;
}

export interface SpireLab {
  /** `unix:///...` of the agent's Workload API. */
  readonly socket: string;
  /** Address of the bundle endpoint, when it has one. */
  readonly bundleUrl: string | null;
  /** The server's and the agent's configuration files, as they were given to them. */
  readonly configuration: readonly string[];
  readonly serverPid: number;
  readonly agentPid: number;
  /** Runs `spire-server` with the arguments and the server's socket. @throws Error when it fails. */
  server(...args: readonly string[]): Promise<string>;
  /** Returns the entry's id. */
  createEntry(entry: SpireEntry): Promise<string>;
  deleteEntry(id: string): Promise<void>;
  /** Ends both processes. */
  close(): Promise<void>;
}

const createdEntry = z.object({ results: z.array(z.object({ entry: z.object({ id: z.string() }) })).min(1) });
const joinToken = z.object({ value: z.string() });

/** Starts both, and returns when the agent serves. */
export async function openSpire(tools: SpireTools, folder: string, options: SpireOptions): Promise<SpireLab> {
  const places = { folder, server: join(folder, "server.sock"), agent: join(folder, "agent.sock") };
  for (const name of ["server", "agent"]) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  // Every user may ask the agent; what is secret lies in the two folders.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const bundlePort = options.hasBundleEndpoint ? await freePort() : null;
  const configuration = [
    writeConfiguration(folder, "server", serverConfiguration({ ...places, ...options, port, bundlePort })),
    writeConfiguration(folder, "agent", agentConfiguration({ ...places, ...options, port })),
  ];
  const serverProcess = start(tools.server, folder, "server", []);
  const server = (...args: readonly string[]) =>
    requireOutput(tools.server, [...args, "-socketPath", places.server], { timeoutMs: COMMAND_TIMEOUT_MS });
  await untilHealthy(tools.server, places.server, { child: serverProcess, log: join(folder, "server.log") });
  const node = `spiffe://${options.trustDomain}/node`;
  const token = await server("token", "generate", "-spiffeID", node, "-output", "json");
  const agentProcess = start(tools.agent, folder, "agent", [
    "-joinToken",
    joinToken.parse(JSON.parse(token)).value,
  ]);
  try {
    await untilHealthy(tools.agent, places.agent, { child: agentProcess, log: join(folder, "agent.log") });
  } catch (error) {
    await end(serverProcess);
    throw error;
  }
  return {
    socket: `unix://${places.agent}`,
    bundleUrl: bundlePort === null ? null : `https://127.0.0.1:${bundlePort}`,
    configuration,
    serverPid: serverProcess.pid ?? 0,
    agentPid: agentProcess.pid ?? 0,
    server,
    createEntry: async (entry) => {
      const said = await server(
        "entry",
        "create",
        "-parentID",
        node,
        ...entryArguments(entry),
        "-output",
        "json",
      );
      return createdEntry.parse(JSON.parse(said)).results[0]?.entry.id ?? "";
    },
    deleteEntry: async (id) => {
      await server("entry", "delete", "-entryID", id);
    },
    close: async () => {
      await end(agentProcess);
      await end(serverProcess);
    },
  };
}

function entryArguments({
  spiffeId,
  selector,
  hint,
  x509TtlSeconds,
  federatesWith,
}: SpireEntry): readonly string[] {
  return [
    ...["-spiffeID", spiffeId, "-selector", selector],
    ...(hint === undefined ? [] : ["-hint", hint]),
    ...(x509TtlSeconds === undefined ? [] : ["-x509SVIDTTL", String(x509TtlSeconds)]),
    ...(federatesWith === undefined ? [] : ["-federatesWith", federatesWith]),
  ];
}

interface Settings extends SpireOptions {
  readonly folder: string;
  readonly server: string;
  readonly agent: string;
  readonly port: number;
}

function serverConfiguration(settings: Settings & { readonly bundlePort: number | null }): string {
  const { folder, server, trustDomain, port, isRateLimited, bundlePort, webCertificate: web } = settings;
  const profile =
    web === undefined
      ? 'profile "https_spiffe" {}'
      : `profile "https_web" {
        serving_cert_file {
          cert_file_path = "${web.certFile}"
          key_file_path = "${web.keyFile}"
          file_sync_interval = "1m"
        }
      }`;
  const endpoint =
    bundlePort === null
      ? ""
      : `  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = ${bundlePort}
      refresh_hint = "10s"
      ${profile}
    }
  }
`;
  const limits = isRateLimited ? "" : "  ratelimit {\n    signing = false\n    attestation = false\n  }\n";
  return `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${server}"
  trust_domain = "${trustDomain}"
  data_dir = "${folder}/server"
  log_level = "WARN"
${limits}${endpoint}}
plugins {
  DataStore "sql" {
    plugin_data {
      database_type = "sqlite3"
      connection_string = "${folder}/server/datastore.sqlite3"
    }
  }
  NodeAttestor "join_token" {
    plugin_data {}
  }
  KeyManager "memory" {
    plugin_data {}
  }
}
`;
}

function agentConfiguration({ folder, agent, trustDomain, port, syncInterval }: Settings): string {
  const sync = syncInterval === undefined ? "" : `  sync_interval = "${syncInterval}"\n`;
  return `agent {
  data_dir = "${folder}/agent"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${agent}"
  trust_domain = "${trustDomain}"
  insecure_bootstrap = true
${sync}}
plugins {
  NodeAttestor "join_token" {
    plugin_data {}
  }
  KeyManager "memory" {
    plugin_data {}
  }
  WorkloadAttestor "unix" {
    plugin_data {}
  }
}
`;
}

function writeConfiguration(folder: string, name: string, text: string): string {
  writeFileSync(join(folder, `${name}.conf`), text);
  return text;
}

function start(program: string, folder: string, name: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(folder, `${name}.log`), "a");
  return spawn(program, ["run", "-config", join(folder, `${name}.conf`), ...args], {
    stdio: ["ignore", log, log],
  });
}

async function untilHealthy(
  program: string,
  socket: string,
  { child, log }: { readonly child: ChildProcess; readonly log: string },
): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    await sleep(POLL_MS);
    if (!existsSync(socket)) continue;
    const { code } = await runCommand(program, ["healthcheck", "-socketPath", socket], {
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    if (code === 0) return;
  }
  // Nobody waits for a judge whose processes are still there.
  child.kill("SIGKILL");
  throw new Error(`${program} did not start: ${readFileSync(log, "utf8").slice(-2000)}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(late);
}
