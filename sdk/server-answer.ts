/**
 * Reads what the server answers: a typed value, or its refusal as the error it means.
 */
import type { IncomingHttpHeaders } from "node:http";
import { errorAnswer } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { type ErrorCode, type ErrorDetails, isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJson } from "@trustwarden/core/json.ts";
import type { z } from "zod";

/** The part of a zod schema that reading needs. */
export interface AnswerSchema<T> {
  parse(value: unknown): T;
}

/** An answer as it came off the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly body: Uint8Array;
  /** `Retry-After` in seconds; undefined without one, or in another form. */
  readonly retryAfterSeconds?: number | undefined;
  readonly etag?: string | undefined;
  /** Bits of the work that would do; undefined where none is asked for. */
  readonly workBits?: number | undefined;
}

/** The longest wait that we take from a server; whoever asks for more is asked again after this. */
const MAX_RETRY_AFTER_SECONDS = 60;
const WORK_BITS = /^\d{1,2}$/;

/** `Retry-After` as seconds (RFC 9110 §10.2.3); we never send, and never read, a date. */
export function parseRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,6}$/.test(value)) return undefined;
  return Math.min(Number(value), MAX_RETRY_AFTER_SECONDS);
}

/** What headers say beside the answer. */
export function hintsOf(headers: IncomingHttpHeaders): Omit<RawAnswer, "status" | "body"> {
  const { "retry-after": wait, "trustwarden-work": work, etag } = headers;
  const workBits = typeof work === "string" && WORK_BITS.test(work) ? Number(work) : undefined;
  return { retryAfterSeconds: parseRetryAfter(wait), etag, workBits };
}

/** The work that would do, as a refusal says it; undefined for any other error. */
export function workBitsAsked(error: unknown): number | undefined {
  if (!(error instanceof TrustWardenError) || error.code !== "registration_costly") return undefined;
  const { workBits } = error.details;
  return typeof workBits === "number" ? workBits : undefined;
}

/** How long a server that turned a request away asks us to wait; undefined when it did not, or did not say. */
export function retryAfterOf(error: unknown): number | undefined {
  if (!(error instanceof TrustWardenError)) return undefined;
  const { status, retryAfterSeconds } = error.details;
  return status === 429 && typeof retryAfterSeconds === "number" ? retryAfterSeconds : undefined;
}

/**
 * The value of a good answer.
 *
 * @throws TrustWardenError the server's own code, with its counter-example in the details; `server_unreachable` when
 *   what came is not an answer of ours.
 */
export function parseAnswer<T>(answer: RawAnswer, schema: AnswerSchema<T>): T {
  const { status, body } = answer;
  if (status < 200 || status > 299) throw parseRefusal(answer);
  try {
    return schema.parse(parseJson(parseUtf8(body)));
  } catch (cause) {
    throw new TrustWardenError("server_unreachable", { reason: "unexpected answer", status }, { cause });
  }
}

/** The refusal of a part of an answer, or of the whole. */
export function refusalOf(
  { error }: z.infer<typeof errorAnswer>,
  hints: ErrorDetails = {},
): TrustWardenError {
  const code: ErrorCode = isErrorCode(error.code) ? error.code : "internal";
  const details = { ...hints, from: "server" };
  const { counterexample } = error;
  return new TrustWardenError(code, counterexample === undefined ? details : { ...details, counterexample });
}

/** The refusal in an answer; what is no refusal of ours keeps its status and says nothing else. */
export function parseRefusal({ status, body, retryAfterSeconds, workBits }: RawAnswer): TrustWardenError {
  try {
    const wait = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
    const work = workBits === undefined ? {} : { workBits };
    return refusalOf(errorAnswer.parse(parseJson(parseUtf8(body))), { status, ...wait, ...work });
  } catch (cause) {
    return new TrustWardenError("server_unreachable", { reason: "unexpected answer", status }, { cause });
  }
}
