/** How a refusal looks to the clients of each protocol; what it says is the table's sentence and no more. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { type PublicError, publicError, type TrustWardenError } from "@trustwarden/core/error.ts";
import { formatMcpRefusal } from "@trustwarden/core/gateway/mcp/refusal.ts";
import type { UpstreamKind } from "@trustwarden/core/gateway/upstream.ts";
import { formatErrorAnswer } from "../http/errors.ts";
import { anthropicRefusal, openaiRefusal } from "./llm/refusal.ts";

/** An answer before it is written. */
export interface RefusalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/**
 * @param kind - undefined where no upstream was found.
 * @param sent - body of the refused request; empty when none was read.
 */
export function formatRefusal(
  kind: UpstreamKind | undefined,
  error: TrustWardenError,
  sent: Uint8Array,
): RefusalAnswer {
  const { status, headers } = formatErrorAnswer(error);
  const bytes = encodeUtf8(
    JSON.stringify(bodyOf(kind, withShortage(error, publicError(error)), { error, sent })),
  );
  return {
    status,
    headers: {
      ...headers,
      ...waitOf(error),
      "content-type": "application/json; charset=utf-8",
      "content-length": String(bytes.length),
    },
    body: bytes,
  };
}

/** Whose budget it is stays inside; what is short, and for how long, is what a caller needs to go on. */
function withShortage({ code, details }: TrustWardenError, body: PublicError): PublicError {
  if (code !== "budget_exhausted") return body;
  const what = details.measure === "microUsd" ? "money" : String(details.measure);
  const message = `${body.error.message.replace(/\.$/, "")}: ${what}, ${String(details.window)}.`;
  return { error: { ...body.error, message } };
}

/** Trying again at once is of no use: the vendors' clients are told so in the way that they look for. */
function waitOf({ code, details }: TrustWardenError): Readonly<Record<string, string>> {
  if (code !== "budget_exhausted") return {};
  const { retryAfterSeconds } = details;
  const wait = typeof retryAfterSeconds === "number" ? { "retry-after": String(retryAfterSeconds) } : {};
  return { "x-should-retry": "false", ...wait };
}

function bodyOf(
  kind: UpstreamKind | undefined,
  body: PublicError,
  { error, sent }: { readonly error: TrustWardenError; readonly sent: Uint8Array },
): Readonly<Record<string, unknown>> {
  switch (kind) {
    case "openai":
      return openaiRefusal(error, body);
    case "anthropic":
      return anthropicRefusal(error, body);
    case undefined:
    case "http":
    case "egress":
    case "postgresql":
      return { ...body };
    case "a2a":
    case "mcp":
      return formatMcpRefusal(body, sent);
  }
}
