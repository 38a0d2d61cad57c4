/**
 * Load at a rate that does not wait for answers: requests leave on time, or are counted as late.
 *
 * A generator that waits for slow answers measures only what the slow one lets it; this one keeps its rate, with a bound on
 * what may be in flight, beyond which the target has not sustained the rate and the figure says so.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import type { ClientTls, RawRequest } from "../../test/support/http.ts";

const MAX_IN_FLIGHT = 512;
const CONNECTIONS = 64;
const MS_PER_SECOND = 1000;
/** Of a refusal's body: its code is near the front. */
const MAX_REASON = 120;
/** What a server answers that has no place for a request (docs/decisions/0056). */
const OVERLOADED = { status: 429, code: '"overloaded"' } as const;

/** Where to, and how hard. */
export interface Load {
  /** Origin. */
  readonly url: string;
  readonly tls?: ClientTls | undefined;
  /** Requests a second. */
  readonly rate: number;
  /** One for each moment; sent once each. */
  readonly requests: readonly RawRequest[];
  /** Which answers are broken off once they have begun. */
  readonly breaksOff?: (index: number) => boolean;
}

/** What came of it. Milliseconds. */
export interface LoadResult {
  /** To the last byte. */
  readonly wholeMs: readonly number[];
  /** To the first byte of the body. */
  readonly firstMs: readonly number[];
  /** Answers other than 200, and connections that broke. */
  readonly failed: number;
  /** Of the failed, those that the target refused as `overloaded`. */
  readonly refused: number;
  /** How often each status with its code, or error, was among the failed. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Not sent, since too many were in flight. */
  readonly late: number;
  /** Answers a second. */
  readonly achieved: number;
}

/** Runs the load; resolves when the last answer is here. */
export async function runLoad({ url, tls, rate, requests, breaksOff }: Load): Promise<LoadResult> {
  const pool = new Pool(url, {
    connections: CONNECTIONS,
    pipelining: 1,
    ...(tls === undefined ? {} : { connect: { ...tls, rejectUnauthorized: false } }),
  });
  const wholeMs: number[] = [];
  const firstMs: number[] = [];
  let [failed, refused, late, inFlight] = [0, 0, 0, 0];
  const reasons: Record<string, number> = {};
  const fail = (reason: string): void => {
    failed += 1;
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  };
  const one = async ({ method = "GET", target, headers, body }: RawRequest, index: number): Promise<void> => {
    const startedMs = performance.now();
    inFlight += 1;
    try {
      const answer = await pool.request({
        path: target,
        method: method === "POST" ? "POST" : "GET",
        headers: { "content-type": "application/json", ...headers },
        body: body ?? null,
      });
      if (answer.statusCode !== 200) {
        const text = await answer.body.text();
        if (answer.statusCode === OVERLOADED.status && text.includes(OVERLOADED.code)) refused += 1;
        fail(`${answer.statusCode} ${text.slice(0, MAX_REASON)}`);
        return;
      }
      const breaks = breaksOff?.(index) === true;
      await readBody(answer.body, breaks, () => firstMs.push(performance.now() - startedMs));
      wholeMs.push(performance.now() - startedMs);
    } catch (error) {
      // Counted: the report says how many, and a run with failures means nothing.
      fail(error instanceof Error ? error.message : "unknown");
    } finally {
      inFlight -= 1;
    }
  };
  const startedMs = performance.now();
  const sent: Promise<void>[] = [];
  for (const [index, request] of requests.entries()) {
    const waitMs = startedMs + (index * MS_PER_SECOND) / rate - performance.now();
    // Timers are as coarse as a millisecond: what is due by then leaves together.
    if (waitMs > 1) await sleep(waitMs);
    if (inFlight >= MAX_IN_FLIGHT) late += 1;
    else sent.push(one(request, index));
  }
  await Promise.all(sent);
  const seconds = (performance.now() - startedMs) / MS_PER_SECOND;
  await pool.destroy();
  return { wholeMs, firstMs, failed, refused, reasons, late, achieved: Math.round(wholeMs.length / seconds) };
}

/** To the end, or to the first part of an answer that is to be broken off. */
async function readBody(body: AsyncIterable<unknown>, breaks: boolean, onFirst: () => void): Promise<void> {
  let parts = 0;
  for await (const _part of body) {
    if (parts === 0) onFirst();
    parts += 1;
    if (breaks) return;
  }
}
