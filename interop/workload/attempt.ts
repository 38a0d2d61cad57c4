/** What is tried for a verdict, and waited for. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Verdict } from "../judge.ts";

/** SPIRE's agent asks its server every five seconds. */
const PATIENCE_MS = 45_000;
const POLL_MS = 200;

/** A verdict on something that has to work, or has to be refused, by whether it throws. */
export async function attempt(
  name: string,
  expected: Verdict["expected"],
  work: () => Promise<unknown>,
): Promise<Verdict> {
  try {
    await work();
    return { name, expected, isAccepted: true };
  } catch (error) {
    const said = error instanceof Error ? error.message.slice(0, 300) : String(error);
    return { name, expected, isAccepted: false, said };
  }
}

/** @throws Error when it is not true in time. */
export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error("it did not happen in time");
    await sleep(POLL_MS);
  }
}
