/**
 * A real `litewitness`, unchanged, with its key in an agent of its own; and a relay before it that counts what it
 * answers, so that a judge knows that a refusal was given and not merely awaited.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { freePort } from "../../test/support/free-port.ts";
import type { TlogTools } from "../tools.ts";

const START_TIMEOUT_MS = 20_000;

export interface Litewitness {
  readonly vkey: string;
  /** Of the relay before it. */
  readonly url: string;
  /** How often it gave each status. */
  readonly answers: ReadonlyMap<number, number>;
  /** Makes it follow a log, as its `witnessctl add-log` and `add-key` do. */
  follow(logVkey: string): void;
  stop(): Promise<void>;
}

/** Starts one in `folder`, under `name`, that follows no log yet. */
export async function startLitewitness(
  { litewitness, keyagent }: TlogTools,
  { folder, name }: { readonly folder: string; readonly name: string },
): Promise<Litewitness> {
  const [database, socket] = [join(folder, "litewitness.db"), join(folder, "agent.sock")];
  const agent = spawn(keyagent, ["-socket", socket], { stdio: ["ignore", "pipe", "inherit"] });
  const fingerprint = await readLine(agent, "stdout", /^(SHA256:\S+)$/);
  const port = await freePort();
  const keys = ["-ssh-agent", socket, "-key", fingerprint];
  const where = ["-name", name, "-db", database, "-listen", `127.0.0.1:${port}`];
  const witness = spawn(litewitness, [...keys, ...where], { stdio: ["ignore", "ignore", "pipe"] });
  const vkey = await readLine(witness, "stderr", /vkey=(\S+)/);
  const relay = await startRelay(port);
  return {
    vkey,
    url: relay.url,
    answers: relay.answers,
    follow: (logVkey) => addLog(database, logVkey),
    stop: async () => {
      relay.close();
      for (const child of [witness, agent]) await end(child);
    },
  };
}

/** Its `witnessctl` needs a module that is not to be had; these are the two rows that it writes. */
function addLog(path: string, vkey: string): void {
  const database = new DatabaseSync(path);
  const { name } = parseVkey(vkey);
  const root = Buffer.from(EMPTY_ROOT).toString("base64");
  database.prepare("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)").run(name, root);
  database.prepare("INSERT INTO key (origin, key) VALUES (?, ?)").run(name, vkey);
  database.close();
}

async function readLine(child: ChildProcess, from: "stdout" | "stderr", wanted: RegExp): Promise<string> {
  const stream = child[from];
  if (stream === null) throw new Error("it has that stream");
  const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
  const heard: string[] = [];
  try {
    for await (const line of createInterface({ input: stream })) {
      const found = wanted.exec(line)?.[1];
      if (found !== undefined) return found;
      heard.push(line);
    }
  } finally {
    clearTimeout(timer);
    // What it says later is nobody's; a full pipe would stop it.
    stream.resume();
  }
  throw new Error(`${child.spawnfile} did not start: ${heard.slice(-3).join("; ")}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function startRelay(port: number) {
  const answers = new Map<number, number>();
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
      method: request.method ?? "GET",
      ...(request.method === "POST" ? { body: Buffer.concat(chunks) } : {}),
    });
    if (request.method === "POST") answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" }).end(body);
  };
  // A witness that is gone is what its caller finds out.
  const server = createServer((request, response) => pass(request, response).catch(() => response.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    answers,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
