/** A PostgreSQL cluster and an S3-compatible object store of our own, on this machine, for as long as a run takes. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { RemoteLab } from "../../server/store/log-place.test.support.ts";
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput, runCommand } from "../command.ts";
import { JudgeUnavailable } from "../judge.ts";
import { requireGoProgram, requireProgram } from "../tools.ts";
import { type RunningProgram, startProgram } from "../wild/program.ts";

const DEBIAN = "/usr/lib/postgresql";
const REMEDY = "install Debian's postgresql";
const TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;
const MAX_READY_TRIES = 1000;
/** Over the network with TLS and a password only. */
const ACCESS = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
const CERTIFICATE = ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"].concat(
  ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
);
const REGION = "us-east-1";
const BUCKET = "ledgers";
const LOGIN = "warden";
const ADMIN = "admin";

/** Both programs running, with the schema and the bucket made. */
export interface StorageLab {
  readonly lab: RemoteLab;
  /** What the two call themselves. */
  readonly versions: string;
  close(): Promise<void>;
}

/** @param options.root - the checkout. @throws JudgeUnavailable */
export async function openStorageLab(options: {
  readonly root: string;
  readonly cache: string;
}): Promise<StorageLab> {
  const bin = await requirePostgresql();
  const gateway = await requireGoProgram(options, {
    folder: join(options.root, "interop", "s3"),
    name: "versitygw",
    source: "github.com/versity/versitygw/cmd/versitygw",
  });
  const directory = mkdtempSync(join(tmpdir(), "ledger-storage-"));
  // The database's account has to reach its own folder.
  chmodSync(directory, 0o755);
  const running: RunningProgram[] = [];
  const close = async () => {
    for (const program of running.toReversed()) await program.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const host = join(directory, "postgres");
    const port = await freePort();
    running.push(await startPostgres({ bin, directory: host, port, user: await findUser() }));
    await waitUntilReady(bin, { host, port });
    const psql = ["-h", host, "-p", String(port), "-U", ADMIN, "-d", "postgres", "--no-psqlrc", "-q"];
    const schema = join(options.root, "server", "store", "postgres-log.sql");
    const applied = [...psql, "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", schema];
    const password = randomBytes(16).toString("hex");
    const login = `create role ${LOGIN} login password '${password}' in role trustwarden_ledger_writer`;
    await requireOutput(join(bin, "psql"), [...applied, "-c", login], { timeoutMs: TIMEOUT_MS });
    const store = await startObjectStore(gateway, join(directory, "store"));
    running.push(store.program);
    const version = await requireOutput(join(bin, "postgres"), ["--version"], { timeoutMs: TIMEOUT_MS });
    const caFile = join(host, "server.pem");
    const postgres = { host, port, database: "postgres", user: LOGIN, admin: ADMIN, password, caFile };
    return { lab: { postgres, objects: store.objects }, versions: `${version.trim()}, versitygw`, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

async function startPostgres(cluster: {
  readonly bin: string;
  readonly directory: string;
  readonly port: number;
  readonly user: Account | undefined;
}): Promise<RunningProgram> {
  const { bin, directory, port, user } = cluster;
  const data = join(directory, "data");
  mkdirSync(directory);
  if (user !== undefined) chownSync(directory, user.uid, user.gid);
  const initdb = [join(bin, "initdb"), "-D", data, "-A", "trust", "-U", ADMIN, "--no-sync"];
  const drop = ["--clear-groups", "--reuid", String(user?.uid), "--regid", String(user?.gid)];
  const [program = "", ...args] = user === undefined ? initdb : ["setpriv", ...drop, ...initdb];
  await requireOutput(program, args, { timeoutMs: TIMEOUT_MS, cwd: "/" });
  const { cert, key } = await certify(directory);
  // The database reads its key only where it is its own and nobody else's.
  chmodSync(key, 0o600);
  if (user !== undefined) chownSync(key, user.uid, user.gid);
  writeFileSync(join(data, "pg_hba.conf"), ACCESS);
  const settings = ["ssl=on", `ssl_cert_file=${cert}`, `ssl_key_file=${key}`, "listen_addresses=127.0.0.1"];
  return startProgram(
    join(bin, "postgres"),
    ["-D", data, "-p", String(port), "-k", directory, ...settings.flatMap((setting) => ["-c", setting])],
    { port: join(directory, `.s.PGSQL.${port}`), ...(user && { user }) },
  );
}

async function certify(directory: string) {
  const [cert, key] = [join(directory, "server.pem"), join(directory, "server.key")];
  await requireOutput("openssl", [...CERTIFICATE, "-out", cert, "-keyout", key], { timeoutMs: TIMEOUT_MS });
  return { cert, key };
}

async function startObjectStore(gateway: string, directory: string) {
  const objects = join(directory, "objects");
  mkdirSync(join(objects, BUCKET), { recursive: true });
  const { cert, key } = await certify(directory);
  const port = await freePort();
  const accessKeyId = `AKIA${randomBytes(8).toString("hex").toUpperCase()}`;
  const secretAccessKey = randomBytes(20).toString("hex");
  const tls = ["--cert", cert, "--key", key];
  const program = await startProgram(
    gateway,
    [...["--port", `127.0.0.1:${port}`], ...tls, "--region", REGION, "--quiet", "posix", objects],
    { port, env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey } },
  );
  const place = { endpoint: `https://127.0.0.1:${port}`, region: REGION, bucket: BUCKET, caFile: cert };
  return { program, objects: { ...place, accessKeyId, secretAccessKey } };
}

/** Folder of the programs. @throws JudgeUnavailable */
export async function requirePostgresql(): Promise<string> {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const bin = versions
    .map((version) => join(DEBIAN, version, "bin"))
    .find((folder) => existsSync(join(folder, "initdb")));
  if (bin === undefined) throw new JudgeUnavailable(`initdb is missing: ${REMEDY}`);
  await requireProgram("psql", ["--version"], REMEDY);
  return bin;
}

/** A database accepts connections before it takes any: waits until it does. */
export async function waitUntilReady(
  bin: string,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  const args = ["-h", host, "-p", String(port), "-q"];
  for (let tries = 0; tries < MAX_READY_TRIES; tries += 1) {
    const { code } = await runCommand(join(bin, "pg_isready"), args, { timeoutMs: TIMEOUT_MS });
    if (code === 0) return;
    await setTimeout(READY_POLL_MS);
  }
  throw new Error("PostgreSQL does not become ready");
}

/** The account `postgres` where this is root, as whom PostgreSQL refuses to run; else this account itself. */
export async function findUser(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (what: string) => Number(await requireProgram("id", [what, "postgres"], REMEDY));
  return { uid: await id("-u"), gid: await id("-g") };
}
