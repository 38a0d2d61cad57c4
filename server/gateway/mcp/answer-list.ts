/**
 * Answers the list methods from the catalogue: what is approved, unchanged, and would be allowed to this agent now. A
 * name that is listed can be called, and one that can be called is listed.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type DefinitionKind, LIST_MEMBERS } from "@trustwarden/core/gateway/mcp/definition.ts";
import { encodeRpcMessage, type RpcId, type RpcRequest } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import type { AllowedCall } from "../ports.ts";
import { lookAtList } from "./look.ts";
import type { McpVisit } from "./perform.ts";
import { isListedOf } from "./results.ts";

/** Whether a method is answered from the catalogue. */
export function isList(method: string): boolean {
  return Object.hasOwn(LIST_MEMBERS, method);
}

/** Looks at the upstream, then lists. @throws TrustWardenError `mcp_malformed` for a cursor, since there is one page. */
export async function answerList(visit: McpVisit, { id, method, params }: RpcRequest): Promise<void> {
  if (params.cursor !== undefined) throw new TrustWardenError("mcp_malformed", { reason: "cursor" });
  const entry = LIST_MEMBERS[method];
  if (entry === undefined) throw new Error("only lists are answered here");
  await look(visit, method);
  const listed = listOf(visit, entry.kind);
  const { call, manner, settings } = visit;
  const result: JsonObject = {
    ...(manner.era === "modern"
      ? // One agent's list is nobody else's, and no older than the gateway's own look.
        { resultType: "complete", ttlMs: settings.recheckSeconds * 1000, cacheScope: "private" }
      : {}),
    [entry.member]: listed,
  };
  await answerResult(call, { id, result });
}

/** Answers one request with a result that the gateway made. */
export async function answerResult(
  call: AllowedCall,
  {
    id,
    result,
    headers = {},
  }: {
    readonly id: RpcId;
    readonly result: JsonObject;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const body = encodeUtf8(encodeRpcMessage({ kind: "result", id, result }));
  const content = { "content-type": "application/json", "content-length": String(body.length) };
  await call.begin(200, { ...headers, ...content });
  await call.write(body);
  await call.end();
}

/** Looks again at what is older than the settings allow. */
export async function refreshKinds(visit: McpVisit, methods: readonly string[]): Promise<void> {
  const { parts, upstream, settings } = visit;
  for (const method of methods) {
    const kind = LIST_MEMBERS[method]?.kind;
    if (kind !== undefined && !parts.catalogues.isFresh(upstream, kind, settings.recheckSeconds))
      await look(visit, method);
  }
}

export async function look({ parts, link, manner, upstream }: McpVisit, method: string): Promise<void> {
  const { kind, list } = await lookAtList(link, manner, { method, nextId: parts.nextId });
  await parts.catalogues.observe(upstream, kind, list);
}

/** The approved documents that would be allowed, as they were approved. */
export function listOf(visit: McpVisit, kind: DefinitionKind): readonly Json[] {
  const isListed = isListedOf(visit);
  return visit.parts.catalogues
    .usable(visit.upstream, kind)
    .filter(({ name }) => isListed(kind, name))
    .map(({ approved }): Json => {
      if (approved === null) throw new Error("a usable pin is approved");
      // Canonical JSON that this process wrote.
      return JSON.parse(approved.document);
    });
}
