/**
 * The world of some scenarios: one server process on fresh directories, its owner, and the finance API as a process of
 * its own when a scenario asks for it. Owns every process and directory in it.
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  createOwner,
  type EnrolOptions,
  enrolAgent,
  enrolVerifier,
  type grantOf,
  serverIdOf,
  spawn,
  type TestInstance,
  type TestOwner,
  verifierTicket,
} from "../../test/support/actors.ts";
import { jsonOf } from "../../test/support/http.ts";
import { createHome, type TestHome, type TestServer, TRUST_DOMAIN } from "../../test/support/server.ts";
import { type Finished, type ProgramOptions, type RunningChild, runProgram, startChild } from "./child.ts";
import { call } from "./client.ts";
import { type RegistryState, readState } from "./state.ts";

const WEAKEN = "attacks/weaken.ts";

/** What a server is started with. */
export interface WorldSettings {
  readonly env?: Readonly<Record<string, string>>;
  /** Modules that are loaded before the server, from the root of the repository. */
  readonly imports?: readonly string[];
  /** Makes the content of the server's configuration file, before its first start. */
  readonly configure?: () => Promise<object> | object;
}

/** How a child is to be made. */
export type ChildOptions = NonNullable<Parameters<typeof grantOf>[2]>;

/** A service that agents visit. */
export interface FinanceApi {
  readonly url: string;
  /** SPIFFE ID: the `aud` of intents for it. */
  readonly id: string;
  readonly child: RunningChild;
}

/** One server and everything around it. */
export class World {
  readonly home: TestHome;
  readonly weaken: readonly string[];
  readonly #settings: WorldSettings;
  readonly #children: RunningChild[] = [];
  readonly #adopted: ChildProcess[] = [];
  readonly #others: World[] = [];
  readonly #finished: string[] = [];
  #server: TestServer | undefined;
  #child: RunningChild | undefined;
  #owner: Promise<TestOwner> | undefined;
  #finance: Promise<FinanceApi> | undefined;
  #names = 0;
  #sources = 0;

  constructor(settings: WorldSettings, weaken: readonly string[], home: TestHome = createHome()) {
    this.#settings = settings;
    this.weaken = weaken;
    this.home = home;
  }

  /** A world whose server listens. */
  static async open(settings: WorldSettings, weaken: readonly string[]): Promise<World> {
    const world = new World(settings, weaken);
    try {
      await world.start();
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  /** The server, in the words of the test support. */
  get server(): TestServer {
    if (this.#server === undefined) throw new Error("the world has no server yet");
    return this.#server;
  }

  get child(): RunningChild {
    if (this.#child === undefined) throw new Error("the world has no server yet");
    return this.#child;
  }

  /** What a server that is started with `machine-clock.ts` adds to its wall clock. */
  get clockFile(): string {
    return join(this.home.dataDir, "..", "clock");
  }

  /** Starts the server, or starts it again on the same directories. */
  async start(extra: WorldSettings = {}): Promise<void> {
    const { env, imports, configure } = { ...this.#settings, ...extra };
    if (configure !== undefined) this.#writeConfig(await configure());
    else if (!existsSync(this.home.configDir)) this.#writeConfig({});
    const child = await this.launch({
      args: ["server/main.ts"],
      env: {
        TRUSTWARDEN_DATA_DIR: this.home.dataDir,
        TRUSTWARDEN_CONFIG_DIR: this.home.configDir,
        TRUSTWARDEN_TRUST_DOMAIN: TRUST_DOMAIN,
        TRUSTWARDEN_PORT: "0",
        TRUSTWARDEN_STOP_PORT: "0",
        TRUSTWARDEN_LOG_LEVEL: "warn",
        ATTACK_CLOCK_FILE: this.clockFile,
        ...env,
      },
      ...(imports === undefined ? {} : { imports }),
    });
    const { url, stop_url: stopUrl, admin_socket: adminSocket } = child.ready;
    this.#child = child;
    this.#server = {
      url: String(url),
      stopUrl: String(stopUrl),
      adminSocket: String(adminSocket),
      webUrl: null,
      policyUrl: null,
      envoyPort: child.ready.envoy_port == null ? null : Number(child.ready.envoy_port),
      metricsUrl: null,
      consoleUrl: child.ready.console_url == null ? null : String(child.ready.console_url),
      gatewayUrl: child.ready.gateway_url == null ? null : String(child.ready.gateway_url),
      failed: child.exited,
      close: () => child.stop(),
      home: this.home,
    };
  }

  /** Starts a program of this world, weak when the world is. */
  async launch(options: ProgramOptions): Promise<RunningChild> {
    const child = await startChild(this.#weakened(options));
    this.#children.push(child);
    return child;
  }

  /** Runs a program of this world to its end. */
  async run(options: ProgramOptions): Promise<Finished> {
    const finished = await runProgram(this.#weakened(options));
    this.#finished.push(finished.output);
    return finished;
  }

  /** Runs the `warden` command on this world's directories. */
  warden(...args: readonly string[]): Promise<Finished> {
    const { dataDir, configDir } = this.home;
    const places = ["--data", dataDir, "--config-dir", configDir];
    return this.run({ args: ["cli/main.ts", ...args, ...places], env: { HOME: join(dataDir, "..") } });
  }

  /** Ends with this world a process that a scenario started by itself, also when the scenario fails. */
  adopt<Adopted extends ChildProcess>(child: Adopted): Adopted {
    this.#adopted.push(child);
    return child;
  }

  /** How a program is started in this world. */
  #weakened(options: ProgramOptions): ProgramOptions {
    const { env = {}, imports = [] } = options;
    if (this.weaken.length === 0) return options;
    return { ...options, env: { ...env, TW_WEAKEN: this.weaken.join() }, imports: [WEAKEN, ...imports] };
  }

  /** Another world, as weak as this one and with further edits. */
  async another(settings: WorldSettings = {}, faults: readonly string[] = []): Promise<World> {
    const other = this.unopened(settings, faults);
    await other.start();
    return other;
  }

  /** Another world whose server has not been started. */
  unopened(settings: WorldSettings = {}, faults: readonly string[] = [], home?: TestHome): World {
    const other = new World(settings, [...this.weaken, ...faults], home);
    this.#others.push(other);
    return other;
  }

  /** The owner of this world's agents. */
  owner(): Promise<TestOwner> {
    this.#owner ??= createOwner(this.server, "alice");
    return this.#owner;
  }

  /** A name that no agent of this world has. */
  name(prefix: string): string {
    this.#names += 1;
    return `${prefix}-${this.#names}`;
  }

  /** A loopback address that nobody else uses. Other systems than Linux have only the one. */
  source(): string | undefined {
    this.#sources += 1;
    if (process.platform !== "linux") return undefined;
    return `127.0.${1 + (this.#sources >> 7)}.${1 + (this.#sources & 127)}`;
  }

  /** SPIFFE ID of the server. */
  serverId(): Promise<string> {
    return serverIdOf(this.server);
  }

  /** An agent by its owner's ticket. */
  async enrol(scope: readonly string[], options: EnrolOptions = {}): Promise<TestInstance> {
    return enrolAgent(this.server, await this.owner(), { name: this.name("agent"), ...options, scope });
  }

  /** A child by its parent's grant; it may have children in turn unless `limits` says otherwise. */
  spawn(parent: TestInstance, scope: readonly string[], options: ChildOptions = {}): Promise<TestInstance> {
    return spawn(this.server, parent, { name: this.name("child"), ...options, scope });
  }

  /** A service of the attacker's: it has a verifier's identity and no honest code. */
  enrolVerifier(): Promise<TestInstance> {
    return enrolVerifier(this.server, this.name("service"));
  }

  /** The finance API, started when it is first asked for. */
  finance(): Promise<FinanceApi> {
    this.#finance ??= this.#startFinance();
    return this.#finance;
  }

  /** How many actions the finance API carried out. */
  carriedOut(): number {
    try {
      return readFileSync(this.#financeLog, "utf8").split("\n").length - 1;
    } catch {
      // Safe: without a finance API nothing was carried out, and the comparison is of this number with itself.
      return 0;
    }
  }

  readState(): Promise<RegistryState> {
    return readState(this.server.adminSocket, this.carriedOut());
  }

  /** What all processes of this world wrote. */
  outputs(): readonly string[] {
    const own = [...this.#children.map((child) => child.output()), ...this.#finished];
    return [...own, ...this.#others.flatMap((other) => other.outputs())];
  }

  /** Ends everything, and then removes the directories, which worlds may share. */
  async close(): Promise<void> {
    await this.#stopAll();
    this.#removeAll();
  }

  #writeConfig(config: object): void {
    mkdirSync(this.home.configDir, { recursive: true, mode: 0o700 });
    writeFileSync(join(this.home.configDir, "server.json"), JSON.stringify(unhurried(config)), {
      mode: 0o600,
    });
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#others.map((other) => other.#stopAll()));
    for (const child of this.#adopted) child.kill("SIGKILL");
    for (const child of this.#children.toReversed()) await child.stop();
  }

  #removeAll(): void {
    for (const other of this.#others) other.#removeAll();
    this.home.remove();
  }

  get #financeLog(): string {
    return join(this.home.dataDir, "..", "finance.log");
  }

  async #startFinance(): Promise<FinanceApi> {
    const ticket = await verifierTicket(this.server, { name: "finance-api", ttlSeconds: 86_400 });
    const child = await this.launch({
      args: ["examples/finance/server.ts", "--log", this.#financeLog],
      env: { TRUSTWARDEN_TICKET: ticket },
    });
    const url = String(child.ready.url);
    const routes = jsonOf(await call(url, { target: "/.well-known/trustwarden-routes" }));
    return { url, id: String(routes.verifier), child };
  }
}

/**
 * The same settings for a server to which a slow machine, or one that is busy with others, is no overload, and to which the
 * scenes of many scenarios within a minute are no loop and no crowd.
 */
function unhurried(config: object): object {
  const intake = "intake" in config && typeof config.intake === "object" ? config.intake : {};
  const quotas = "quotas" in config && typeof config.quotas === "object" ? config.quotas : {};
  return {
    alarms: { agentsPerOwner: 1_000_000 },
    ...config,
    intake: { delayMs: 3_600_000, ...intake },
    quotas: { easyAgentsPerOwnerPerMinute: 100_000, ...quotas },
  };
}
