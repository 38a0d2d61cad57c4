/**
 * Looks at what a server offers: every page of a list, with bounds, on behalf of the gateway itself.
 *
 * The whole list is read at once, so that what is gone is known to be gone, and agents get one page.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type DefinitionKind,
  type DefinitionList,
  LIST_MEMBERS,
  parseDefinitions,
} from "@trustwarden/core/gateway/mcp/definition.ts";
import {
  RPC_ERRORS,
  type RpcFailure,
  type RpcMessage,
  type RpcResult,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { Era } from "@trustwarden/core/gateway/mcp/methods.ts";
import { VERSION_META } from "@trustwarden/core/gateway/mcp/request.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import type { McpLink, Outgoing } from "./link.ts";

const MAX_PAGES = 64;
/** Answers that are none of ours, on a stream, before ours. */
const MAX_OTHER_MESSAGES = 1000;

/** In whose words the gateway asks: those of the call that made it look. */
export interface Manner {
  readonly era: Era;
  readonly version: string;
  readonly sessionId: string | null;
}

/** Makes ids that nobody else uses. */
export type NextId = () => string;

/** The list of one method, complete. @throws TrustWardenError `upstream_answer_refused` and those of the link. */
export async function lookAtList(
  link: McpLink,
  manner: Manner,
  { method, nextId }: { readonly method: string; readonly nextId: NextId },
): Promise<{ readonly kind: DefinitionKind; readonly list: DefinitionList }> {
  const entry = LIST_MEMBERS[method];
  if (entry === undefined) throw new Error("only lists are looked at");
  const items: Json[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await requestOnce(link, manner, {
      id: nextId(),
      method,
      params: cursor === undefined ? {} : { cursor },
    });
    // A server without the feature has nothing of it.
    if (answer.kind === "failure" && answer.error.code === RPC_ERRORS.methodNotFound) break;
    if (answer.kind === "failure")
      throw new TrustWardenError("upstream_answer_refused", { reason: "no list" });
    const part = answer.result[entry.member];
    if (!Array.isArray(part)) throw new TrustWardenError("upstream_answer_refused", { reason: "no list" });
    items.push(...part);
    const next = answer.result.nextCursor;
    if (typeof next !== "string") return { kind: entry.kind, list: parseDefinitions(entry.kind, items) };
    cursor = next;
  }
  if (cursor !== undefined)
    throw new TrustWardenError("upstream_answer_refused", { reason: "too many pages" });
  return { kind: entry.kind, list: parseDefinitions(entry.kind, items) };
}

/** One request of the gateway's own, to its answer; what else comes on the way is dropped. */
export async function requestOnce(
  link: McpLink,
  { era, version, sessionId }: Manner,
  request: { readonly id: string; readonly method: string; readonly params: JsonObject },
): Promise<RpcResult | RpcFailure> {
  const params = era === "modern" ? { ...request.params, _meta: ownMeta(version) } : request.params;
  const message: RpcMessage = { kind: "request", id: request.id, method: request.method, params };
  const outgoing: Outgoing = { message, era, version, sessionId, paramHeaders: {} };
  let others = 0;
  for await (const { message: answer } of (await link.post(outgoing)).incoming) {
    if (answer?.kind === "result" && answer.id === request.id) return answer;
    if (answer?.kind === "failure" && (answer.id === request.id || answer.id === null)) return answer;
    others += 1;
    if (others > MAX_OTHER_MESSAGES) break;
  }
  throw new TrustWardenError("upstream_answer_refused", { reason: "no answer" });
}

/** Who asks, in the stateless era: the gateway, which answers no question of a server. */
function ownMeta(version: string): JsonObject {
  return {
    [VERSION_META]: version,
    "io.modelcontextprotocol/clientInfo": { name: "trustwarden-gateway", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
}
