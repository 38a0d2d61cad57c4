/**
 * Refusals in the words of each vendor, so that the official clients raise the exceptions that their users know.
 *
 * @see OpenAI API reference, "Error codes"; Anthropic API reference, "Errors"
 */
import type { PublicError, TrustWardenError } from "@trustwarden/core/error.ts";

const OPENAI_TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "invalid_request_error",
  429: "rate_limit_error",
};
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
};

/** @see https://platform.openai.com/docs/guides/error-codes */
export function openaiRefusal({ status }: TrustWardenError, { error }: PublicError) {
  const type = OPENAI_TYPES[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  return { error: { message: error.message, type, param: null, code: error.code } };
}

/** The code is a member more than the vendor has; its clients keep it. */
export function anthropicRefusal({ status }: TrustWardenError, { error }: PublicError) {
  const type = ANTHROPIC_TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
  return { type: "error", error: { type, message: error.message, code: error.code } };
}
