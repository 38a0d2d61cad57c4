/**
 * The checks of `warden doctor` on how a server is deployed: its settings, its private files, its listeners, the mark
 * outside the data directory, the witnesses, and what it depends on. Each looks and changes nothing.
 */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { parseHighWaterMark } from "@trustwarden/core/agentledger/log-state.ts";
import { type StatusAnswer, statusAnswer } from "@trustwarden/core/api/ledger.ts";
import type { ServerConfig } from "@trustwarden/server/config.ts";
import type { Session } from "./command.ts";
import { attempt, bad, type Check, good, unknown } from "./doctor-check.ts";
import { type DatabasePlace, reachDatabase, reachStore, shakeHands } from "./doctor-reach.ts";
import { checkServers } from "./doctor-servers.ts";
import { checkWitnesses } from "./doctor-witnesses.ts";
import { isLoopback } from "./listen.ts";
import { loadServerConfig } from "./server-config.ts";
import { CLI_VERSION } from "./version.ts";

const OTHERS = 0o077;
/** An SVID lives an hour and is renewed at its half. */
const MIN_CERTIFICATE_MS = 10 * 60_000;
/** A lease, an agent and an upstream each take one; below this a hundred agents are too many. */
const MIN_DESCRIPTORS = 4096;
/** Settings that name a file with a secret. */
const SECRET_FILES: readonly string[] = [
  "passwordFile",
  "keyFile",
  "pinFile",
  "secretFile",
  "credentialsFile",
];

/** All of them; those that need the server are unknown without it. */
export async function checkDeployment(session: Session, file: string | undefined): Promise<readonly Check[]> {
  const loaded = await loadSettings(session, file);
  if ("check" in loaded) return [loaded.check];
  const { config } = loaded;
  const asked = attemptWithStatus(session);
  // Before the server is asked: a mark that rises meanwhile is no older state.
  const mark = readMark(config);
  return [
    checkExposure(config),
    ...checkSecretFiles(config),
    ...checkKeyFiles(session.paths.configDir),
    checkDescriptors(),
    await asked("version", async ({ version }) => checkVersion(version)),
    await asked("main listener", (status) => checkListener(session, "main listener", status.server_url)),
    await asked("stop listener", (status) => checkListener(session, "stop listener", status.stop_url)),
    await asked("high-water mark", async (status) => checkMark(mark, status)),
    await asked("witnesses", (status) =>
      checkWitnesses(session, { config, status, nowMs: session.io.nowMs() }),
    ),
    ...(await checkLedgerPlaces(config)),
    ...(await checkStatePlace(config)),
    ...(await checkServers(config, () => session.io.nowMs())),
  ];
}

function attemptWithStatus({ client }: Session) {
  return (name: string, check: (status: StatusAnswer) => Promise<Check>): Promise<Check> =>
    attempt(name, async () => check(await client.get("/v1/status", statusAnswer)));
}

/** The settings as the server would read them; what it would refuse is the finding. */
async function loadSettings(
  session: Session,
  file: string | undefined,
): Promise<{ readonly config: ServerConfig } | { readonly check: Check }> {
  let config: ServerConfig | undefined;
  const check = await attempt("settings", async () => {
    config = await loadServerConfig(session, file);
    return good("settings", "the settings can be used");
  });
  return config === undefined ? { check } : { config };
}

/** Which listeners are open to others; the server refuses those that nothing protects, so this is to be known only. */
function checkExposure(config: ServerConfig): Check {
  const { host, gateway, metrics, federation, policy, allowExternal } = config;
  const listeners = {
    main: host,
    gateway: gateway?.host,
    metrics: metrics?.host,
    web: federation.web?.host,
    policy: policy.listener?.host,
    envoy: policy.envoy?.host,
    console: config.console?.host,
  };
  const open = Object.entries(listeners).filter(([, at]) => at !== undefined && !isLoopback(at));
  if (open.length > 0)
    return good("exposure", `open beyond this machine, over TLS: ${open.map(([name]) => name).join(", ")}`);
  return allowExternal
    ? bad(
        "exposure",
        "every listener is on this machine, and yet `allowExternal` is set",
        "Remove the setting.",
      )
    : good("exposure", "every listener is on this machine");
}

function checkSecretFiles(config: ServerConfig): readonly Check[] {
  return secretFilesOf(config).map(({ setting, path }) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined)
      return bad(setting, `${path} does not exist`, "Put the file there, with mode 0600.");
    const inside = relative(config.dataDir, path);
    if (!inside.startsWith("..") && !isAbsolute(inside))
      return bad(
        setting,
        `${path} is inside the data directory`,
        "Move it out: a backup would hold the secret.",
      );
    return (found.mode & OTHERS) === 0
      ? good(setting, `${path} is private`)
      : bad(setting, `${path} can be read by others`, `chmod go-rwx ${path}`);
  });
}

/** Every file with a secret that a setting names, at any depth. */
function secretFilesOf(
  value: unknown,
  at = "",
): readonly { readonly setting: string; readonly path: string }[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]: [string, unknown]) => {
    const setting = at === "" ? name : `${at}.${name}`;
    if (SECRET_FILES.includes(name) && typeof inner === "string") return [{ setting, path: inner }];
    return secretFilesOf(inner, setting);
  });
}

/** The unseal key and its like: everything beside the settings, which hold no secret. */
function checkKeyFiles(configDir: string): readonly Check[] {
  if (lstatSync(configDir, { throwIfNoEntry: false }) === undefined) return [];
  const shared = readdirSync(configDir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".json"))
    .map(({ name }) => join(configDir, name))
    .filter((path) => ((lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS) !== 0);
  if (shared.length === 0) return [good("key files", `what is in ${configDir} is private`)];
  return shared.map((path) => bad("key files", `${path} can be read by others`, `chmod go-rwx ${path}`));
}

/** The limit of this process; a server that was started in the same way has the same. */
function checkDescriptors(): Check {
  const name = "descriptors";
  const limits = readIfAny("/proc/self/limits");
  const most = Number(/^Max open files +\d+ +(\d+)/m.exec(limits ?? "")?.[1] ?? Number.NaN);
  if (Number.isNaN(most)) return unknown(name, "this system does not say how many files may be open", "");
  return most >= MIN_DESCRIPTORS
    ? good(name, `${most} files may be open`)
    : bad(name, `only ${most} files may be open`, "Raise LimitNOFILE of the unit, or `ulimit -Hn`.");
}

function checkVersion(version: string): Check {
  return version === CLI_VERSION
    ? good("version", `server and command are ${version}`)
    : bad(
        "version",
        `the server is ${version}, this command is ${CLI_VERSION}`,
        "Restart the server, or use its own command.",
      );
}

/** TLS 1.3, and a chain that leads to the roots that the operator's socket tells. */
async function checkListener({ client, io }: Session, name: string, url: string): Promise<Check> {
  const ca = await client.getText("/v1/bundle.pem");
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const seen = await shakeHands({ host, port: Number(port), ca });
  if (typeof seen === "string")
    return bad(
      name,
      `${url} does not answer as it should: ${seen}`,
      "Look at what else listens there, and at the firewall.",
    );
  const leftMs = seen.endsAtMs - io.nowMs();
  return leftMs >= MIN_CERTIFICATE_MS
    ? good(
        name,
        `${url} answers with ${seen.protocol}; its certificate holds for ${Math.floor(leftMs / 60_000)} min`,
      )
    : bad(
        name,
        `the certificate at ${url} was not renewed`,
        "Look into the server's log for `authority_expired` or `signer_unavailable`.",
      );
}

/** Where the mark is, and its text if it is there. */
interface FoundMark {
  readonly path: string;
  readonly text: string | undefined;
}

function readMark({ configDir, trustDomain }: ServerConfig): FoundMark {
  const path = join(configDir, `${trustDomain}.high-water`);
  return { path, text: readIfAny(path) };
}

/** The mark, held against the server: one above it means that the data directory is older than what was seen. */
export function checkMark(
  { path, text }: FoundMark,
  { ledger, epoch }: { readonly ledger: Pick<StatusAnswer["ledger"], "size">; readonly epoch: number },
): Check {
  const name = "high-water mark";
  if (text === undefined)
    return bad(
      name,
      `${path} is missing`,
      "Restore it, or ask a witness, before a rolled-back disk goes unnoticed.",
    );
  const mark = parseHighWaterMark(Buffer.from(text));
  return mark.size <= ledger.size && mark.epoch <= epoch
    ? good(
        name,
        `${mark.size} entries and epoch ${mark.epoch} were seen; the server has ${ledger.size} and ${epoch}`,
      )
    : bad(
        name,
        `${mark.size} entries and epoch ${mark.epoch} were seen, the server has fewer`,
        "Stop it: its data directory is an old copy.",
      );
}

/** Whether the database and the object store of a ledger outside of this machine can be reached from here. */
async function checkLedgerPlaces({ ledger }: ServerConfig): Promise<readonly Check[]> {
  if (ledger.storage === "posix") return [];
  const { endpoint } = ledger.objects;
  const without = "Without it nothing is recorded, and what is not recorded is denied.";
  return [
    judgeReached("ledger database", {
      where: ledger.postgres.host,
      failure: await reachDatabase(placeOf(ledger.postgres)),
      without,
    }),
    judgeReached("object store", { where: endpoint, failure: await reachStore(endpoint), without }),
  ];
}

/** Whether the database of a state that is not on this machine's disk can be reached from here. */
export async function checkStatePlace({ state }: Pick<ServerConfig, "state">): Promise<readonly Check[]> {
  if (state.storage === "sqlite") return [];
  return [
    judgeReached("state database", {
      where: state.postgres.host,
      failure: await reachDatabase(placeOf(state.postgres)),
      without:
        "Without it nothing is issued and no server starts; stops and checks go on in one that works. Start the database, or mend the network.",
    }),
  ];
}

function placeOf({ host, port }: { readonly host: string; readonly port: number }): DatabasePlace {
  return host.startsWith("/") ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port };
}

function judgeReached(
  name: string,
  {
    where,
    failure,
    without,
  }: { readonly where: string; readonly failure: string | null; readonly without: string },
): Check {
  return failure === null
    ? good(name, `${where} can be reached`)
    : bad(name, `${where} cannot be reached: ${failure}`, without);
}

function readIfAny(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : readFileSync(path, "utf8");
}
