/**
 * How a program that runs until it is asked to end hears that it is.
 *
 * Listened to before anybody is told that the program is ready: whoever reads that may ask at once, and would kill it instead.
 */
import { once } from "node:events";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
/** The exit code of a shell for a process that was ended by SIGINT. */
const INTERRUPTED = 130;

/** Resolves at the first signal; hears it from the call on. */
export async function askedToEnd(): Promise<void> {
  await Promise.race(SIGNALS.map((signal) => once(process, signal)));
}

/** A second signal does not wait for the graceful end. */
export function endAtNextSignal(): void {
  for (const signal of SIGNALS) process.once(signal, () => process.exit(INTERRUPTED));
}
