/** How a refusal looks to the clients of each protocol; what it says is the table's sentence and no more. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { TrustWardenError } from "@trustwarden/core/error.ts";
import type { UpstreamKind } from "@trustwarden/core/gateway/upstream.ts";
import { formatErrorAnswer } from "../http/errors.ts";

/** An answer before it is written. */
export interface RefusalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** @param kind - undefined where no upstream was found. */
export function formatRefusal(kind: UpstreamKind | undefined, error: TrustWardenError): RefusalAnswer {
  const { status, headers, body } = formatErrorAnswer(error);
  const bytes = encodeUtf8(JSON.stringify(bodyOf(kind, body)));
  return {
    status,
    headers: {
      ...headers,
      "content-type": "application/json; charset=utf-8",
      "content-length": String(bytes.length),
    },
    body: bytes,
  };
}

function bodyOf(
  kind: UpstreamKind | undefined,
  body: ReturnType<typeof formatErrorAnswer>["body"],
): Readonly<Record<string, unknown>> {
  switch (kind) {
    case undefined:
    case "http":
    case "openai":
    case "anthropic":
    case "mcp":
    case "a2a":
    case "egress":
      return { ...body };
  }
}
