/**
 * The last scenes: the thief, the stop, and the three questions, answered with proof and verified by a second program.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, type Shown } from "./playbill.ts";
import {
  type Agent,
  countInstances,
  OWNER,
  type PaymentAgent,
  type ServerPlace,
  TRUST_DOMAIN,
} from "./scenes.ts";
import { type JsonFacts, parseFacts, type Stage } from "./stage.ts";

/** The thief comes through in a twentieth of this on a quiet machine; a thief who does not is a failure. */
const THIEF_SECONDS = 10;
/** How long the payment agent works before it is stopped. */
const WORK_MS = 1_000;
/** The promise: nothing is allowed later than this after the call. */
const MAX_STOP_MS = 1_000;

const HERE = fileURLToPath(new URL("./", import.meta.url));

export async function letThiefIn({
  stage,
  server,
  finance,
  payment,
}: {
  readonly stage: Stage;
  readonly server: ServerPlace;
  readonly finance: string;
  readonly payment: PaymentAgent;
}): Promise<Shown<undefined>> {
  const before = await countState(stage);
  const report = await raid(stage, { main: server.url, stop: server.stopUrl, finance });
  const { replay, forging, minting } = {
    replay: partOf(report, "replay"),
    forging: partOf(report, "forging"),
    minting: partOf(report, "minting"),
  };
  const successes = [replay, forging, minting].flatMap((part) => listOf(part.successes));
  expect(successes.length === 0, `the thief gets nothing, and not ${successes.slice(0, 3).join("; ")}`);
  expect(Number(report.strings) > 100 && Number(report.certificates) > 0, "the thief finds something to try");
  expect(Number(minting.tickets_and_grants) > 0, "the thief finds used tickets and grants to try");
  expect(Number(report.private_keys) === 0, "no private key in the data directory parses");
  expect((await countState(stage)) === before, "nothing was minted");
  const control = await payment.player.ask("read", { url: finance });
  expect(control.status === 200, "the rightful call still succeeds");
  const recorded = await stage.warden("ledger", "query", "--kind", "refuse", "--limit", "1");
  expect(listOf(recorded.events).length > 0, "the ledger records that somebody was refused");
  const attempts = Number(replay.each_role) + Number(replay.each_route) + Number(forging.attempts);
  return {
    detail:
      `copied ${report.files} files; replayed ${report.strings} strings in 4 roles, ${report.certificates} certificates, ` +
      `${minting.tickets_and_grants} used tickets:\n${attempts} attempts (every string in every role on ${report.routes} routes in turn, then ${THIEF_SECONDS} s of every string on every\nroute; attack D1 goes on to the end), 0 let in, nothing minted; the rightful call succeeds`,
    row: ["A stolen data directory is worthless", `0 of ${attempts} attempts let in, 0 usable keys`],
    value: undefined,
  };
}

export async function stopPaymentAgent({
  stage,
  payment,
  bystanders,
  finance,
}: {
  readonly stage: Stage;
  readonly payment: PaymentAgent;
  readonly bystanders: readonly Agent[];
  readonly finance: string;
}): Promise<Shown<undefined>> {
  const work = payment.player.ask("loop", { url: finance });
  await new Promise((resolve) => setTimeout(resolve, WORK_MS));
  const stopped = await stage.warden("stop", "payment-agent", "--reason", "quickstart");
  const { allowed, refused } = await work;
  const calledAtMs = Number(stopped.called_at_ms);
  const times = actionTimes(stage, payment);
  const lastAllowedMs = Math.max(...times) - calledAtMs;
  expect(
    times.some((time) => time < calledAtMs),
    "the agent was at work when it was stopped",
  );
  expect(
    lastAllowedMs <= MAX_STOP_MS,
    `the last allowed action is within a second, and not ${lastAllowedMs} ms`,
  );
  expect(
    Math.max(...times) <= Number(stopped.answered_at_ms),
    "nothing was allowed after the stop was certain",
  );
  for (const { player, id } of bystanders) {
    const { status } = await player.ask("read", { url: finance });
    expect(status === 200, `${id} goes on`);
  }
  const after = lastAllowedMs < 0 ? `${-lastAllowedMs} ms before` : `${lastAllowedMs} ms after`;
  const certainMs = Number(stopped.answered_at_ms) - calledAtMs;
  return {
    detail:
      `stopped while it worked (${allowed} writes allowed, then only refusals: ${refused}): the last allowed action was\n` +
      `${after} the call, certain after ${certainMs} ms (${stopped.acked} verifier acknowledged); the others go on`,
    row: ["How do we stop it?", `last allowed action ${after} the call; the rest goes on`],
    value: undefined,
  };
}

export async function askThreeQuestions({
  stage,
  payment,
}: {
  readonly stage: Stage;
  readonly payment: PaymentAgent;
}): Promise<Shown<undefined>> {
  const who = await stage.warden("who", payment.eventId);
  expect(
    who.agent_identity === payment.id && who.outcome === "success",
    "the ledger names the payment agent",
  );
  const why = await stage.warden("why", payment.eventId);
  const links = listOf(why.links).map((link) => partOf({ link }, "link"));
  expect(links.length === 2, "the chain has the orchestrator and the payment agent");
  expect(
    String(links[0]?.by).startsWith("ticket signed by owner own_"),
    "the chain starts at an owner's signature",
  );
  expect(
    [who, why].every((answer) => partOf(answer, "proof").verified === true),
    "both answers are proven",
  );
  return {
    detail: `row ${payment.row} was written by ${payment.agentId} (payment-agent), permitted by ${OWNER}'s signed ticket\nand the orchestrator's signed grant, decided by ${String(why.authorized_by).split("@")[0]}; every signature verified`,
    row: [
      "Which agent? Who authorized it?",
      `${OWNER} → orchestrator → payment-agent, proven from the ledger`,
    ],
    value: undefined,
  };
}

export async function verifyOffline({
  stage,
  payment,
}: {
  readonly stage: Stage;
  readonly payment: PaymentAgent;
}): Promise<Shown<undefined>> {
  const directory = stage.places.export;
  const { size, vkey } = await stage.warden("ledger", "export", directory);
  await stage.warden("ledger", "verify", directory);
  const verify = (log: string) =>
    stage.run(
      join(HERE, "verify-offline.mjs"),
      log,
      "--vkey",
      String(vkey),
      "--bundle",
      join(directory, "bundle.json"),
      "--event",
      payment.eventId,
    );
  const honest = await verify(directory);
  expect(honest.exitCode === 0, `the second program verifies the export: ${honest.stderr}${honest.stdout}`);
  expect(honest.stdout.includes(payment.id), "the second program names the payment agent");
  const altered = await verify(alterOneBit(stage));
  expect(altered.exitCode !== 0, "the second program notices one flipped bit");
  return {
    detail: `a second program that shares no code verified all ${size} entries and gave the same answers;\nwith one bit flipped in a copy it refuses`,
    row: [
      "Proof without trusting us",
      `${size} entries verified offline; one flipped bit is noticed; unwitnessed`,
    ],
    value: undefined,
  };
}

/** Lets the thief run as a process of its own, with a plan that holds only addresses. */
async function raid(
  stage: Stage,
  origins: { readonly main: string; readonly stop: string; readonly finance: string },
): Promise<JsonFacts> {
  const { root, dataDir } = stage.places;
  const den = join(root, "thief");
  mkdirSync(den, { mode: 0o700 });
  const openapi = join(den, "openapi.json");
  writeFileSync(openapi, await stage.fetchAsOperator("/v1/openapi.json"));
  const plan = join(den, "plan.json");
  const aims = {
    data_dir: dataDir,
    copy_dir: den,
    openapi,
    trust_domain: TRUST_DOMAIN,
    seconds: THIEF_SECONDS,
  };
  writeFileSync(plan, JSON.stringify({ ...aims, ...origins }));
  const { exitCode, stdout, stderr } = await stage.run(join(HERE, "thief.ts"), plan);
  if (exitCode !== 0) throw new Error(`the thief broke down: ${stderr}`);
  return parseFacts(stdout);
}

/** What minting would change. */
async function countState(stage: Stage): Promise<string> {
  const { owners } = await stage.warden("owner", "list");
  return `${listOf(owners).length} owners, ${await countInstances(stage)} instances`;
}

/** When the payment agent's actions were carried out, by the service's own log; Unix milliseconds. */
function actionTimes(stage: Stage, payment: PaymentAgent): readonly number[] {
  return readFileSync(stage.places.financeLog, "utf8")
    .trim()
    .split("\n")
    .map(parseFacts)
    .filter((line) => line.agent_id === payment.agentId)
    .map((line) => Number(line.at_ms));
}

/** A copy of the export with one bit of the first entry bundle flipped. */
function alterOneBit(stage: Stage): string {
  const copy = `${stage.places.export}-altered`;
  cpSync(stage.places.export, copy, { recursive: true });
  const bundle = findFirst(join(copy, "tile", "entries"));
  const bytes = readFileSync(bundle);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(bundle, bytes);
  return copy;
}

/** The first file of a directory and those below it. */
function findFirst(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const [first] = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  if (first === undefined) throw new Error("the export has no entries");
  return first;
}

function partOf(facts: JsonFacts, name: string): JsonFacts {
  const value = facts[name];
  if (typeof value !== "object" || value === null) throw new Error(`${name} was expected`);
  return { ...value };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
