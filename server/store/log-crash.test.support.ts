/**
 * Kills a writer after each numbered step of the sequencer, and shows what must hold afterwards: every storage runs this
 * one matrix.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CRASH_POINTS } from "../../test/support/crash-points.ts";
import type { LogPlace } from "./log-place.test.support.ts";
import { auditPlace, startWriter } from "./log-writer-process.test.support.ts";

const HOOK = new URL("../../test/support/crash-hook.ts", import.meta.url);
/** Those between the write-ahead log and the end of its use, which is what a storage is asked for. */
const STEPS = CRASH_POINTS.filter(({ file }) => file.startsWith("core/agentledger/"));
/** Early, and in mid-work. */
const HITS = [1, 3];

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
