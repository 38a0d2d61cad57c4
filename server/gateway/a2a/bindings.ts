/**
 * How another agent is called and what its answers are: one object for each binding of the protocol. Calls come in JSON-RPC and
 * are answered so, whichever of the two the agent itself speaks.
 *
 * @see A2A 1.0.1 §9 (JSON-RPC), §11 (HTTP+JSON)
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { A2aSubject } from "@trustwarden/core/gateway/a2a/methods.ts";
import { codeOfRestError, restRequestOf } from "@trustwarden/core/gateway/a2a/rest-binding.ts";
import type { A2aBinding } from "@trustwarden/core/gateway/a2a/settings.ts";
import {
  encodeRpcMessage,
  parseRpcMessage,
  type RpcMessage,
  type RpcRequest,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { UpstreamRequest } from "../ports.ts";

/** Larger answers are no message between agents. */
export const MAX_ANSWER_BYTES = 8_388_608;
/** Of these a refusal says why; any other status is no answer to the call. */
const REFUSALS: readonly number[] = [400, 404, 409, 415];
const JSON_TYPE = "application/json";

/** One call, as it is said to the agent. */
export interface SpokenCall {
  readonly subject: A2aSubject;
  /** Under an id of our own. */
  readonly message: RpcRequest;
  /** Path of the agent's interface. */
  readonly endpoint: string;
}

/** One binding. */
export interface Binding {
  /** Of the protocol that it is defined for. */
  readonly versions: readonly string[];
  readonly accept: string;
  /** @throws TrustWardenError `a2a_task_unknown`. */
  requestOf(call: SpokenCall): Pick<UpstreamRequest, "method" | "path" | "body">;
  /** A whole answer, or one event, to the request of an id. @throws TrustWardenError `upstream_answer_refused`. */
  readAnswer(text: string, id: string): RpcMessage;
  /** What an answer of another status than 200 says; undefined where it says nothing of the call. */
  readRefusal(status: number, text: string, id: string): RpcMessage | undefined;
}

const JSON_RPC: Binding = {
  versions: ["1.0", "0.3"],
  accept: JSON_TYPE,
  requestOf: ({ message, endpoint }) => ({
    method: "POST",
    path: endpoint,
    body: encodeUtf8(encodeRpcMessage(message)),
  }),
  readAnswer: (text) => asMessage(() => parseRpcMessage(text, MAX_ANSWER_BYTES)),
  readRefusal: () => undefined,
};

const HTTP_JSON: Binding = {
  versions: ["1.0"],
  accept: `application/a2a+json, ${JSON_TYPE}`,
  requestOf: ({ subject, message, endpoint }) => {
    const { method, path, body } = restRequestOf(subject, message.params);
    const bytes = body === null ? null : encodeUtf8(JSON.stringify(body));
    return { method, path: `${endpoint.replace(/\/$/, "")}${path}`, body: bytes };
  },
  readAnswer: (text, id) => {
    const answer = readObject(text);
    // An event of a stream may be an error; no answer has a member of that name.
    return isJsonObject(answer.error)
      ? failureOf(answer, { status: 500, id })
      : { kind: "result", id, result: answer };
  },
  readRefusal: (status, text, id) =>
    REFUSALS.includes(status) ? failureOf(readObject(text), { status, id }) : undefined,
};

/** By its name in agent cards. */
export const BINDINGS: Readonly<Record<A2aBinding, Binding>> = { JSONRPC: JSON_RPC, "HTTP+JSON": HTTP_JSON };

function failureOf(
  answer: JsonObject,
  { status, id }: { readonly status: number; readonly id: string },
): RpcMessage {
  return { kind: "failure", id, error: { code: codeOfRestError(answer, status) } };
}

function readObject(text: string): JsonObject {
  return asMessage(() => parseJsonObject(text, MAX_ANSWER_BYTES));
}

/** What an answer is read as. @throws TrustWardenError `upstream_answer_refused` where it is none, whatever is wrong with it. */
export function asMessage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TrustWardenError("upstream_answer_refused", { reason: "not a message" }, { cause });
  }
}
