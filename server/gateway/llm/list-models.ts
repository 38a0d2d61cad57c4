/**
 * The list of a provider's models, cut to those that the caller may use: what is listed is what a call would be allowed.
 */

import { parseActionName } from "@trustwarden/core/action.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatModelPath } from "@trustwarden/core/gateway/llm-call.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import { isCovered } from "@trustwarden/core/scope.ts";

const MAX_LIST_CHARS = 4_194_304;

/** @throws TrustWardenError `upstream_answer_refused` for what is no list. */
export function cutModelList(
  bytes: Uint8Array,
  { agent, upstream }: { readonly agent: AgentPrincipal; readonly upstream: string },
): Uint8Array {
  const list = parseList(bytes);
  const { data } = list;
  if (!Array.isArray(data)) throw refused();
  const kept = data.filter((model: Json) => isAllowed(model, agent, upstream));
  const ids = kept.map((model: Json) => (isJsonObject(model) ? (model.id ?? null) : null));
  const ends = Object.hasOwn(list, "first_id")
    ? { first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null }
    : {};
  return encodeUtf8(JSON.stringify({ ...list, data: kept, ...ends }));
}

function isAllowed(model: Json, { chain }: AgentPrincipal, upstream: string): boolean {
  if (!isJsonObject(model) || typeof model.id !== "string") return false;
  try {
    const action = parseActionName(`infer:llm:${upstream}/${formatModelPath(model.id)}`);
    return chain.every(({ scope }) => isCovered(scope, action));
  } catch (error) {
    // A name that no request could carry.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

function parseList(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(parseUtf8(bytes), MAX_LIST_CHARS);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("upstream_answer_refused", { reason: "no list of models" }, { cause });
  }
}

function refused(): TrustWardenError {
  return new TrustWardenError("upstream_answer_refused", { reason: "no list of models" });
}
