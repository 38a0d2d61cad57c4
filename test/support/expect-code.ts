/** Asserts a refusal by its stable code. */
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { expect } from "vitest";

/** Fails unless `run` throws a `TrustWardenError` of the code. */
export function expectCode(run: () => unknown, code: ErrorCode): void {
  expect(codeThrownBy(run)).toBe(code);
}

/** As `expectCode`, for a promise. */
export async function expectRejection(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  const settled = await promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof TrustWardenError ? error.code : error),
  );
  expect(settled).toBe(code);
}

/** What comes of it, or the code of its refusal; whatever else it throws is thrown. */
export function valueOrCode(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
}

function codeThrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : error;
  }
  return "nothing was thrown";
}
