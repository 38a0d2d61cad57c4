/**
 * What the quickstart prints: one line a scene with a mark and its time, and the table at the end.
 */

/** What a scene showed, and what later scenes need of it. */
export interface Shown<T> {
  /** One sentence for the scene's line. */
  readonly detail: string;
  /** A row of the table at the end. */
  readonly row: readonly [claim: string, evidence: string];
  readonly value: T;
}

/** A scene did not hold; its line has been printed, and later scenes, which build on it, do not run. */
export class SceneFailed extends Error {}

/** Owns the lines printed so far. */
export class Playbill {
  readonly #rows: (readonly [string, string])[] = [];
  readonly #startedMs = Date.now();

  /** Runs a scene and prints its line. @throws SceneFailed */
  async scene<T>(title: string, run: () => Promise<Shown<T>>): Promise<T> {
    const startedMs = Date.now();
    try {
      const { detail, row, value } = await run();
      this.#rows.push(row);
      printLine("✓", { title, startedMs, text: detail });
      return value;
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      printLine("✗", { title, startedMs, text });
      throw new SceneFailed(title, { cause });
    }
  }

  /** Prints the table, and how long everything took. */
  finish({ hasFailed }: { readonly hasFailed: boolean }): void {
    const width = Math.max(0, ...this.#rows.map(([claim]) => claim.length));
    console.log("\nWhat was shown");
    for (const [claim, evidence] of this.#rows) console.log(`  ${claim.padEnd(width)}   ${evidence}`);
    const seconds = ((Date.now() - this.#startedMs) / 1000).toFixed(1);
    console.log(
      hasFailed ? `\nFailed after ${seconds} s: the line marked ✗ says what did not hold.` : ending(seconds),
    );
  }
}

/** Ends the scene unless the condition holds. */
export function expect(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new Error(`this did not hold: ${claim}`);
}

function ending(seconds: string): string {
  return [
    `\nAll of it held, in ${seconds} s. One honest limit: this ledger is unwitnessed. Nobody outside has countersigned`,
    "it, so it shows tampering to whoever kept an earlier checkpoint or receipt, and not yet to everybody else.",
  ].join("\n");
}

function printLine(
  mark: "✓" | "✗",
  { title, startedMs, text }: { readonly title: string; readonly startedMs: number; readonly text: string },
): void {
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1).padStart(5);
  const [first = "", ...rest] = text.split("\n");
  console.log(`${mark} ${seconds} s  ${title.padEnd(14)} ${first}`);
  for (const line of rest) console.log(`${" ".repeat(26)}${line}`);
}
