/**
 * From any failure to what a stranger may read of it: the table's status and sentence, never a message of a library.
 */
import type { OAuthErrorAnswer } from "@trustwarden/core/api/oauth.ts";
import { type PublicError, publicError, TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { formatOAuthFailure } from "../oauth/error-form.ts";
import type { Dialect } from "./route.ts";
import type { EventLog } from "./services.ts";

/** An HTTP answer to a failure. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: PublicError | OAuthErrorAnswer;
}

/** The failure in our own words; whatever is not known is `internal`. */
export function toTrustWardenError(error: unknown): TrustWardenError {
  if (error instanceof TrustWardenError) return error;
  if (error instanceof z.ZodError) return new TrustWardenError("request_malformed", {}, { cause: error });
  const status = error instanceof Error && "statusCode" in error ? error.statusCode : undefined;
  if (status === 413) return new TrustWardenError("request_too_large", {}, { cause: error });
  // Fastify's own refusals: media type, empty or malformed body, schema.
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new TrustWardenError("request_malformed", {}, { cause: error });
  }
  return new TrustWardenError("internal", {}, { cause: error });
}

/** What is sent for a failure, in the words of the route. */
export function formatErrorAnswer(error: TrustWardenError, dialect: Dialect = "json"): ErrorAnswer {
  const mayRetry = error.status === 429 || error.status === 503;
  const { retryAfterSeconds, workBits } = error.details;
  const wait = typeof retryAfterSeconds === "number" ? retryAfterSeconds : 1;
  const answer =
    dialect === "oauth" ? formatOAuthFailure(error) : { status: error.status, body: publicError(error) };
  return {
    ...answer,
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(mayRetry ? { "retry-after": String(wait) } : {}),
      ...(typeof workBits === "number" ? { "trustwarden-work": String(workBits) } : {}),
    },
  };
}

/** Logs a failure by code; of a bug also where it happened, but not its message, which may hold anything (D16). */
export function logFailure(log: EventLog, route: string, error: TrustWardenError): void {
  const facts = { route, code: error.code, status: error.status };
  if (error.code === "internal") log.error({ ...facts, at: framesOf(error.cause) }, "request failed");
  else if (error.status >= 500) log.warn({ ...facts, ...reasonOfSigner(error) }, "request failed");
  else log.info(facts, "request refused");
}

/** Why a key of the authority could not be used, in a sentence of ours; nothing for any other failure. */
export function reasonOfSigner({ code, details }: TrustWardenError): Readonly<Record<string, string>> {
  const isSigners = code === "signer_unavailable" || code === "config_invalid";
  return isSigners && typeof details.reason === "string" ? { reason: details.reason } : {};
}

function framesOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "not an error";
  const frames = (cause.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return [cause.name, ...frames.slice(0, 8).map((line) => line.trim())].join(" | ");
}
