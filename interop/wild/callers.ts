/** Lets every caller try, and compares what became of it with what had to. */
import { setTimeout } from "node:timers/promises";
import { runCommand } from "../command.ts";
import type { Verdict } from "../judge.ts";
import { asCaller, CALLERS, type Caller, type WildDomain } from "./wild-domain.ts";

const TIMEOUT_MS = 15_000;
/** A program that reads its files again says not when it is done. */
const RELOAD_TRIES = 40;
const RELOAD_PAUSE_MS = 250;

/** A live one also at the end: whoever refuses everybody has not understood. */
const ALL: readonly Caller[] = [
  "live",
  "of another class",
  "expired",
  "foreign",
  "revoked",
  "anonymous",
  "live",
];

/** How a caller tries. */
export interface Trial {
  readonly name: string;
  /** Shell lines of a guide. */
  readonly client: string;
  /** What standard output holds when the caller got in. */
  readonly success: RegExp;
  /** Where it differs from what every recipe should do. */
  readonly expected?: Partial<Record<Caller, "accept" | "refuse">>;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the one to be revoked has been, in an earlier trial. */
  readonly isRevoked?: boolean;
  /** Reads the lists again, or starts what serves the next try. */
  readonly refresh: () => Promise<void>;
}

/**
 * Every caller's try, and before them that of the one which is about to be revoked: it gets in, is revoked, and no longer
 * gets in once the program has read the new list.
 */
export async function letCallersTry(wild: WildDomain, trial: Trial): Promise<readonly Verdict[]> {
  await trial.refresh();
  const verdicts = trial.isRevoked === true ? [] : [await tryAndRevoke(wild, trial)];
  for (const caller of ALL) {
    verdicts.push(await tryOnce(wild, trial, caller));
    await trial.refresh();
  }
  return verdicts;
}

async function tryAndRevoke(wild: WildDomain, trial: Trial): Promise<Verdict> {
  const before = await tryOnce(wild, trial, "revoked");
  await wild.revoke();
  await trial.refresh();
  await awaitRefusal(wild, trial);
  return { ...before, name: `${trial.name}: before its revocation`, expected: "accept" };
}

/** Gives the program time to take the list in; that it did is what the verdicts then say. */
async function awaitRefusal(wild: WildDomain, trial: Trial): Promise<void> {
  for (let attempt = 0; attempt < RELOAD_TRIES; attempt += 1) {
    const { isAccepted } = await tryOnce(wild, trial, "revoked");
    await trial.refresh();
    if (!isAccepted) return;
    await setTimeout(RELOAD_PAUSE_MS);
  }
}

async function tryOnce(wild: WildDomain, trial: Trial, caller: Caller): Promise<Verdict> {
  const { name, client, success, expected, env = {} } = trial;
  const lines = asCaller(wild, client, caller);
  const { code, stdout, stderr } = await runCommand("sh", ["-c", lines], { timeoutMs: TIMEOUT_MS, env });
  return {
    name: `${name}: ${caller}`,
    expected: expected?.[caller] ?? CALLERS[caller],
    isAccepted: code === 0 && success.test(stdout),
    said: `${code}: ${stdout.trim()} ${stderr.trim()}`.slice(0, 300),
  };
}
