/**
 * The Workload API that the judges judge: `warden up` in a process of its own, with an owner, and a registration entry for
 * each of two users of this machine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { requireOutput } from "../command.ts";

const WARDEN = join(import.meta.dirname, "..", "..", "cli", "main.ts");
const COMMAND_TIMEOUT_MS = 60_000;
const TRUST_DOMAIN = "ours.test";

/** A user with an identity of its own. */
export const AUDITOR_UID = 65_533;
/** A user that no entry knows. */
export const STRANGER_UID = 65_534;

/** A running server. */
export interface WardenServer {
  /** `unix:///...` of its Workload API. */
  readonly socket: string;
  /** `https://...` of its main listener. */
  readonly url: string;
  readonly pid: number;
  readonly trustDomain: string;
  readonly dataDir: string;
  readonly configDir: string;
  /** Classes of this user's agent and of the auditor's. */
  readonly pay: string;
  readonly audit: string;
  /** A new intermediate, and every SVID of the old one renewed. */
  rotate(): Promise<void>;
  /** Another key of that kind at once, published for no time at all. */
  force(kind: "jwt" | "wit"): Promise<void>;
  /** Another key of that kind, published and not used yet. */
  prepare(kind: "jwt" | "root"): Promise<void>;
  /** No more instances of this user's agent, and those that live are stopped. */
  withdraw(): Promise<void>;
  /** Runs `warden` with the server's places. @throws Error when it fails. */
  warden(...args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

const ready = z.object({ url: z.string(), admin_socket: z.string(), agent_socket: z.string() });
const created = z.object({ entry_id: z.string() });

/** Starts a server below a new directory, which goes with it. @param settings - of its `server.json`. */
export async function openWarden(
  settings: Readonly<Record<string, unknown>> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<WardenServer> {
  const folder = mkdtempSync(join(tmpdir(), "judged-"));
  // Other users have to reach the socket; what is secret lies in folders of its own.
  chmodSync(folder, 0o755);
  const [dataDir, configDir] = [join(folder, "data"), join(folder, "config")];
  mkdirSync(configDir, { mode: 0o700 });
  writeFileSync(join(configDir, "server.json"), JSON.stringify(settings), { mode: 0o600 });
  const places = ["--data", dataDir, "--config-dir", configDir];
  const listen = ["--port", "0", "--stop-port", "0", "--agent-socket", join(folder, "agent.sock")];
  const quiet = ["--log-level", "error", "--trust-domain", TRUST_DOMAIN];
  const child = spawn(process.execPath, [WARDEN, "up", ...places, ...listen, ...quiet], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), "line").then(([first]) => first),
    once(child, "exit").then(([code, signal]) =>
      Promise.reject(new Error(`warden up ended with ${code ?? signal}`)),
    ),
  ]);
  const { url, admin_socket, agent_socket } = ready.parse(JSON.parse(String(line)));
  const warden = (...args: readonly string[]) =>
    requireOutput(process.execPath, [WARDEN, ...args, ...places, "--json"], {
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
  await warden("owner", "create", "judge");
  const uid = process.getuid?.() ?? 0;
  const entry = await createEntry(warden, "pay", uid);
  if (uid === 0) await createEntry(warden, "audit", AUDITOR_UID);
  return {
    socket: `unix://${agent_socket}`,
    url,
    pid: child.pid ?? 0,
    trustDomain: TRUST_DOMAIN,
    dataDir,
    configDir,
    pay: `spiffe://${TRUST_DOMAIN}/team/pay`,
    audit: `spiffe://${TRUST_DOMAIN}/team/audit`,
    rotate: () =>
      askOperator(admin_socket, { step: "rotate", kind: "intermediate", force: true, reason: "judged" }),
    force: (kind) => askOperator(admin_socket, { step: "rotate", kind, force: true, reason: "judged" }),
    prepare: (kind) => askOperator(admin_socket, { step: "prepare", kind, reason: "judged" }),
    withdraw: async () => {
      await warden("entry", "remove", entry);
      await warden("stop", "team/pay");
    },
    warden,
    close: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function createEntry(warden: WardenServer["warden"], name: string, uid: number): Promise<string> {
  const agent = ["--owner", "judge", "--path", "team", "--name", name, "--scope", "read:transactions"];
  const said = await warden("entry", "create", ...agent, "--selector", `unix:uid:${uid}`, "--hint", name);
  return created.parse(JSON.parse(said)).entry_id;
}

function askOperator(socketPath: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const headers = { host: "localhost", "content-type": "application/json" };
  const sent = request(
    { socketPath, method: "POST", path: "/v1/authority/steps", headers },
    async (answer) => {
      let text = "";
      for await (const part of answer) text += String(part);
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`${answer.statusCode} ${text}`));
    },
  );
  sent.once("error", reject);
  sent.end(JSON.stringify(body));
  return promise;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
