/**
 * Kills a writer after each numbered step of the sequencer, and shows what must hold afterwards: every storage runs this
 * one matrix.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { auditTiles } from "@trustwarden/core/agentledger/audit-tiles.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { CRASH_POINTS } from "../../test/support/crash-points.ts";
import { type LogPlace, patient, readerOf, sequencerOf } from "./log-place.test.support.ts";

const WRITER = join(import.meta.dirname, "log-writer.test.support.ts");
const HOOK = new URL("../../test/support/crash-hook.ts", import.meta.url);
/** Those between the write-ahead log and the end of its use, which is what a storage is asked for. */
const STEPS = CRASH_POINTS.filter(({ file }) => file.startsWith("core/agentledger/"));
/** Early, and in mid-work. */
const HITS = [1, 3];

/** A writer's process. */
export interface Writer {
  readonly child: ChildProcess;
  /** Acknowledged leaf hashes by index, as far as they were read. */
  readonly acknowledged: ReadonlyMap<number, string>;
  /** Resolves when the writer has said this word, or has ended. */
  said(word: string): Promise<void>;
  /** Resolves with the exit code, or the signal. */
  readonly ended: Promise<number | string | null>;
  /** What it wrote to standard error. */
  errors(): string;
}

/** Starts a writer; it waits for a line on its standard input. */
export function spawnWriter(
  place: LogPlace,
  {
    run,
    work,
    node = [],
    environment = {},
  }: {
    readonly run: string;
    readonly work: "endless" | "fixed" | "told";
    readonly node?: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
  },
): Writer {
  const child = spawn(process.execPath, [...node, WRITER, JSON.stringify(place), run, work], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  const acknowledged = new Map<number, string>();
  const words = new Set<string>();
  let rest = "";
  let errors = "";
  child.stdin.on("error", () => undefined);
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [index, leaf] = line.split(" ");
      if (leaf === undefined) words.add(line);
      else acknowledged.set(Number(index), leaf);
    }
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
  });
  const ended = once(child, "close").then(([code, signal]) => code ?? signal);
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const said = async (word: string) => {
    while (!words.has(word) && !isOver) await Promise.race([once(child.stdout, "data"), ended]);
  };
  return { child, acknowledged, said, ended, errors: () => errors };
}

/** Starts a writer that is at work when this returns, or has ended. */
export async function startWriter(
  place: LogPlace,
  options: Parameters<typeof spawnWriter>[1],
): Promise<Writer> {
  const writer = spawnWriter(place, options);
  await writer.said("ready");
  writer.child.stdin?.write("go\n");
  await writer.said("started");
  return writer;
}

/** Starts the log again and shows that everything acknowledged is there once and whole. @returns its size. */
export async function auditPlace(
  place: LogPlace,
  acknowledged: ReadonlyMap<number, string>,
): Promise<number> {
  const again = sequencerOf(patient(place));
  await again.start();
  try {
    const head = verifyCheckpoint(again.checkpoint(), again.vkey);
    expect(head.size).toBe(again.size);
    expect(await readerOf(place).readCheckpoint()).toBe(again.checkpoint());
    const texts: string[] = [];
    const report = ({ code, place: where }: { readonly code: string; readonly place: string }) =>
      expect.fail(`${code} at ${where}`);
    for await (const { entries } of auditTiles(readerOf(place), { head, report })) {
      for (const entry of entries) {
        const leaf = acknowledged.get(texts.length);
        if (leaf !== undefined) expect(encodeHex(leafHash(entry))).toBe(leaf);
        texts.push(Buffer.from(entry).toString());
      }
    }
    expect(texts.length).toBe(head.size);
    for (const index of acknowledged.keys()) expect(index).toBeLessThan(head.size);
    // Neighbours are kept together or not at all, and nothing is there twice.
    expect(new Set(texts).size).toBe(texts.length);
    for (let index = 0; index < texts.length; index += 2)
      expect(texts[index + 1]).toBe(texts[index]?.replace("part 0", "part 1"));
    return head.size;
  } finally {
    await again.stop();
  }
}

/** Registers the matrix for one storage. @param createPlace - a fresh log. */
export function describeLogCrashMatrix(name: string, createPlace: () => LogPlace): void {
  describe(`${name} keeps what it acknowledged`, () => {
    const folder = mkdtempSync(join(tmpdir(), "log-crash-"));
    const acknowledged = new Map<number, string>();
    let place: LogPlace | undefined;
    it.each(STEPS)("when its writer is killed at: $name (42)", async (point) => {
      place ??= createPlace();
      const plan = join(folder, "plan.json");
      const hook = new URL(HOOK);
      hook.searchParams.set("plan", plan);
      for (const hit of HITS) {
        writeFileSync(plan, JSON.stringify({ point: point.name, hit }));
        const writer = await startWriter(place, {
          run: `${point.name} ${hit}`,
          work: "endless",
          node: ["--import", hook.href],
        });
        expect([await writer.ended, writer.errors()]).toEqual(["SIGKILL", ""]);
        for (const [index, leaf] of writer.acknowledged) acknowledged.set(index, leaf);
        await auditPlace(place, acknowledged);
      }
    });

    it("of which there was enough", () => {
      rmSync(folder, { recursive: true, force: true });
      expect(acknowledged.size).toBeGreaterThan(20);
    });
  });
}
