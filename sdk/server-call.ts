/** What the SDK asks the server for: one request of its API, with what may come back. */
import type { Agent } from "node:https";
import type { AnswerSchema } from "./server-answer.ts";

/** One call with JSON in and out. */
export interface ServerCall<T> {
  /** Whose connection: the caller's own SVID, or nobody's when absent. */
  readonly agent?: Agent | undefined;
  readonly listener?: "main" | "stop";
  readonly method: "GET" | "POST";
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Exact bytes that an intent is bound to. */
  readonly body?: Uint8Array | undefined;
  readonly schema: AnswerSchema<T>;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
}
