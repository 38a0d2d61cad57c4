/** MariaDB: the recipe of `docs/guides/x509-mariadb.md`: a certificate's Subject logs in to an account. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab } from "../judge.ts";
import { requireProgram } from "../tools.ts";
import { letCallersTry } from "./callers.ts";
import { readBlock } from "./guide.ts";
import { type RunningProgram, startProgram } from "./program.ts";
import { createWildDomain, type WildDomain } from "./wild-domain.ts";

const GUIDE = "x509-mariadb.md";
const REMEDY = "install Debian's mariadb-server";
const TIMEOUT_MS = 60_000;

export const mariadbJudge: Judge = { name: "mariadb", run: judgeMariadb };

/** A server of its own for this run. */
interface Instance {
  readonly directory: string;
  readonly socket: string;
  readonly port: number;
}

async function judgeMariadb(lab: Lab): Promise<Findings> {
  const version = await requireProgram("mariadbd", ["--version"], REMEDY);
  await requireProgram("mariadb", ["--version"], REMEDY);
  const wild = await createWildDomain();
  try {
    const directory = join(wild.directory, "mariadb");
    const instance = { directory, socket: join(directory, "sock"), port: await freePort() };
    const running = await startInstance(lab, wild, instance);
    try {
      return { ...(await judgeLogins(lab, wild, instance)), note: version.split("  ").at(-1)?.trim() ?? "" };
    } finally {
      await running.stop();
    }
  } finally {
    await wild.close();
  }
}

async function judgeLogins(lab: Lab, wild: WildDomain, instance: Instance): Promise<Findings> {
  // A fresh directory has nameless accounts, which would stand before those of the recipe.
  await runSql(instance, "DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES;");
  await runSql(instance, readBlock(lab, { guide: GUIDE, name: "account.sql" }, {}));
  const name = { guide: GUIDE, name: "client.sh" };
  const port = `--port=${instance.port}`;
  const client = readBlock(lab, name, { ...wild.paths.serverCa, "--port=3306": port });
  const refresh = () => runSql(instance, "FLUSH SSL");
  const success = /^payments_ro@%$/m;
  const verdicts = await letCallersTry(wild, { name: "mariadb", client, success, refresh });
  const asAnother = await letCallersTry(wild, {
    name: "mariadb as another's account",
    client: client.replaceAll("payments_ro", "payments_rw"),
    success: /^payments_rw@%$/m,
    expected: { live: "refuse" },
    refresh,
    isRevoked: true,
  });
  return countVerdicts([...verdicts, ...asAnother], "");
}

async function startInstance(lab: Lab, wild: WildDomain, instance: Instance): Promise<RunningProgram> {
  const { directory, socket, port } = instance;
  const file = (name: string) => join(directory, name);
  mkdirSync(directory);
  const account = await findAccount();
  const own = (path: string) => {
    if (account !== undefined) chownSync(path, account.uid, account.gid);
  };
  own(directory);
  for (const name of ["server.pem", "server.key"]) {
    writeFileSync(file(name), readFileSync(join(wild.directory, name)), { mode: 0o600 });
    own(file(name));
  }
  const { roots, lists } = wild.paths;
  const paths = { ...roots, ...lists, "/etc/ssl/tools/server.": file("server.") };
  const settings = readBlock(lab, { guide: GUIDE, name: "agents.cnf" }, paths);
  const place = `datadir = ${file("data")}\nsocket = ${socket}\nport = ${port}\nbind-address = 127.0.0.1\n`;
  writeFileSync(file("my.cnf"), `${settings}${place}innodb_flush_log_at_trx_commit = 0\n`, { mode: 0o644 });
  const as = account === undefined ? [] : ["--user=mysql"];
  await requireOutput(
    "mariadb-install-db",
    [
      `--defaults-file=${file("my.cnf")}`,
      ...as,
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
    ],
    { timeoutMs: TIMEOUT_MS },
  );
  return startProgram("mariadbd", [`--defaults-file=${file("my.cnf")}`, ...as], { port });
}

/** MariaDB refuses to run as root. */
async function findAccount(): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (what: string) => Number(await requireProgram("id", [what, "mysql"], REMEDY));
  return { uid: await id("-u"), gid: await id("-g") };
}

async function runSql({ socket }: Instance, sql: string): Promise<void> {
  await requireOutput("mariadb", ["--no-defaults", `--socket=${socket}`, "--user=root"], {
    timeoutMs: TIMEOUT_MS,
    input: sql,
  });
}
