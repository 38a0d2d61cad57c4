/** kill -9 in the middle of a load: what was answered is there, and the rest is whole or absent. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  contextAt,
  createTestAuthority,
  createTestKey,
  NOW_MS,
  RULES,
} from "./commands/fixture.test.support.ts";
import { createSqliteStore, type SqliteStore } from "./sqlite.ts";

const KILLS = 5;
/** Lines to wait for before the kill; differs a round, so that the kill falls elsewhere in a group. */
const LINES_BEFORE_KILL = [3, 40, 77, 120, 160];

const authority = createTestAuthority();
const quotas = {
  agentsPerOwner: 100_000,
  liveInstancesPerOwner: 100_000,
  issuesPerOwnerPerHour: 100_000,
  easyAgentsPerOwnerPerMinute: 100_000,
};
const rules = { ...RULES, quotas };
let dataDir: string;
let ownerId: string;

const open = (): Promise<SqliteStore> =>
  createSqliteStore({ dataDir, keys: authority.keys, rules, nowMs: () => NOW_MS, onFatal: () => {} });

/** The child's program: issues without end and prints each instance after its answer. */
const PROGRAM = `
import { readFileSync, writeSync } from "node:fs";
import { deserialize } from "node:v8";
const [file, base] = process.argv.slice(2);
const { createSqliteStore } = await import(base + "/sqlite.ts");
const { ticketCommand } = await import(base + "/commands/fixture.test.support.ts");
const { options, ownerId, prefix } = deserialize(readFileSync(file));
const store = await createSqliteStore({ ...options, nowMs: () => 0, onFatal: () => process.exit(1) });
const worker = async (lane) => {
  for (let number = 0; ; number += 1) {
    const { value, outboxId } = await store.commands.issue(ticketCommand(ownerId, { name: prefix + lane + "x" + number }));
    writeSync(1, value.instanceId + " " + outboxId + "\\n");
  }
};
await Promise.all(Array.from({ length: 16 }, (_, lane) => worker(lane)));
`;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "tw-crash-"));
  const store = await open();
  await store.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
  const { spki } = createTestKey();
  ownerId = (await store.commands.createOwner({ context: contextAt(NOW_MS), name: "alice", spki })).value
    .ownerId;
  await store.close();
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

/** Runs the program until it has printed so many lines, kills it, and returns every whole line. */
async function runUntilKilled(round: number, lines: number): Promise<readonly string[]> {
  const { serialize } = await import("node:v8");
  const options = { dataDir, keys: authority.keys, rules };
  const file = join(dataDir, `round-${round}.bin`);
  const program = join(dataDir, "program.mjs");
  writeFileSync(file, serialize({ options, ownerId, prefix: `r${round}` }));
  writeFileSync(program, PROGRAM);
  const base = fileURLToPath(new URL(".", import.meta.url)).replace(/\/$/, "");
  const child = spawn(process.execPath, [program, file, base], { stdio: ["ignore", "pipe", "inherit"] });
  const answered: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    answered.push(line);
    if (answered.length === lines) child.kill("SIGKILL");
  }
  return answered.filter((line) => /^inst-[0-9A-Z]{26} \d+$/.test(line));
}

test("I4 no answered command is lost, and each instance has its event", { timeout: 60_000 }, async () => {
  const answered: string[] = [];
  for (let round = 0; round < KILLS; round += 1) {
    answered.push(...(await runUntilKilled(round, LINES_BEFORE_KILL[round] ?? 50)));
    const store = await open();
    const outboxIds = new Set(store.reads.pendingEntries().map(({ outboxId }) => outboxId));
    for (const line of answered) {
      const [instanceId = "", outboxId] = line.split(" ");
      expect(store.reads.findInstance(instanceId)).toMatchObject({ instanceId, isRevoked: false });
      expect(outboxIds.has(Number(outboxId))).toBe(true);
    }
    // The server's SVID and the owner are the two events without an instance.
    expect(store.reads.counts().liveInstances).toBe(outboxIds.size - 2);
    await store.close();
  }
  expect(answered.length).toBeGreaterThanOrEqual(400);
});
