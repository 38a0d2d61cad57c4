/**
 * The checks of `warden doctor`. Each looks at one thing and never changes anything.
 */
import { existsSync, lstatSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { nonceAnswer } from "@trustwarden/core/api/identity.ts";
import { statusAnswer } from "@trustwarden/core/api/ledger.ts";
import type { Session } from "./command.ts";
import { attempt, bad, type Check, good, judgeClock, unknown } from "./doctor-check.ts";
import { checkDeployment } from "./doctor-deployment.ts";
import { explainFailure } from "./failure.ts";
import { requireOutsideData } from "./paths.ts";
import { createTemporaryExport } from "./temporary-export.ts";
import { auditDirectory, type DirectoryReport } from "./verify-directory.ts";
import { CLI_VERSION } from "./version.ts";
import { readWitnessPolicy } from "./witness-policy.ts";

/** Below this an embedded deployment will soon be unable to record, and then denies. */
const MIN_FREE_BYTES = 256 * 1024 * 1024;
/** Lifetime of a nonce, from the API. */
const NONCE_SECONDS = 60;
const OTHERS = 0o077;
/** Ends the name of the state's seal, behind the trust domain. */
const SEAL = ".state-seal";

/** All checks, those on files first, since they need no server. @param file - the settings that `warden up --config` is given. */
export async function runChecks(session: Session, file?: string): Promise<readonly Check[]> {
  return [
    checkVersions(),
    checkSeparation(session),
    checkPrivate("data directory", session.paths.dataDir),
    checkPrivate("configuration directory", session.paths.configDir),
    ...checkOwnerKeys(session.paths.ownersDir),
    checkDisk(session.paths.dataDir),
    await attempt("state", () => checkState(session)),
    await attempt("socket", () => checkServer(session)),
    await attempt("clock", () => checkClock(session)),
    await attempt("ledger", () => checkLedger(session)),
    ...(await checkDeployment(session, file)),
  ];
}

function checkVersions(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isSupported = major >= 26 || (major === 24 && minor >= 15);
  const found = `warden ${CLI_VERSION}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
  return isSupported
    ? good("versions", found)
    : bad("versions", found, "Use Node 24.15 or newer, or 26; `./dev` brings it along.");
}

function checkSeparation({ paths }: Session): Check {
  try {
    requireOutsideData(paths);
    return good("separation", "the keys are kept outside the data directory");
  } catch (error) {
    const { why, next } = explainFailure(error, "");
    return bad("separation", why, next);
  }
}

function checkPrivate(name: string, path: string): Check {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return unknown(name, `${path} does not exist yet`, "`warden up` makes it.");
  const mode = (found.mode & 0o777).toString(8);
  return (found.mode & OTHERS) === 0
    ? good(name, `${path} (${mode})`)
    : bad(name, `${path} has mode ${mode}; others can reach in`, `chmod go-rwx ${path}`);
}

function checkOwnerKeys(ownersDir: string): readonly Check[] {
  if (lstatSync(ownersDir, { throwIfNoEntry: false }) === undefined) return [];
  return readdirSync(ownersDir)
    .filter((name) => name.endsWith(".pem"))
    .map((name) => checkPrivate(`owner key ${name.slice(0, -".pem".length)}`, join(ownersDir, name)));
}

function checkDisk(dataDir: string): Check {
  if (lstatSync(dataDir, { throwIfNoEntry: false }) === undefined)
    return unknown("disk", `${dataDir} does not exist yet`, "");
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  const found = `${Math.floor(free / 1024 / 1024)} MiB free for ${dataDir}`;
  return free >= MIN_FREE_BYTES
    ? good("disk", found)
    : bad("disk", found, "Make room: a full disk stops recording, and what cannot be recorded is denied.");
}

/** While no server runs, the state is what the last one closed. */
async function checkState({ paths }: Session): Promise<Check> {
  const seals = existsSync(paths.configDir)
    ? readdirSync(paths.configDir).filter((name) => name.endsWith(SEAL))
    : [];
  const [only] = seals;
  if (only === undefined)
    return good("state", "in use, or left open by a crash: it is sealed when a server ends in order");
  if (seals.length > 1) return unknown("state", "several trust domains have a seal here", "");
  const { verifyStateSeal } = await import("@trustwarden/server/store/state-seal.ts");
  const found = await verifyStateSeal({ ...paths, trustDomain: only.slice(0, -SEAL.length) });
  // A server may have begun meanwhile.
  if (found === "open") return unknown("state", "it was opened while it was looked at", "");
  return good("state", "state.db is, byte for byte, what the last server closed");
}

async function checkServer({ client }: Session): Promise<Check> {
  const status = await client.get("/v1/status", statusAnswer);
  const { trust_domain, live_instances, verifiers, epoch, uptime_seconds, version, ledger } = status;
  const isBehind = ledger.indexed_size !== null && ledger.indexed_size < ledger.size;
  const index = isBehind ? `, search index at ${ledger.indexed_size} of ${ledger.size} entries` : "";
  return good(
    "socket",
    `${trust_domain} answers: version ${version}, up ${uptime_seconds} s, ${live_instances} live instance(s), ` +
      `${verifiers} lease(s), epoch ${epoch}${index}`,
  );
}

/** The time that a new nonce carries, against ours. */
async function checkClock({ client, io }: Session): Promise<Check> {
  const before = io.nowMs();
  const { expires_at } = await client.get("/v1/nonce", nonceAnswer);
  return judgeClock("clock", {
    whose: "the server's",
    apartMs: (expires_at - NONCE_SECONDS) * 1000 - before,
    next: "Set the clock (NTP); what expires is decided by it.",
  });
}

async function checkLedger({ client, paths }: Session): Promise<Check> {
  const temporary = await createTemporaryExport(client);
  try {
    const { directory } = temporary;
    const policy = readWitnessPolicy(paths);
    const report = await auditDirectory({ directory, vkey: undefined, olderCheckpoint: undefined, policy });
    const damage = report.findings.filter((finding) => finding.severity === "damage");
    const alarms = report.findings.length - damage.length;
    return damage.length === 0
      ? good("ledger", `${report.checkpoint.size} entries verify, ${alarms} alarm(s); ${witnessedOf(report)}`)
      : bad(
          "ledger",
          `${damage.length} damaged place(s), first at ${damage[0]?.place ?? ""}`,
          "Run `warden ledger verify`.",
        );
  } finally {
    temporary.remove();
  }
}

function witnessedOf({ witnessedSize }: DirectoryReport): string {
  return witnessedSize === null ? "unwitnessed" : `the first ${witnessedSize} are witnessed`;
}
