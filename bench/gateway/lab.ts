/**
 * The processes of the gateway's benchmark and of its soak: a fake model, `warden up` with a gateway before it, and an
 * agent whose calls are signed beforehand, so that its own work is not on the clock.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import {
  createOwner,
  enrolAgent,
  serverIdOf,
  signedRequest,
  type TestInstance,
} from "../../test/support/actors.ts";
import { freePort } from "../../test/support/free-port.ts";
import { type RawRequest, sendAdmin } from "../../test/support/http.ts";
import { registerModel, signedModelCall } from "../../test/support/model/gateway-llm.ts";
import { type TestServer, TRUST_DOMAIN } from "../../test/support/server.ts";
import { observation } from "../observe.ts";
import { processorTicks, residentMib } from "../process-use.ts";
import { end } from "../warden.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const WARDEN = join(ROOT, "cli", "main.ts");
const MODEL = join(ROOT, "test", "support", "model", "serve.ts");
const CHAT = "/v1/chat/completions";
/** The model as a service whose calls are writes. */
const WRITES = { name: "writes", action: "write:chat", resource: "model://chat" } as const;
const UNLIMITED = { perSecond: 1_000_000, burst: 1_000_000 };

/** Settings of `intake` for who asks as fast as it goes. */
export const NO_RATES = { agent: UNLIMITED, owner: UNLIMITED } as const;

/** A process under measurement. */
export interface Measured {
  readonly url: string;
  /** Resident memory, MiB. */
  residentMib(): number;
  /** Open descriptors. */
  descriptors(): number;
  /** User and system time since its start, in clock ticks of 10 ms. */
  cpuTicks(): number;
}

/** Everything that a run needs. */
export interface GatewayLab {
  readonly model: Measured;
  readonly gateway: Measured;
  readonly agent: TestInstance;
  /** Signed calls of one kind, good for a minute. */
  sign(count: number, body: object): Promise<readonly RawRequest[]>;
  /** The same calls to the same model as writes of class B, which are durable before the model hears of them. */
  signWrites(count: number, body: object): readonly RawRequest[];
  /** Of the gateway's event loop since the last question: 99 in 100 delays are below, in milliseconds. */
  loopP99Ms(): Promise<number>;
  close(): Promise<void>;
}

/** @param directory - empty; removed by `close`. */
export async function openGatewayLab(directory: string): Promise<GatewayLab> {
  const children: ChildProcess[] = [];
  const model = await start(children, [MODEL]);
  const metricsPort = await freePort();
  const settings = { metrics: { port: metricsPort } };
  const { child, server } = await startWarden(children, directory, {
    settings,
    further: ["--gateway-port", "0"],
  });
  const modelUrl = String(model.answer.url);
  const registered = await registerModel(server, { url: modelUrl }, "openai");
  if (registered.status !== 200) throw new Error(`the model was not registered: ${registered.text}`);
  await registerWrites(server, modelUrl);
  const scope = ["infer:llm:openai/**", WRITES.action];
  const agent = await enrolAgent(server, await createOwner(server), { scope });
  const serverId = await serverIdOf(server);
  const access = { server, serverId, model: { url: modelUrl }, kind: "openai" } as const;
  return {
    model: measure(model.child, modelUrl),
    gateway: measure(child, server.gatewayUrl ?? ""),
    agent,
    sign: async (count, body) => {
      const signed: RawRequest[] = [];
      for (let index = 0; index < count; index += 1)
        signed.push(await signedModelCall(access, agent, { path: CHAT, body }));
      return signed;
    },
    signWrites: (count, body) =>
      Array.from({ length: count }, () =>
        signedRequest(agent, {
          method: "POST",
          target: `/${WRITES.name}${CHAT}`,
          body: JSON.stringify(body),
          headers: { "content-type": "application/json" },
          aud: serverId,
          action: WRITES.action,
          intent: { action: WRITES.action, resource: WRITES.resource },
        }),
      ),
    loopP99Ms: () => readLoopP99Ms(metricsPort),
    close: async () => {
      for (const child of children.toReversed()) await end(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function registerWrites(server: TestServer, url: string): Promise<void> {
  const { name, action, resource } = WRITES;
  const settings = { routes: [{ method: "POST", path: CHAT, action, resource }] };
  const body = JSON.stringify({ name, kind: "http", url, allow_private: true, settings });
  const { status, text } = await sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/upstreams",
    body,
  });
  if (status !== 200) throw new Error(`the model was not registered for writes: ${text}`);
}

async function readLoopP99Ms(port: number): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const [, seconds] = /^nodejs_eventloop_delay_seconds\{place="p99"\} (\S+)$/m.exec(page) ?? [];
  if (seconds === undefined) throw new Error("the server says nothing of its event loop");
  return Number(seconds) * 1000;
}

/** Starts `warden up` below a directory, which may be one that it worked in before. */
export async function startWarden(
  children: ChildProcess[],
  directory: string,
  { settings = {}, further = [] }: { readonly settings?: object; readonly further?: readonly string[] } = {},
) {
  const config = join(directory, "config");
  mkdirSync(config, { mode: 0o700, recursive: true });
  writeFileSync(join(config, "server.json"), JSON.stringify(settings), { mode: 0o600 });
  const places = ["--data", join(directory, "data"), "--config-dir", config];
  const listen = ["--trust-domain", TRUST_DOMAIN, "--port", "0", "--stop-port", "0", "--log-level", "error"];
  const args = [WARDEN, "up", "--no-node", ...listen, ...places, ...further];
  const { child, answer } = await start(children, args);
  return { child, answer, server: describe(answer) };
}

/** Starts a program that says in one line of JSON when it is ready. */
export async function start(
  children: ChildProcess[],
  args: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly answer: ReturnType<typeof parseJsonObject> }> {
  const observed = observation();
  const child = spawn(process.execPath, [...observed.args, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env.PATH, HOME: "/nonexistent", ...observed.env },
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, "exit").then(() => {
    throw new Error(`${args[0]} ended before it was ready`);
  });
  const [line] = await Promise.race([once(lines, "line"), ended]);
  ended.catch(() => undefined);
  return { child, answer: parseJsonObject(String(line)) };
}

/** The running server, as the support of the tests knows one; it is ended with its process. */
export function describe(answer: ReturnType<typeof parseJsonObject>): TestServer {
  return {
    url: String(answer.url),
    stopUrl: String(answer.stop_url),
    adminSocket: String(answer.admin_socket),
    gatewayUrl: String(answer.gateway_url),
    webUrl: null,
    policyUrl: null,
    envoyPort: null,
    metricsUrl: null,
    consoleUrl: null,
    failed: new Promise(() => undefined),
    close: () => Promise.resolve(),
    home: { dataDir: "", configDir: "", remove: () => undefined },
  };
}

/** What Linux says of a process. */
export function measure({ pid = 0 }: ChildProcess, url: string): Measured {
  return {
    url,
    residentMib: () => residentMib(pid),
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    cpuTicks: () => {
      const { user, system } = processorTicks(pid);
      return user + system;
    },
  };
}
