/**
 * Reads what the server answers: a typed value, or its refusal as the error it means.
 */
import { errorAnswer } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { type ErrorCode, isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJson } from "@trustwarden/core/json.ts";

/** The part of a zod schema that reading needs. */
export interface AnswerSchema<T> {
  parse(value: unknown): T;
}

/** An answer as it came off the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/**
 * The value of a good answer.
 *
 * @throws TrustWardenError the server's own code, with its counter-example in the details; `server_unreachable` when
 *   what came is not an answer of ours.
 */
export function parseAnswer<T>({ status, body }: RawAnswer, schema: AnswerSchema<T>): T {
  if (status < 200 || status > 299) throw parseRefusal({ status, body });
  try {
    return schema.parse(parseJson(parseUtf8(body)));
  } catch (cause) {
    throw new TrustWardenError("server_unreachable", { reason: "unexpected answer", status }, { cause });
  }
}

/** The refusal in an answer; what is no refusal of ours keeps its status and says nothing else. */
export function parseRefusal({ status, body }: RawAnswer): TrustWardenError {
  try {
    const { error } = errorAnswer.parse(parseJson(parseUtf8(body)));
    const code: ErrorCode = isErrorCode(error.code) ? error.code : "internal";
    const details = { status, from: "server" };
    const { counterexample } = error;
    return new TrustWardenError(
      code,
      counterexample === undefined ? details : { ...details, counterexample },
    );
  } catch (cause) {
    return new TrustWardenError("server_unreachable", { reason: "unexpected answer", status }, { cause });
  }
}
