/** PostgreSQL: the recipe of `docs/guides/x509-postgresql.md`: a certificate logs in as a role. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab } from "../judge.ts";
import { findUser, requirePostgresql, waitUntilReady } from "../storage/lab.ts";
import { letCallersTry } from "./callers.ts";
import { readBlock } from "./guide.ts";
import { type RunningProgram, startProgram } from "./program.ts";
import { createWildDomain, type WildDomain } from "./wild-domain.ts";

const GUIDE = "x509-postgresql.md";
const TIMEOUT_MS = 60_000;

export const postgresqlJudge: Judge = { name: "postgresql", run: judgePostgresql };

/** A database cluster of its own for this run. */
interface Cluster {
  readonly bin: string;
  readonly directory: string;
  readonly port: number;
  /** PostgreSQL refuses to run as root. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
}

async function judgePostgresql(lab: Lab): Promise<Findings> {
  const bin = await requirePostgresql();
  const user = await findUser();
  const wild = await createWildDomain();
  try {
    const directory = join(wild.directory, "postgresql");
    mkdirSync(directory);
    const cluster = { bin, directory, port: await freePort(), user };
    const running = await startCluster(lab, wild, cluster);
    try {
      await waitUntilReady(bin, { host: directory, port: cluster.port });
      return await judgeLogins(lab, wild, { cluster, running });
    } finally {
      await running.stop();
    }
  } finally {
    await wild.close();
  }
}

async function judgeLogins(
  lab: Lab,
  wild: WildDomain,
  { cluster, running }: { readonly cluster: Cluster; readonly running: RunningProgram },
): Promise<Findings> {
  await psql(cluster, readBlock(lab, { guide: GUIDE, name: "roles.sql" }, {}));
  const port = `port=${cluster.port}`;
  const name = { guide: GUIDE, name: "client.sh" };
  const client = readBlock(lab, name, { ...wild.paths.serverCa, "port=5432": port });
  const refresh = () => running.reload();
  const verdicts = await letCallersTry(wild, {
    name: "psql",
    client,
    success: /^payments_ro$/m,
    refresh,
  });
  const asAnother = await letCallersTry(wild, {
    name: "psql as a role of nobody's",
    client: client.replaceAll("payments_ro", "payments_rw"),
    success: /^payments_rw$/m,
    expected: { live: "refuse" },
    refresh,
    isRevoked: true,
  });
  const version = await requireOutput(join(cluster.bin, "postgres"), ["--version"], {
    timeoutMs: TIMEOUT_MS,
  });
  return countVerdicts([...verdicts, ...asAnother], version.trim());
}

async function startCluster(lab: Lab, wild: WildDomain, cluster: Cluster): Promise<RunningProgram> {
  const { bin, directory, port, user } = cluster;
  const file = (name: string) => join(directory, name);
  const own = (path: string) => {
    if (user !== undefined) chownSync(path, user.uid, user.gid);
  };
  own(directory);
  // The database reads its key only where it is its own and nobody else's.
  for (const name of ["server.pem", "server.key"]) {
    writeFileSync(file(name), readFileSync(join(wild.directory, name)), { mode: 0o600 });
    own(file(name));
  }
  await runAs(cluster, join(bin, "initdb"), ["-D", file("data"), "-A", "trust", "-U", "admin", "--no-sync"]);
  const { roots, lists } = wild.paths;
  const settings = readBlock(
    lab,
    { guide: GUIDE, name: "postgresql.conf" },
    { ...roots, ...lists, "/etc/ssl/tools/server.": file("server.") },
  );
  const access = readBlock(lab, { guide: GUIDE, name: "pg_hba.conf" }, {});
  const files = {
    "postgresql.conf": `${settings}listen_addresses = 'localhost'\nport = ${port}\nunix_socket_directories = '${directory}'\nfsync = off\n`,
    // The recipe says nothing of its own administrator, who sets the roles up.
    "pg_hba.conf": `local all admin trust\n${access}`,
    "pg_ident.conf": readBlock(lab, { guide: GUIDE, name: "pg_ident.conf" }, {}),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, "data", name), text);
  return startProgram(join(bin, "postgres"), ["-D", file("data")], { port, ...(user && { user }) });
}

async function psql({ bin, directory, port }: Cluster, sql: string): Promise<void> {
  const where = ["-h", directory, "-p", String(port), "-U", "admin", "-d", "postgres"];
  await requireOutput(join(bin, "psql"), [...where, "--no-psqlrc", "-v", "ON_ERROR_STOP=1"], {
    timeoutMs: TIMEOUT_MS,
    input: sql,
  });
}

async function runAs({ user }: Cluster, program: string, args: readonly string[]): Promise<void> {
  const drop = ["--clear-groups", "--reuid", String(user?.uid), "--regid", String(user?.gid)];
  const [first, rest] = user === undefined ? [program, args] : ["setpriv", [...drop, program, ...args]];
  await requireOutput(first, rest, { timeoutMs: TIMEOUT_MS, cwd: "/" });
}
