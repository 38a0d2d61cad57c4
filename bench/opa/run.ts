/**
 * `./dev bench opa`: a decision of our server beside an answer of OPA's own server (`opa run --server`) to the same question.
 *
 *   node bench/opa/run.ts [--quick]
 *
 * They are not the same thing: ours comes over mutual TLS, checks the agent's chain and signed intent, decides by three kinds of
 * rules of which the policy is one, signs the decision and answers when it is in the ledger on the disk. OPA's comes over a socket
 * of this machine, from whoever asks, and is kept nowhere. Both have the built-in policy, kept connections, and take turns.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import { parseArgs } from "node:util";
import { serverIdOf } from "../../test/support/actors.ts";
import { captureQuestion } from "../decide-bench.ts";
import { NO_RATES, startWarden } from "../gateway/lab.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { compare, type Side, type Work } from "../measure.ts";
import { createMember, prepare } from "../overload/crowd.ts";
import { encodeRequest, Line } from "../overload/line.ts";
import { end } from "../warden.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const AT_ONCE = [1, 16];
const OPA_READY_MS = 20_000;

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const effort = values.quick ? { rounds: 5, roundMs: 500 } : { rounds: 11, roundMs: 2000 };

/** OPA with the built-in policy, on a socket; it says nothing when it is ready, so it is asked. */
async function startOpa(children: ChildProcess[], directory: string): Promise<string> {
  // Builds it from its pinned module where it is not there yet, which needs Go.
  const built = execFileSync("sh", [join(ROOT, "policies", "tools.sh")], { encoding: "utf8" });
  const opa = join(built.trim().split("\n").at(-1) ?? "", "opa");
  const socket = join(directory, "opa.sock");
  const policy = ["decision.rego", "data.json"].map((name) => join(ROOT, "policies", "trustwarden", name));
  const child = spawn(
    opa,
    [
      "run",
      "--server",
      "--log-level",
      "error",
      "--addr",
      `unix://${socket}`,
      "--skip-version-check",
      ...policy,
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  children.push(child);
  await once(child, "spawn");
  const untilMs = performance.now() + OPA_READY_MS;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > untilMs) throw new Error("OPA did not start");
    await sleep(20);
  }
  return socket;
}

/** Asks over each line once, all together; whatever is not an answer ends the run. */
async function askAll(lines: readonly Line[], requests: readonly Buffer[]): Promise<void> {
  const answers = await Promise.all(lines.map((line, index) => line.ask(requests[index] ?? Buffer.alloc(0))));
  for (const { status, body } of answers)
    if (status !== 200 || !body.includes('"allow":true'))
      throw new Error(`answered ${status} ${body.slice(0, 300)}`);
}

async function openOpa(socket: string, count: number): Promise<Work> {
  const body = JSON.stringify({ input: captureQuestion() });
  const target = "/v1/data/trustwarden/decision/result";
  const request = encodeRequest({ method: "POST", target, body });
  const lines = Array.from({ length: count }, () => Line.over(connect(socket)));
  const requests = lines.map(() => request);
  return { run: () => askAll(lines, requests), operations: count };
}

/** Every question is signed before it is timed: an intent is used once. */
async function openOurs(
  children: ChildProcess[],
  directory: string,
): Promise<(count: number) => Promise<Work>> {
  const { server } = await startWarden(children, directory, { settings: { intake: NO_RATES } });
  const aud = await serverIdOf(server);
  return async (count) => {
    const member = await createMember(server, `asks-${count}`);
    const context = createSecureContext(member.agent.tls);
    const lines: Line[] = [];
    for (let opened = 0; opened < count; opened += 1) lines.push(await Line.open(server.url, context));
    return {
      prepare: () => prepare(member, aud, count),
      run: () => askAll(lines, member.ready.splice(0, count)),
      operations: count,
    };
  };
}

const rounded = ({ rate, p50Ms, p99Ms }: Side) => ({ rate: Math.round(rate), p50: p50Ms, p99: p99Ms });

const machine = describeMachine();
const directory = mkdtempSync(join(tmpdir(), "bench-opa-"));
const children: ChildProcess[] = [];
try {
  const socket = await startOpa(children, directory);
  const ours = await openOurs(children, directory);
  const rows = [];
  for (const count of AT_ONCE) {
    const both = { product: await ours(count), reference: await openOpa(socket, count) };
    const { product, reference, ratio } = await compare(both, effort);
    rows.push({ at_once: count, ours: rounded(product), opa: rounded(reference), ratio });
  }
  const report = { machine, versions: describeVersions(), rows };
  keepResult("opa", report);
  console.log(JSON.stringify(report, null, 2));
} finally {
  for (const child of children.toReversed()) await end(child);
  rmSync(directory, { recursive: true, force: true });
}
