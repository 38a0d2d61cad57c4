/** Writers in processes of their own, which a test ends or disturbs, and what must hold of their log afterwards. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { auditTiles } from "@trustwarden/core/agentledger/audit-tiles.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { type LogPlace, patient, readerOf, sequencerOf } from "./log-place.test.support.ts";

const WRITER = join(import.meta.dirname, "log-writer.test.support.ts");

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
    assert.equal(head.size, again.size, "the checkpoint covers the log");
    assert.equal(await readerOf(place).readCheckpoint(), again.checkpoint(), "the checkpoint is shown");
    const texts: string[] = [];
    const report = ({ code, place: where }: { readonly code: string; readonly place: string }) =>
      assert.fail(`${code} at ${where}`);
    for await (const { entries } of auditTiles(readerOf(place), { head, report })) {
      for (const entry of entries) {
        const leaf = acknowledged.get(texts.length);
        if (leaf !== undefined) assert.equal(encodeHex(leafHash(entry)), leaf, "an entry is as acknowledged");
        texts.push(Buffer.from(entry).toString());
      }
    }
    assert.equal(texts.length, head.size);
    for (const index of acknowledged.keys()) assert.ok(index < head.size, `entry ${index} is lost`);
    assert.equal(new Set(texts).size, texts.length, "nothing is there twice");
    const halves = texts.filter(
      (text, at) => at % 2 === 0 && texts[at + 1] !== text.replace("part 0", "part 1"),
    );
    assert.deepEqual(halves, [], "neighbours are kept together or not at all");
    return head.size;
  } finally {
    await again.stop();
  }
}
