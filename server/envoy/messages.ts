/**
 * The messages of Envoy's external authorization, written down from their field numbers.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
 */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { encodeField, encodeNumber, messageIn, parseMessage, textIn } from "./protobuf.ts";

/** `OVERWRITE_IF_EXISTS_OR_ADD`: what a client sent under the same name does not get through. */
const OVERWRITE = 2;
/** `google.rpc.Code`. */
const PERMISSION_DENIED = 7;

/** What we read of `CheckRequest`. */
export interface CheckRequest {
  /** Identity that the proxy verified of its peer: the URI of its certificate. */
  readonly principal: string;
  /** The peer's certificate, PEM, percent-encoded; empty unless the proxy is configured to send it. */
  readonly certificate: string;
  readonly method: string;
  /** Path and query. */
  readonly target: string;
}

/** What we answer. */
export type CheckAnswer =
  | { readonly isAllowed: true; readonly headers: Readonly<Record<string, string>> }
  | { readonly isAllowed: false; readonly status: number; readonly body: string };

/** @throws TrustWardenError `request_malformed`. */
export function parseCheckRequest(bytes: Uint8Array): CheckRequest {
  const attributes = messageIn(parseMessage(bytes), 1);
  const source = messageIn(attributes, 1);
  const http = messageIn(messageIn(attributes, 4), 2);
  return {
    principal: textIn(source, 4),
    certificate: textIn(source, 5),
    method: textIn(http, 2),
    target: textIn(http, 4),
  };
}

/** `CheckResponse`. */
export function encodeCheckAnswer(answer: CheckAnswer): Uint8Array {
  if (answer.isAllowed) {
    const headers = Object.entries(answer.headers).map(([name, value]) =>
      encodeField(2, encodeHeader(name, value)),
    );
    return concatBytes(encodeField(1, new Uint8Array()), encodeField(3, concatBytes(...headers)));
  }
  const denied = concatBytes(
    encodeField(1, encodeNumber(1, answer.status)),
    encodeField(2, encodeHeader("content-type", "application/json")),
    encodeField(3, answer.body),
  );
  return concatBytes(encodeField(1, encodeNumber(1, PERMISSION_DENIED)), encodeField(2, denied));
}

/** `HeaderValueOption` around `HeaderValue`. */
function encodeHeader(name: string, value: string): Uint8Array {
  const header = concatBytes(encodeField(1, name), encodeField(2, value));
  return concatBytes(encodeField(1, header), encodeNumber(3, OVERWRITE));
}
