/** One case of a vector file: what is given, and the value or the code that every SDK must come to. */
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";

export interface VectorCase {
  /** A sentence. */
  readonly name: string;
  /** Which function is asked. */
  readonly check: string;
  readonly input: JsonObject;
  readonly expect: { readonly value: Json } | { readonly error: ErrorCode };
}

/** Makes the cases of one function. */
export function casesOf(check: string): {
  readonly good: (name: string, input: JsonObject, value: Json) => VectorCase;
  readonly bad: (name: string, input: JsonObject, error: ErrorCode) => VectorCase;
} {
  return {
    good: (name, input, value) => ({ name, check, input, expect: { value } }),
    bad: (name, input, error) => ({ name, check, input, expect: { error } }),
  };
}
