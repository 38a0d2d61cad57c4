/**
 * The stage: temporary directories, the server and the finance API as processes of their own, and the `warden` command.
 *
 * Everything lies under one directory in the system's temporary directory, and nothing is read from the user's home.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { endProcess, enterPlayer, type Player } from "./conversation.ts";

const READY_TIMEOUT_MS = 20_000;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const WARDEN = join(ROOT, "cli", "main.ts");
const FINANCE = join(ROOT, "examples", "finance", "server.ts");

/** What a program printed and how it ended. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A JSON answer, not yet looked at. */
export type JsonFacts = Readonly<Record<string, unknown>>;

/** Where things are. */
export interface Places {
  readonly root: string;
  readonly dataDir: string;
  readonly configDir: string;
  readonly financeDatabase: string;
  readonly financeLog: string;
  readonly export: string;
}

/** Owns every process and every file of one performance; `close` ends and removes them. */
export class Stage {
  readonly places: Places;
  readonly #env: Readonly<Record<string, string>>;
  readonly #processes: ChildProcess[] = [];
  readonly #players: Player[] = [];

  constructor() {
    const root = mkdtempSync(join(tmpdir(), "trustwarden-quickstart-"));
    const home = join(root, "home");
    mkdirSync(home, { mode: 0o700 });
    this.places = {
      root,
      dataDir: join(root, "data"),
      configDir: join(home, "config"),
      financeDatabase: join(root, "finance.db"),
      financeLog: join(root, "finance.log"),
      export: join(root, "export"),
    };
    this.#env = { PATH: process.env.PATH ?? "", HOME: home };
  }

  /** Starts the server on free ports. */
  async startServer(trustDomain: string): Promise<JsonFacts> {
    const flags = ["--trust-domain", trustDomain, "--port", "0", "--stop-port", "0", "--log-level", "error"];
    return this.#start([WARDEN, "up", ...flags, ...this.#directories()], {});
  }

  /** Starts the finance API with its own verifier ticket. */
  async startFinance(ticket: string): Promise<JsonFacts> {
    const { financeDatabase, financeLog } = this.places;
    const args = [FINANCE, "--database", financeDatabase, "--log", financeLog];
    return this.#start(args, { TRUSTWARDEN_TICKET: ticket });
  }

  /** Starts an agent as a process of its own. */
  enter(file: string, env: Readonly<Record<string, string>> = {}): Player {
    const player = enterPlayer(file, { ...this.#env, ...env });
    this.#players.push(player);
    return player;
  }

  /** Runs one `warden` command with `--json`. @throws Error when it fails. */
  async warden(...args: readonly string[]): Promise<JsonFacts> {
    const finished = await this.run(WARDEN, ...args, "--json", ...this.#directories());
    if (finished.exitCode !== 0) {
      throw new Error(`warden ${args.join(" ")} failed: ${finished.stderr}${finished.stdout}`);
    }
    return parseFacts(finished.stdout);
  }

  /** Runs one program to its end. */
  async run(...args: readonly string[]): Promise<Finished> {
    const child = spawn(process.execPath, [...args], { env: this.#env, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, exitCode] = await Promise.all([
      readAll(child.stdout),
      readAll(child.stderr),
      new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 1))),
    ]);
    return { exitCode, stdout, stderr };
  }

  /** One document over the admin socket, as the operator. */
  async fetchAsOperator(path: string): Promise<string> {
    const socketPath = join(this.places.dataDir, "admin.sock");
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const sent = request({ socketPath, path, headers: { host: "localhost" } }, (answer) => {
      readAll(answer).then(resolve, reject);
    });
    sent.once("error", reject);
    sent.end();
    return promise;
  }

  /** Ends all processes, the server last; removes the directory unless it is to be kept. */
  async close({ keep }: { readonly keep: boolean }): Promise<void> {
    await Promise.all(this.#players.map((player) => player.leave()));
    for (const child of this.#processes.toReversed()) await endProcess(child);
    if (!keep) rmSync(this.places.root, { recursive: true, force: true });
  }

  #directories(): readonly string[] {
    return ["--data", this.places.dataDir, "--config-dir", this.places.configDir];
  }

  /** Starts a process that says in one line of JSON when it is ready. */
  async #start(args: readonly string[], env: Readonly<Record<string, string>>): Promise<JsonFacts> {
    const child = spawn(process.execPath, [...args], {
      env: { ...this.#env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#processes.push(child);
    const { promise, resolve, reject } = Promise.withResolvers<JsonFacts>();
    const timer = setTimeout(() => reject(new Error(`${args[0]} was not ready in time`)), READY_TIMEOUT_MS);
    child.once("exit", (code) =>
      reject(new Error(`${args.slice(0, 2).join(" ")} ended with ${code} before it was ready`)),
    );
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.includes('"ready"')) resolve(parseFacts(line));
    });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A JSON object of text. */
export function parseFacts(text: string): JsonFacts {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new Error("a JSON object was expected");
  return { ...value };
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString("utf8");
}
