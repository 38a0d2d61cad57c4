/** A real PostgreSQL of Debian, with a cluster of its own that is gone with the test. */
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ConnectionOptions } from "node:tls";
import { Client } from "pg";
import { freePort } from "./free-port.ts";

const DEBIAN = "/usr/lib/postgresql";
const TRIES = 600;
const PAUSE_MS = 50;

/** Folder of the newest version's programs; undefined where none is installed. */
export const POSTGRESQL_BIN = (existsSync(DEBIAN) ? readdirSync(DEBIAN) : [])
  .toSorted((left, right) => Number(right) - Number(left))
  .map((version) => join(DEBIAN, version, "bin"))
  .find((folder) => existsSync(join(folder, "initdb")));

export interface TestPostgresql {
  readonly port: number;
  readonly directory: string;
  /** Connects; `admin` may do everything and needs no password on its socket. */
  connect(options: {
    readonly user: string;
    readonly password?: string;
    readonly ssl?: ConnectionOptions;
  }): Promise<Client>;
  /** Runs statements as `admin`, and returns the rows of the last one. @param database - `payments` unless given. */
  admin(sql: string, database?: string): Promise<readonly Record<string, unknown>[]>;
  /** From now on as the guide has it: TLS alone, and a certificate of `ca` beside the password. */
  secure(files: {
    readonly cert: string;
    readonly key: string;
    readonly ca: string;
    readonly crl: string;
  }): Promise<void>;
  /** What the server wrote into its log, with every statement. */
  log(): string;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Passwords are asked for over TCP; a database `payments` with a table, and the groups of its readers and writers. */
export async function startPostgresql(
  options: { readonly onStarted?: (child: ChildProcess, directory: string) => void } = {},
): Promise<TestPostgresql> {
  const bin = POSTGRESQL_BIN;
  if (bin === undefined) throw new Error("install Debian's postgresql");
  const directory = mkdtempSync(join(tmpdir(), "tw-pg-"));
  chmodSync(directory, 0o755);
  const user = accountOf("postgres");
  if (user !== undefined) chownSync(directory, user.uid, user.gid);
  const data = join(directory, "data");
  runAs(user, join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "admin", "--no-sync"]);
  const port = await freePort();
  writeFileSync(
    join(data, "postgresql.conf"),
    `listen_addresses = '127.0.0.1'\nport = ${port}\nunix_socket_directories = '${directory}'\nfsync = off\nlog_statement = 'all'\n`,
  );
  writeFileSync(
    join(data, "pg_hba.conf"),
    "local all admin trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
  );
  const server = createProcess({ bin, directory, data, port, user, onStarted: options.onStarted });
  const admin = async (sql: string, database = "payments") => {
    const client = new Client({ host: directory, port, user: "admin", database });
    await client.connect();
    try {
      const result: unknown = await client.query(sql);
      const last: unknown = Array.isArray(result) ? result.at(-1) : result;
      return typeof last === "object" && last !== null && "rows" in last && Array.isArray(last.rows)
        ? last.rows
        : [];
    } finally {
      await client.end();
    }
  };
  await server.start();
  await admin("CREATE DATABASE payments", "postgres");
  await admin(`
    CREATE TABLE transfers (id int); INSERT INTO transfers VALUES (1);
    ${readGuideBlock("groups.sql")}
    CREATE ROLE payments_rw; GRANT SELECT, INSERT ON transfers TO payments_rw; GRANT CREATE ON SCHEMA public TO payments_rw;
    GRANT payments_rw TO tw_admin WITH ADMIN OPTION;`);
  return {
    port,
    directory,
    admin,
    ...server,
    secure: async (files) => {
      writeSecurity(data, user, files);
      await server.stop();
      await server.start();
    },
    connect: async ({ user: name, password, ssl }) => {
      const place = { host: "127.0.0.1", port, database: "payments" };
      const client = new Client({ ...place, user: name, password, ...(ssl && { ssl }) });
      client.on("error", () => undefined);
      await client.connect();
      return client;
    },
    close: async () => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function writeSecurity(
  data: string,
  user: ReturnType<typeof accountOf>,
  files: Readonly<Record<string, string>>,
): void {
  for (const [name, text] of Object.entries(files)) {
    const file = join(data, `${name}.pem`);
    writeFileSync(file, text, { mode: 0o600 });
    if (user !== undefined) chownSync(file, user.uid, user.gid);
  }
  const settings = "ssl = on\nssl_cert_file = 'cert.pem'\nssl_key_file = 'key.pem'\n";
  const lists = "ssl_ca_file = 'ca.pem'\nssl_crl_file = 'crl.pem'\nssl_min_protocol_version = 'TLSv1.3'\n";
  appendFileSync(join(data, "postgresql.conf"), settings + lists);
  writeFileSync(join(data, "pg_hba.conf"), `local all admin trust\n${readGuideBlock("role-hba.conf")}`);
}

function createProcess(options: {
  readonly bin: string;
  readonly directory: string;
  readonly data: string;
  readonly port: number;
  readonly user: ReturnType<typeof accountOf>;
  readonly onStarted: ((child: ChildProcess, directory: string) => void) | undefined;
}): Pick<TestPostgresql, "start" | "stop" | "log"> {
  const { bin, directory, data, port, user, onStarted } = options;
  let child: ChildProcess | undefined;
  let said = "";
  return {
    log: () => said,
    start: async () => {
      const stdio: StdioOptions = ["ignore", "ignore", "pipe"];
      const started = spawn(join(bin, "postgres"), ["-D", data], { stdio, ...user });
      child = started;
      onStarted?.(started, directory);
      started.stderr?.on("data", (text: Buffer) => {
        said += text.toString("utf8");
      });
      for (let attempt = 0; !(await answers(directory, port)); attempt += 1) {
        if (started.exitCode !== null || attempt > TRIES) throw new Error(`postgres did not start: ${said}`);
        await setTimeout(PAUSE_MS);
      }
    },
    stop: async () => {
      if (child === undefined) return;
      const exited = once(child, "exit");
      child.kill("SIGINT");
      await exited;
      child = undefined;
    },
  };
}

/** A block of `docs/guides/databases.md`, as it stands there. */
export function readGuideBlock(name: string): string {
  const page = readFileSync(new URL("../../docs/guides/databases.md", import.meta.url), "utf8");
  const [, block] = new RegExp(`^\`\`\`\\w+ (?:file=)?${name}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(page) ?? [];
  if (block === undefined) throw new Error(`the guide has no block ${name}`);
  return block;
}

async function answers(directory: string, port: number): Promise<boolean> {
  const client = new Client({ host: directory, port, user: "admin", database: "postgres" });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    // Safe: it is asked again until it answers or ends.
    return false;
  }
}

/** PostgreSQL refuses to run as root. */
function accountOf(name: string): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (what: string) => Number(spawnSync("id", [what, name], { encoding: "utf8" }).stdout);
  return { uid: id("-u"), gid: id("-g") };
}

function runAs(
  user: { readonly uid: number; readonly gid: number } | undefined,
  program: string,
  args: readonly string[],
): void {
  const { status, stderr } = spawnSync(program, args, { cwd: "/", encoding: "utf8", ...user });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}
