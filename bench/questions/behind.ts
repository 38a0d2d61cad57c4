/**
 * What a server does whose search index is gone, while it makes it again from the log.
 *
 *   node bench/questions/behind.ts [--visits 10000]
 *
 * A real server decides the visits and ends; `index.db` is removed; another start on the same data. From when it is ready until its
 * index has come up to the log, a visit is decided and its outcome recorded, one after the other, agents are stopped, and a question
 * is asked, which has to be refused with `ledger_index_behind`.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  createOwner,
  enrolAgent,
  enrolVerifier,
  ownerRequest,
  serverIdOf,
  type TestInstance,
} from "../../test/support/actors.ts";
import { codeOf, jsonOf, send, sendAdmin } from "../../test/support/http.ts";
import type { TestServer } from "../../test/support/server.ts";
import { NO_RATES, startWarden } from "../gateway/lab.ts";
import { describeMachine } from "../machine.ts";
import { percentile } from "../measure.ts";
import { decideVisits } from "../overload/visits.ts";
import { end } from "../warden.ts";

/** Agents to stop, one after the other. */
const VICTIMS = 20;

const { values } = parseArgs({ options: { visits: { type: "string", default: "10000" } } });

async function indexedOf({
  adminSocket,
}: TestServer): Promise<{ readonly size: number; readonly indexed: number }> {
  const { ledger } = jsonOf(await sendAdmin(adminSocket, { target: "/v1/status" }));
  const { size, indexed_size: indexed } = Object(ledger);
  return { size: Number(size), indexed: Number(indexed) };
}

const directory = mkdtempSync(join(tmpdir(), "behind-"));
const children: ChildProcess[] = [];
try {
  const data = join(directory, "data");
  const options = { settings: { intake: NO_RATES }, further: ["--log-level", "info"] };
  const up = () => startWarden(children, directory, options);
  const first = await up();
  const before = first.server;
  const owner = await createOwner(before);
  const agent = await enrolAgent(before, owner, { scope: ["read:transactions"] });
  const service = await enrolVerifier(before);
  const victims: TestInstance[] = [];
  for (let made = 0; made < VICTIMS; made += 1)
    victims.push(await enrolAgent(before, owner, { scope: ["read:transactions"], name: `stopped-${made}` }));
  await decideVisits(before, { agent, service, count: Number(values.visits) });
  await end(first.child);
  for (const name of readdirSync(data)) if (name.startsWith("index.db")) rmSync(join(data, name));

  const startedMs = performance.now();
  const { server } = await up();
  const readyMs = performance.now() - startedMs;
  const aud = await serverIdOf(server);
  const visitMs: number[] = [];
  const stopMs: number[] = [];
  const answers = new Map<string, number>();
  const atReady = await indexedOf(server);
  for (let now = atReady; now.indexed < now.size; now = await indexedOf(server)) {
    const question = await sendAdmin(server.adminSocket, { target: "/v1/events?limit=1" });
    const said = question.status === 200 ? "answered" : `${question.status} ${String(codeOf(question))}`;
    answers.set(said, (answers.get(said) ?? 0) + 1);
    const askedMs = performance.now();
    await decideVisits(server, { agent, service, count: 1 });
    visitMs.push(performance.now() - askedMs);
    const victim = victims.pop();
    if (victim === undefined) continue;
    const body = JSON.stringify({ target: { kind: "instance", id: victim.answer.instance_id } });
    const stoppedMs = performance.now();
    const request = ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
    const { status, text } = await send(server.stopUrl, request);
    if (status !== 200) throw new Error(`a stop was answered ${status} ${text}`);
    stopMs.push(performance.now() - stoppedMs);
  }
  if (visitMs.length === 0) throw new Error("the index had come up before anything was asked: more --visits");
  const indexedMs = performance.now() - startedMs;
  const times = (ms: readonly number[]) => ({
    count: ms.length,
    p50: percentile(ms, 50),
    p99: percentile(ms, 99),
  });
  console.log(
    JSON.stringify(
      {
        machine: describeMachine(),
        readyMs,
        atReady,
        indexedMs,
        visitMs: times(visitMs),
        stopMs: times(stopMs),
        answers: Object.fromEntries(answers),
      },
      null,
      2,
    ),
  );
} finally {
  for (const child of children.toReversed()) await end(child);
  rmSync(directory, { recursive: true, force: true });
}
