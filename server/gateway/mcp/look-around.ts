/**
 * An operator's look at a server: everything that it offers, by the newest revision that it speaks.
 *
 * The gateway is the client here, with no agent behind it; nothing is called, only lists and the server's description.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type DefinitionKind,
  type DefinitionList,
  instructionsOf,
  LIST_MEMBERS,
} from "@trustwarden/core/gateway/mcp/definition.ts";
import { RPC_ERRORS, type RpcFailure, type RpcMessage } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { LEGACY_VERSIONS, MODERN_VERSION } from "@trustwarden/core/gateway/mcp/methods.ts";
import { eraOf } from "@trustwarden/core/gateway/mcp/request.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";
import type { McpLink } from "./link.ts";
import { lookAtList, type Manner, type NextId, requestOnce } from "./look.ts";

const CLIENT = { name: "trustwarden-gateway", version: "1" } as const;

const NOTHING: DefinitionList = { definitions: [], refused: [] };

interface Met {
  readonly manner: Manner;
  /** What the server says of itself. */
  readonly description: JsonObject;
}

/** What a server offers, by kind; every kind is there, perhaps empty. */
export type Offers = ReadonlyMap<DefinitionKind, DefinitionList>;

/** @throws TrustWardenError `upstream_answer_refused`, and those of the link. */
export async function lookAround(link: McpLink, nextId: NextId): Promise<Offers> {
  const met = (await meetModern(link, nextId)) ?? (await meetLegacy(link, nextId));
  const { manner, description } = met;
  try {
    const offers = new Map<DefinitionKind, DefinitionList>();
    for (const [method, { kind }] of Object.entries(LIST_MEMBERS)) {
      // A server is asked for what it says it has, and for nothing else (MCP, Capability negotiation).
      const looked = isOffered(description, method)
        ? await lookAtList(link, manner, { method, nextId })
        : { list: NOTHING };
      offers.set(kind, looked.list);
    }
    const { instructions } = description;
    const definitions = typeof instructions === "string" ? [instructionsOf(instructions)] : [];
    return offers.set("instructions", { definitions, refused: [] });
  } finally {
    if (manner.sessionId !== null) await link.end({ version: manner.version, sessionId: manner.sessionId });
  }
}

function isOffered({ capabilities }: JsonObject, method: string): boolean {
  const [capability = ""] = method.split("/");
  return isJsonObject(capabilities) && Object.hasOwn(capabilities, capability);
}

/** Undefined for a server that does not know the stateless era. */
async function meetModern(link: McpLink, nextId: NextId): Promise<Met | undefined> {
  const manner: Manner = { era: "modern", version: MODERN_VERSION, sessionId: null };
  const discover = () => requestOnce(link, manner, { id: nextId(), method: "server/discover", params: {} });
  try {
    const first = await discover();
    // It says itself that it speaks our version: it is asked once more, as the revision wants of clients.
    const answer = first.kind === "failure" && isSupported(first) ? await discover() : first;
    const isModern = answer.kind === "result" && namesVersion(answer.result.supportedVersions);
    return isModern ? { manner, description: answer.result } : undefined;
  } catch (error) {
    // Safe to go on: a server of the other era refuses in its own way, and is asked in its own words next.
    if (error instanceof TrustWardenError && error.code !== "upstream_unreachable") return undefined;
    throw error;
  }
}

function isSupported({ error }: RpcFailure): boolean {
  const { code, data } = error;
  const { supported } = isJsonObject(data) ? data : {};
  return code === RPC_ERRORS.unsupportedVersion && namesVersion(supported);
}

/** A server that answers everything with something is none of the stateless era. */
function namesVersion(versions: Json | undefined): boolean {
  return Array.isArray(versions) && versions.includes(MODERN_VERSION);
}

function meetLegacy(link: McpLink, nextId: NextId): Promise<Met> {
  return shakeHands(link, nextId, {
    protocolVersion: LEGACY_VERSIONS[0],
    capabilities: {},
    clientInfo: CLIENT,
  });
}

/** Opens a session of the older era. @throws TrustWardenError `upstream_answer_refused`, and those of the link. */
export async function shakeHands(link: McpLink, nextId: NextId, params: JsonObject): Promise<Met> {
  const id = nextId();
  const version = LEGACY_VERSIONS[0];
  const message: RpcMessage = { kind: "request", id, method: "initialize", params };
  const exchange = await link.post({ message, era: "legacy", version, sessionId: null, paramHeaders: {} });
  for await (const { message: answer } of exchange.incoming) {
    if (answer?.kind !== "result" || answer.id !== id) continue;
    const settled = answer.result.protocolVersion;
    const spoken = typeof settled === "string" && eraOf(settled) === "legacy" ? settled : version;
    const manner: Manner = { era: "legacy", version: spoken, sessionId: exchange.sessionId };
    await sayInitialized(link, manner);
    return { manner, description: answer.result };
  }
  throw new TrustWardenError("upstream_answer_refused", { reason: "no handshake" });
}

async function sayInitialized(link: McpLink, manner: Manner): Promise<void> {
  const message: RpcMessage = { kind: "notification", method: "notifications/initialized", params: {} };
  const exchange = await link.post({ message, ...manner, paramHeaders: {} });
  for await (const _ of exchange.incoming) {
    // Nothing is expected; reading to the end frees the connection.
  }
}
