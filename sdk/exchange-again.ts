/** When an exchange that changes nothing is made again: after it broke off, and when the server asks to come later. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "./runtime.ts";
import type { RawAnswer } from "./server-answer.ts";

const RETRY_MS = 100;
const TURNED_AWAY = 429;
/** Whoever is asked to wait longer hears of it instead. */
const MAX_WAIT_SECONDS = 10;

/**
 * The answer of the last attempt.
 *
 * @param options.attempts - 1 for whatever acts: an intent is never sent twice.
 * @throws TrustWardenError `server_unreachable` when no attempt had an answer; whatever else an exchange throws.
 */
export async function exchangeAgain(
  exchange: () => Promise<RawAnswer>,
  { attempts, runtime }: { readonly attempts: number; readonly runtime: Runtime },
): Promise<RawAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await exchange();
      const { status, retryAfterSeconds } = answer;
      const isLater = status === TURNED_AWAY && (retryAfterSeconds ?? Infinity) <= MAX_WAIT_SECONDS;
      if (attempt >= attempts || !isLater || retryAfterSeconds === undefined) return answer;
      // Not before it was asked for, and not together with all others who were turned away.
      await sleep(retryAfterSeconds * 1000 * (1 + jitter(runtime)));
    } catch (error) {
      if (attempt >= attempts || !isTransient(error)) throw error;
      await sleep(RETRY_MS * 2 ** attempt * (0.5 + jitter(runtime)));
    }
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof TrustWardenError && error.code === "server_unreachable";
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
