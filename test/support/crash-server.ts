/** A server in a process of its own, on the directories of a test, that dies when and where it is told to. */
import { spawn } from "node:child_process";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { CrashPoint, Weakening } from "./crash-points.ts";
import type { RawAnswer } from "./http.ts";
import { createHome, type TestHome, type TestServer, TRUST_DOMAIN } from "./server.ts";

const MAIN = fileURLToPath(new URL("../../server/main.ts", import.meta.url));
const HOOK = new URL("./crash-hook.ts", import.meta.url);
/** A campaign enrols far more than one owner normally does. */
const QUOTAS = {
  agentsPerOwner: 1_000_000,
  liveInstancesPerOwner: 1_000_000,
  issuesPerOwnerPerHour: 1_000_000,
  easyAgentsPerOwnerPerMinute: 1_000_000,
};

/** Where and on which occasion the process kills itself. */
export interface PlannedCrash {
  readonly point: CrashPoint;
  /** The occasion, from 1. */
  readonly hit: number;
}

/** A started process, whether it gets as far as listening or not. */
export interface Starting {
  /** Undefined when the process died before it was ready. */
  readonly ready: Promise<TestServer | undefined>;
  /** Resolves when the process is gone, with the signal that ended it. */
  readonly gone: Promise<string | null>;
  /** What it wrote to standard error. */
  errors(): string;
  kill(): void;
}

/** Makes the configuration directory with its settings. */
export function configureHome({ configDir }: TestHome, settings: object = {}): void {
  mkdirSync(configDir, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ quotas: QUOTAS, intake: { delayMs: 3_600_000 }, ...settings });
  writeFileSync(join(configDir, "server.json"), text, { mode: 0o600 });
}

/** From now on the process of this home dies at a point. */
export function planCrash(home: TestHome, { point, hit }: PlannedCrash): void {
  const file = planFileOf(home);
  writeFileSync(`${file}.new`, JSON.stringify({ point: point.name, hit }));
  renameSync(`${file}.new`, file);
}

/** From now on no process of this home has to die. */
export function cancelCrash(home: TestHome): void {
  rmSync(planFileOf(home), { force: true });
}

/** What a process is, when it is not this checkout's server, or not on this machine's network. */
export interface Program {
  /** Of another checkout. */
  readonly root?: string;
  /** What its command line begins with. */
  readonly within?: readonly string[];
}

/** Starts `server/main.ts`; it runs until it is killed or a plan says so. */
export function startProcess(home: TestHome, weakening?: Weakening, program: Program = {}): Starting {
  const { root, within = [] } = program;
  const own =
    root === undefined ? ["--import", formatHook(home, weakening), MAIN] : [join(root, "server/main.ts")];
  const [command = process.execPath, ...args] = [...within, process.execPath, ...own];
  const child = spawn(command, args, {
    // A group of its own: whoever brings it in is killed with it.
    detached: within.length > 0,
    env: {
      TRUSTWARDEN_DATA_DIR: home.dataDir,
      TRUSTWARDEN_CONFIG_DIR: home.configDir,
      TRUSTWARDEN_TRUST_DOMAIN: TRUST_DOMAIN,
      TRUSTWARDEN_PORT: "0",
      TRUSTWARDEN_STOP_PORT: "0",
      TRUSTWARDEN_LOG_LEVEL: "error",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const errors: string[] = [];
  child.stderr.on("data", (chunk) => errors.push(String(chunk)));
  const gone = Promise.withResolvers<string | null>();
  child.once("close", (code, signal) => {
    // Whoever wonders why it did not start has this at least.
    if (errors.length === 0 && signal !== "SIGKILL")
      errors.push(`it said nothing; exit code ${code}, signal ${signal}`);
    gone.resolve(signal);
  });
  child.once("error", (error) => errors.push(error.message));
  const kill = () => {
    if (within.length > 0 && child.pid !== undefined && child.exitCode === null)
      process.kill(-child.pid, "SIGKILL");
    else child.kill("SIGKILL");
  };
  const close = async () => {
    kill();
    await gone.promise;
  };
  const ready = Promise.withResolvers<TestServer | undefined>();
  createInterface(child.stdout).once("line", (line) => {
    ready.resolve({ ...addressesOf(line), failed: gone.promise, close, home });
  });
  void gone.promise.then(() => ready.resolve(undefined));
  return { ready: ready.promise, gone: gone.promise, errors: () => errors.join(""), kill };
}

/** A server of a test's own that dies where it is told to, and starts again on the same directories. */
export class CrashingServer {
  readonly #home = createHome();
  readonly #settings: object;
  #running: { readonly process: Starting; readonly server: TestServer } | undefined;

  /** @param settings - of `server.json`. */
  constructor(settings: object = {}) {
    this.#settings = settings;
  }

  /** The one that listens now. */
  get server(): TestServer {
    if (this.#running === undefined) throw new Error("the server is not started");
    return this.#running.server;
  }

  async start(): Promise<void> {
    if (this.#running === undefined) configureHome(this.#home, this.#settings);
    const started = startProcess(this.#home);
    const server = await started.ready;
    if (server === undefined) throw new Error(started.errors());
    this.#running = { process: started, server };
  }

  /**
   * Plans a crash, asks for what it is in the middle of, and starts again.
   *
   * @throws Error when the process did not die of it, or answered.
   */
  async crash(planned: PlannedCrash, ask: () => Promise<RawAnswer>): Promise<void> {
    const gone = this.#running?.process.gone;
    planCrash(this.#home, planned);
    const asked = ask().then(
      ({ status }) => status,
      () => "cut off",
    );
    const seen = { signal: await gone, answer: await asked };
    if (seen.signal !== "SIGKILL" || seen.answer !== "cut off")
      throw new Error(`${planned.point.name}: ${JSON.stringify(seen)}`);
    cancelCrash(this.#home);
    await this.start();
  }

  async end(): Promise<void> {
    await this.#running?.server.close();
    this.#home.remove();
  }
}

function formatHook(home: TestHome, weakening: Weakening | undefined): string {
  const hook = new URL(HOOK);
  hook.searchParams.set("plan", planFileOf(home));
  if (weakening !== undefined) hook.searchParams.set("weakening", weakening.name);
  return hook.href;
}

function planFileOf({ configDir }: TestHome): string {
  return join(configDir, "crash-plan.json");
}

function addressesOf(
  line: string,
): Pick<
  TestServer,
  | "url"
  | "stopUrl"
  | "adminSocket"
  | "webUrl"
  | "policyUrl"
  | "envoyPort"
  | "consoleUrl"
  | "gatewayUrl"
  | "metricsUrl"
> {
  const { url, stop_url, admin_socket } = parseJsonObject(line);
  const none = {
    webUrl: null,
    policyUrl: null,
    envoyPort: null,
    consoleUrl: null,
    gatewayUrl: null,
    metricsUrl: null,
  };
  return { url: String(url), stopUrl: String(stop_url), adminSocket: String(admin_socket), ...none };
}
