/**
 * `./dev bench gateway`: what the gateway adds to a call, its ledger durable and included, beside LiteLLM and Portkey's gateway.
 *
 *   node bench/gateway/run.ts [--json] [--quick] [--no-peer]
 *
 * The same fake model, the same bodies and the same generator for all: straight to the model, through the gateway, and
 * through the others. Measures and never judges; a target that does not sustain a rate is shown as that, and so is how many calls it
 * refused as `overloaded`: its times are of those that it answered. Any other failure ends the run.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { RawRequest } from "../../test/support/http.ts";
import { keepResult } from "../keep.ts";
import { describeMachine, describeVersions } from "../machine.ts";
import { TICKS_PER_SECOND } from "../process-use.ts";
import { summarise } from "../revocation/statistics.ts";
import { end } from "../warden.ts";
import { type GatewayLab, measure, openGatewayLab } from "./lab.ts";
import { LITELLM_VERSION, startLitellm } from "./litellm.ts";
import { type LoadResult, runLoad } from "./load.ts";
import { PORTKEY_VERSION, startPortkey } from "./portkey.ts";

const RATES = [100, 1000] as const;
const SECONDS = { full: 10, quick: 3 } as const;
const WARM_UP = 500;
const PATH = "/v1/chat/completions";
const JSON_BODY = { model: "gpt-test", messages: [{ role: "user", content: "hello #words=20" }] };
/** `write` is the call of `json` as one of class B; the peers know no such difference. */
const BODIES = {
  json: JSON_BODY,
  write: JSON_BODY,
  stream: { model: "gpt-test", stream: true, messages: [{ role: "user", content: "hello #words=20" }] },
} as const;

type Form = keyof typeof BODIES;
const FORMS: readonly Form[] = ["json", "stream", "write"];

/** One of those that are compared. */
interface Target {
  readonly name: string;
  readonly forms: readonly Form[];
  /** Calls, good for one run each. */
  readonly requests: (count: number, form: Form) => Promise<readonly RawRequest[]>;
  readonly run: (requests: readonly RawRequest[], rate: number) => Promise<LoadResult>;
  readonly cpuTicks: () => number;
  readonly residentMib: () => number;
}

/** One row of the report; milliseconds, and processor seconds a second. */
interface Row {
  readonly target: string;
  readonly form: Form;
  readonly rate: number;
  readonly achieved: number;
  readonly late: number;
  /** Answered `overloaded`. */
  readonly refused: number;
  readonly p50: number;
  readonly p99: number;
  readonly first_p50: number;
  readonly cpu: number;
}

const { values: options } = parseArgs({
  options: { json: { type: "boolean" }, quick: { type: "boolean" }, "no-peer": { type: "boolean" } },
});
const seconds = options.quick === true ? SECONDS.quick : SECONDS.full;
const machine = describeMachine();
const directory = mkdtempSync(join(tmpdir(), "bench-gateway-"));
const children: ChildProcess[] = [];
const lab = await openGatewayLab(directory);
try {
  const targets = [direct(lab), ours(lab), ...(options["no-peer"] === true ? [] : await peersOf(lab))];
  const rows: Row[] = [];
  for (const form of FORMS) {
    const asked = targets.filter(({ forms }) => forms.includes(form));
    for (const target of asked) await target.run(await target.requests(WARM_UP, form), 200);
    for (const rate of RATES) for (const target of asked) rows.push(await measureRow(target, form, rate));
  }
  print(rows, targets);
} finally {
  for (const child of children) await end(child);
  await lab.close();
}

async function measureRow(target: Target, form: Form, rate: number): Promise<Row> {
  const requests = await target.requests(rate * seconds, form);
  const before = target.cpuTicks();
  const startedMs = performance.now();
  const { wholeMs, firstMs, failed, refused, reasons, late, achieved } = await target.run(requests, rate);
  const elapsed = (performance.now() - startedMs) / 1000;
  if (failed > refused)
    throw new Error(
      `${target.name}: ${failed - refused} of ${requests.length} calls failed: ${JSON.stringify(reasons)}`,
    );
  const whole = summarise(wholeMs);
  const cpu = Math.round(((target.cpuTicks() - before) / TICKS_PER_SECOND / elapsed) * 100) / 100;
  return {
    target: target.name,
    form,
    rate,
    achieved,
    late,
    refused,
    p50: whole.p50,
    p99: whole.p99,
    first_p50: summarise(firstMs).p50,
    cpu,
  };
}

function plain(body: object, key: string): RawRequest {
  return {
    method: "POST",
    target: PATH,
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${key}` },
  };
}

function direct({ model }: GatewayLab): Target {
  return {
    name: "direct",
    forms: FORMS,
    requests: async (count, form) => Array.from({ length: count }, () => plain(BODIES[form], "sk-direct")),
    run: (requests, rate) => runLoad({ url: model.url, rate, requests }),
    cpuTicks: model.cpuTicks,
    residentMib: model.residentMib,
  };
}

function ours({ gateway, agent, sign, signWrites }: GatewayLab): Target {
  return {
    name: "trustwarden",
    forms: FORMS,
    requests: async (count, form) => (form === "write" ? signWrites : sign)(count, BODIES[form]),
    run: (requests, rate) => runLoad({ url: gateway.url, tls: agent.tls, rate, requests }),
    cpuTicks: gateway.cpuTicks,
    residentMib: gateway.residentMib,
  };
}

async function peersOf(lab: GatewayLab): Promise<readonly Target[]> {
  return [await litellm(lab), await portkey(lab)];
}

async function portkey({ model }: GatewayLab): Promise<Target> {
  const { url, headers, child } = await startPortkey(model.url, directory);
  children.push(child);
  const measured = measure(child, url);
  const call = (form: Form): RawRequest => {
    const request = plain(BODIES[form], "sk-direct");
    return { ...request, headers: { ...request.headers, ...headers } };
  };
  return {
    name: "portkey",
    // A stream it answers with 500 on this Node: it changes headers of an answer that may not be changed.
    forms: ["json"],
    requests: async (count, form) => Array.from({ length: count }, () => call(form)),
    run: (requests, rate) => runLoad({ url, rate, requests }),
    cpuTicks: measured.cpuTicks,
    residentMib: measured.residentMib,
  };
}

async function litellm({ model }: GatewayLab): Promise<Target> {
  const { url, key, child } = await startLitellm(model.url, directory);
  children.push(child);
  const measured = measure(child, url);
  return {
    name: "litellm",
    forms: ["json", "stream"],
    requests: async (count, form) => Array.from({ length: count }, () => plain(BODIES[form], key)),
    run: (requests, rate) => runLoad({ url, rate, requests }),
    cpuTicks: measured.cpuTicks,
    residentMib: measured.residentMib,
  };
}

function print(rows: readonly Row[], targets: readonly Target[]): void {
  const residentMib = Object.fromEntries(targets.map(({ name, residentMib: read }) => [name, read()]));
  const versions = { ...describeVersions(), litellm: LITELLM_VERSION, portkey: PORTKEY_VERSION };
  const added = rows.map((row) => ({ ...row, ...addedTo(rows, row) }));
  const report = { machine, versions, seconds, results: added, resident_mib: residentMib };
  keepResult("gateway", report);
  if (options.json === true) return void process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  const { cpu, cores, os, load } = machine;
  const lines = added.map(
    ({ target, form, rate, achieved, late, refused, p50, p99, first_p50, added_p50, added_p99, cpu: used }) =>
      [target, form, rate, achieved, late, refused, p50, p99, first_p50, added_p50, added_p99, used].map(
        String,
      ),
  );
  const heads = [
    "target",
    "form",
    "rate",
    "got",
    "late",
    "refused",
    "p50",
    "p99",
    "first",
    "+p50",
    "+p99",
    "cpu",
  ];
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...lines.map((line) => line[column]?.length ?? 0)),
  );
  const text = [heads, ...lines].map((line) =>
    line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  "),
  );
  process.stdout.write(`${cpu}, ${cores} cores, ${os}; load ${load}\n${JSON.stringify(versions)}\n`);
  process.stdout.write(`${text.join("\n")}\nresident MiB: ${JSON.stringify(residentMib)}\n`);
}

/** What a target adds to the same call straight to the model. */
function addedTo(
  rows: readonly Row[],
  { form, rate, p50, p99 }: Row,
): { added_p50: number; added_p99: number } {
  const bare = rows.find((row) => row.target === "direct" && row.form === form && row.rate === rate);
  const round = (value: number) => Math.round(value * 100) / 100;
  return { added_p50: round(p50 - (bare?.p50 ?? 0)), added_p99: round(p99 - (bare?.p99 ?? 0)) };
}
