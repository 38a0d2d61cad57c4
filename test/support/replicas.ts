/**
 * Two servers, each a process of its own, that share one store and one ledger in a real PostgreSQL, each reached over a link
 * with faults and reaching the database over another.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MIGRATIONS } from "../../server/store/migrations/steps.ts";
import { formatStateSchema } from "../../server/store/postgres-state/schema-text.ts";
import {
  startStateServer,
  type TestStateServer,
} from "../../server/store/postgres-state/state-database.test.support.ts";
import { configureHome, type Program, type Starting, startProcess } from "./crash-server.ts";
import { type FaultyLink, openFaultyLink } from "./faulty-link.ts";
import { type Namespace, openNamespace } from "./namespace.ts";
import { startObjectStore, type TestObjectStore } from "./object-store.ts";
import { createHome, type TestHome, type TestServer } from "./server.ts";

const LEDGER_SCHEMA = new URL("../../server/store/postgres-log.sql", import.meta.url);
const LEDGER_LOGIN = "tw_ledger";
const PASSWORD = "of the ledger";
const MAX_STARTS = 5;
const KILLED = "SIGKILL";

/** One of the servers: a process that may be another one at the next call. */
export class Replica {
  readonly home: TestHome;
  /** Its way to the database. */
  readonly database: FaultyLink;
  readonly #said: (() => string)[] = [];
  #running: Starting | undefined;
  #up: Promise<TestServer> | undefined;
  #front: FaultyLink | undefined;
  #isListening = false;
  #ended: string | undefined;
  #namespace: Namespace | undefined;
  #program: Program = {};

  constructor(home: TestHome, database: FaultyLink) {
    this.home = home;
    this.database = database;
  }

  /** From the next start on it is another version's program. @param root - of another checkout; this one's unless given. */
  use(root?: string): void {
    this.#program = root === undefined ? {} : { root };
  }

  /** From the next start on it has no network but `ways` out, and `own` in, beside the one listener that clients call. */
  async wallIn(ways: readonly number[], own: readonly number[]): Promise<void> {
    this.#namespace = await openNamespace(ways);
    for (const port of own) await this.#namespace.enter(port, port);
  }

  /** The process that listens, when there is one. */
  readonly up = (): Promise<TestServer> => this.#up ?? this.start();

  /** The way of clients to it; new with each process. */
  get front(): FaultyLink {
    if (this.#front === undefined) throw new Error("not started");
    return this.#front;
  }

  /** Whether a balancer that looks after it would send anybody there. */
  get isListening(): boolean {
    return this.#isListening;
  }

  start(): Promise<TestServer> {
    this.#up = this.#start();
    return this.#up;
  }

  /** What a process said that ended although nobody killed it; undefined while none did. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** What its processes said of errors. */
  errors(): string {
    return this.#said.map((said) => said()).join("");
  }

  /** Kills the process; nobody has it start again. */
  async kill(): Promise<void> {
    this.#isListening = false;
    this.#running?.kill();
    await this.#running?.gone;
  }

  /** Kills the process, and starts the next. @param dyingMs - a process between the two, killed when it is so old. */
  async restart(dyingMs?: number): Promise<TestServer> {
    this.#up = this.kill()
      .then(() => (dyingMs === undefined ? undefined : this.#startToDie(dyingMs)))
      .then(() => this.#start());
    return this.#up;
  }

  async close(): Promise<void> {
    await this.kill();
    await this.#front?.close();
    await this.#namespace?.close();
    await this.database.close();
  }

  #startProcess(): Starting {
    const within = this.#namespace?.prefix;
    return startProcess(this.home, undefined, { ...this.#program, ...(within !== undefined && { within }) });
  }

  /** A server whose way to the database fails in its start ends, and whoever looks after it starts it again. */
  async #tryToStart(): Promise<TestServer> {
    for (let tries = 1; ; tries += 1) {
      const running = this.#startProcess();
      this.#running = running;
      const server = await running.ready;
      if (server !== undefined) {
        this.#said.push(running.errors);
        void running.gone.then((signal) => {
          if (signal !== KILLED) this.#noteEnd(running);
        });
        return server;
      }
      if (tries === MAX_STARTS || !running.errors().includes("store_unavailable"))
        throw new Error(running.errors());
    }
  }

  /** Nobody starts it again: that it ended is what whoever holds it has to hear. */
  #noteEnd({ errors }: Starting): void {
    this.#ended = `a server ended by itself: ${errors()}`;
    this.#isListening = false;
  }

  async #startToDie(afterMs: number): Promise<void> {
    const { errors, gone, kill } = this.#startProcess();
    this.#said.push(errors);
    const isEnded = await Promise.race([gone.then(() => true), sleep(afterMs, false)]);
    if (isEnded) throw new Error(errors());
    kill();
    await gone;
  }

  async #start(): Promise<TestServer> {
    const server = await this.#tryToStart();
    const before = this.#front;
    const port = Number(new URL(server.url).port);
    this.#front = await openFaultyLink((await this.#namespace?.enter(port)) ?? port);
    await before?.close();
    this.#isListening = true;
    return { ...server, url: `https://127.0.0.1:${this.#front.port}` };
  }
}

export interface TwoReplicas {
  readonly state: TestStateServer;
  readonly replicas: readonly [Replica, Replica];
  /** Name of the database that has store and ledger. */
  readonly database: string;
  /** Settings of a server beside them, to look at what they left. */
  readonly settings: object;
  close(): Promise<void>;
}

/** What is not as usual about both. */
export interface ReplicaOptions {
  /** `state.notices`; the database's own unless given. */
  readonly notices?: object | undefined;
  /** Of the checkout whose program they are until they `use` another. */
  readonly root?: string | undefined;
  /** Version of the state's tables; the latest unless given. */
  readonly store?: number | undefined;
  /** Each in a network namespace that reaches these ports of this machine, and has these of its own. */
  readonly ways?:
    | { readonly out: readonly number[]; readonly own: readonly (readonly number[])[] }
    | undefined;
}

/** Store and ledger of several servers, empty. */
export async function startStores(store?: number) {
  const state = await startStateServer();
  const { login } = await state.create();
  if (store !== undefined) {
    const steps = MIGRATIONS.steps.filter(({ version }) => version <= store);
    await state.postgresql.admin(
      `begin; drop schema trustwarden_state, trustwarden_state_log cascade;
       ${formatStateSchema({ ...MIGRATIONS, steps })} commit;`,
      login.database,
    );
  }
  await state.postgresql.admin(readFileSync(LEDGER_SCHEMA, "utf8"), login.database);
  await state.postgresql.admin(
    `create role ${LEDGER_LOGIN} login password '${PASSWORD}' in role trustwarden_ledger_writer`,
  );
  return { state, login, objects: await startObjectStore() };
}

/**
 * @param settings - of both, beside where store and ledger are; or of each by its number.
 */
export async function startReplicas(
  settings: object | ((number: 0 | 1) => object) = {},
  { notices, root, store, ways }: ReplicaOptions = {},
): Promise<TwoReplicas> {
  const settingsAt = (number: 0 | 1) => (settings instanceof Function ? settings(number) : settings);
  const { state, login, objects } = await startStores(store);
  const { database } = login;
  const left = new Replica(createHome(), await openFaultyLink(state.postgresql.port));
  const right = new Replica(createHome(), await openFaultyLink(state.postgresql.port));
  const place = { login, objects, settings: settingsAt(0), notices };
  configure(left, place);
  const { port: objectsPort } = new URL(objects.endpoint);
  for (const [number, replica] of [left, right].entries()) {
    replica.use(root);
    const own = [replica.database.port, Number(objectsPort)];
    if (ways !== undefined) await replica.wallIn([...ways.out, ...own], ways.own[number] ?? []);
  }
  await left.start();
  copyKeys(left.home, right.home);
  configure(right, { ...place, settings: settingsAt(1) });
  await right.start();
  return {
    state,
    replicas: [left, right],
    database,
    settings: settingsOf(left, place),
    close: async () => {
      await Promise.all([left.close(), right.close()]);
      await objects.close();
      await state.close();
      left.home.remove();
      right.home.remove();
    },
  };
}

interface Place {
  readonly login: object;
  readonly objects: TestObjectStore;
  readonly settings: object;
  readonly notices?: object | undefined;
}

function configure(replica: Replica, place: Place): void {
  writeSecrets(replica.home);
  configureHome(replica.home, settingsOf(replica, place));
}

/** What the settings name beside the password of the state. */
export function writeSecrets(home: Pick<TestHome, "configDir">): void {
  mkdirSync(home.configDir, { recursive: true, mode: 0o700 });
  writeFileSync(join(home.configDir, "ledger-password"), PASSWORD, { mode: 0o600 });
  writeFileSync(
    join(home.configDir, "objects.json"),
    JSON.stringify({ Version: 1, AccessKeyId: "AKIATESTTESTTEST", SecretAccessKey: "of-the-objects" }),
    { mode: 0o600 },
  );
}

/** Of a server that reaches its database by a way of its own. */
export function settingsOf(
  {
    home,
    database,
  }: {
    readonly home: Pick<TestHome, "configDir">;
    readonly database: { readonly port: number };
  },
  { login, objects, settings, notices }: Place,
): object {
  const place = { ...login, port: database.port };
  return {
    ...settings,
    state: { storage: "postgres", servers: "many", postgres: place, notices },
    ledger: {
      storage: "postgres",
      postgres: {
        ...place,
        user: LEDGER_LOGIN,
        passwordFile: join(home.configDir, "ledger-password"),
        sessionTimeoutMs: 4000,
      },
      objects: {
        endpoint: objects.endpoint,
        region: "eu-1",
        bucket: "warden",
        credentialsFile: join(home.configDir, "objects.json"),
      },
    },
  };
}

/** As the guide says. */
export function copyKeys(from: TestHome, to: TestHome): void {
  mkdirSync(to.dataDir, { recursive: true, mode: 0o700 });
  cpSync(join(from.dataDir, "keys"), join(to.dataDir, "keys"), { recursive: true });
  cpSync(join(from.dataDir, "trust-domain"), join(to.dataDir, "trust-domain"));
  cpSync(from.configDir, to.configDir, { recursive: true });
}
