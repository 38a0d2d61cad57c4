/** What one check of `warden doctor` says, and the ways to say it. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { explainFailure } from "./failure.ts";

/** Long before answers are refused for it; more apart means that a machine was suspended or its clock was set. */
const MAX_CLOCK_APART_MS = 5000;

/** What one check found. */
export interface Check {
  readonly name: string;
  readonly state: "good" | "bad" | "unknown";
  readonly found: string;
  /** Empty when there is nothing to do. */
  readonly next: string;
}

/** A check that needs the server; without one the answer is unknown, not bad. */
export async function attempt(name: string, check: () => Promise<Check>): Promise<Check> {
  try {
    return await check();
  } catch (error) {
    const { why, next } = explainFailure(error, "");
    const isAbsent = error instanceof TrustWardenError && error.code === "server_unreachable";
    return isAbsent ? unknown(name, why, next) : bad(name, why, next);
  }
}

export function good(name: string, found: string): Check {
  return { name, state: "good", found, next: "" };
}

export function bad(name: string, found: string, next: string): Check {
  return { name, state: "bad", found, next };
}

export function unknown(name: string, found: string, next: string): Check {
  return { name, state: "unknown", found, next };
}

/** How far a clock is from this one. @param apartMs - either way. */
export function judgeClock(
  name: string,
  { whose, apartMs, next }: { readonly whose: string; readonly apartMs: number; readonly next: string },
): Check {
  const apart = Math.abs(apartMs);
  return apart <= MAX_CLOCK_APART_MS
    ? good(name, `${whose} clock and this one agree within ${Math.ceil(apart / 1000)} s`)
    : bad(name, `${whose} clock is ${Math.round(apart / 1000)} s apart`, next);
}
