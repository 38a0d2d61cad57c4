/**
 * HTTP+JSON, the other binding of A2A that agents of others are called by: a request that came in JSON-RPC, as the one that
 * means the same there, and what a refusal is in JSON-RPC. The words inside are the same in both bindings and are not touched.
 *
 * Of 1.0 alone: 0.3 says the same things in other words.
 *
 * @see A2A 1.0.1 §11 (HTTP+JSON binding), §5.3 (method mapping), §5.4 (errors)
 */
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import { RPC_ERRORS } from "../mcp/json-rpc.ts";
import type { A2aSubject } from "./methods.ts";

/** Not ids of tasks but other places: an empty one is the list of all, dots lead upwards. */
const NO_TASKS: readonly string[] = ["", ".", ".."];
/** What a reason of the protocol is in JSON-RPC. */
const CODES: Readonly<Record<string, number>> = {
  TASK_NOT_FOUND: -32_001,
  TASK_NOT_CANCELABLE: -32_002,
  PUSH_NOTIFICATION_NOT_SUPPORTED: -32_003,
  UNSUPPORTED_OPERATION: -32_004,
  CONTENT_TYPE_NOT_SUPPORTED: -32_005,
  INVALID_AGENT_RESPONSE: -32_006,
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: -32_007,
  EXTENSION_SUPPORT_REQUIRED: -32_008,
  VERSION_NOT_SUPPORTED: -32_009,
};

/** A request below the address of the interface. */
export interface A2aRestRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: JsonObject | null;
}

/** @throws TrustWardenError `a2a_task_unknown` for an id that would be another place. */
export function restRequestOf(subject: A2aSubject, params: JsonObject): A2aRestRequest {
  switch (subject) {
    case "send":
      return { method: "POST", path: "/message:send", body: params };
    case "stream":
      return { method: "POST", path: "/message:stream", body: params };
    case "get":
      return { method: "GET", path: `${pathOfTask(params)}${historyOf(params)}`, body: null };
    case "cancel":
      return { method: "POST", path: `${pathOfTask(params)}:cancel`, body: metadataOf(params) };
    case "subscribe":
      return { method: "POST", path: `${pathOfTask(params)}:subscribe`, body: null };
  }
}

/** The code of an error in JSON-RPC; its words are another agent's and go no further. */
export function codeOfRestError(answer: JsonObject, status: number): number {
  const { error } = answer;
  const details = isJsonObject(error) && Array.isArray(error.details) ? error.details : [];
  const reasons = details.map((detail: Json) => (isJsonObject(detail) ? detail.reason : undefined));
  const known = reasons.find((reason) => typeof reason === "string" && Object.hasOwn(CODES, reason));
  const code = typeof known === "string" ? CODES[known] : undefined;
  return code ?? (status === 400 ? RPC_ERRORS.invalidParams : RPC_ERRORS.internal);
}

function pathOfTask({ id }: JsonObject): string {
  if (typeof id !== "string" || NO_TASKS.includes(id)) throw new TrustWardenError("a2a_task_unknown");
  return `/tasks/${encodeURIComponent(id)}`;
}

function historyOf({ historyLength }: JsonObject): string {
  return typeof historyLength === "number" ? `?historyLength=${historyLength}` : "";
}

function metadataOf({ metadata }: JsonObject): JsonObject | null {
  return isJsonObject(metadata) ? { metadata } : null;
}
