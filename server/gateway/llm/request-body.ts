/**
 * The body that goes to a model API: the caller's own bytes, with a member added where the gateway needs one.
 *
 * Adding to the end of the text keeps every other byte as the caller wrote it: no number is rounded, no key moves, and what
 * policy read is what the provider reads.
 */
import { concatBytes, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { LlmCall } from "@trustwarden/core/gateway/llm-call.ts";
import type { LlmSettings } from "@trustwarden/core/gateway/llm-settings.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";

const CLOSING_BRACE = 0x7d;

/** What is sent, and what has to be taken out of the answer for it. */
export interface ModelRequestBody {
  readonly bytes: Uint8Array | null;
  /** The caller did not ask for the usage at the end of its stream; the gateway did. */
  readonly stripsUsage: boolean;
}

/** @param bytes - exactly as the caller sent them. */
export function prepareBody(call: LlmCall, bytes: Uint8Array, settings: LlmSettings): ModelRequestBody {
  const { body, operation } = call;
  if (body === null) return { bytes: null, stripsUsage: false };
  // Unless it is told otherwise the provider keeps what it answered, for whoever knows its id.
  if (operation.name === "responses" && body.store === undefined && !settings.storedState)
    return { bytes: addMember(bytes, body, '"store":false'), stripsUsage: false };
  const isCounted = operation.name === "chat" || operation.name === "completions";
  if (!call.isStreamed || !isCounted) return { bytes, stripsUsage: false };
  const { stream_options: options } = body;
  if (options === undefined) {
    const added = addMember(bytes, body, '"stream_options":{"include_usage":true}');
    return { bytes: added, stripsUsage: true };
  }
  if (isJsonObject(options) && options.include_usage === true) return { bytes, stripsUsage: false };
  const known = isJsonObject(options) ? options : {};
  const whole = { ...body, stream_options: { ...known, include_usage: true } };
  return { bytes: encodeUtf8(JSON.stringify(whole)), stripsUsage: true };
}

/** The same text with a member more; it is a JSON object, so its last brace closes it. */
function addMember(bytes: Uint8Array, body: JsonObject, member: string): Uint8Array {
  const end = bytes.lastIndexOf(CLOSING_BRACE);
  const comma = Object.keys(body).length > 0 ? "," : "";
  return concatBytes(bytes.subarray(0, end), encodeUtf8(`${comma}${member}}`));
}
