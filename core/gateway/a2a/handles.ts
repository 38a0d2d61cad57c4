/**
 * Tasks and contexts under names that only their own agent can use.
 *
 * Another agent sees one client, the gateway, so whoever names a task of it gets that task. Each id that it gives out is
 * therefore sealed to the agent that got it: `<id>.<mac>`. Who brings it back must be that agent, at that upstream; nothing is
 * remembered. A data part is the other agent's own text and is left as it is.
 */
import { encodeBase64url, encodeUtf8 } from "../../bytes.ts";
import { hmacSha256, isEqualSecret } from "../../crypto.ts";
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";

const MAX_ID_CHARS = 1024;
const MAC = /^(?<id>.+)\.(?<mac>[A-Za-z0-9_-]{43})$/s;
/** Members that hold what the agents say to one another. */
const CONTENT: readonly string[] = ["parts", "metadata", "data"];

/** Whose handles, and the key that nobody else has. */
export interface HandleOwner {
  readonly upstream: string;
  readonly agentId: string;
  readonly key: Uint8Array;
}

/** The result of an agent, with its ids as the caller may use them. */
export function sealResult(result: JsonObject, owner: HandleOwner): JsonObject {
  const isTask = typeof result.id === "string" && isJsonObject(result.status);
  return Object.fromEntries(
    Object.entries(result).map(([name, value]): readonly [string, Json] => {
      if (CONTENT.includes(name)) return [name, value];
      if (isHandle(name) || (name === "id" && isTask)) return [name, mapText(value, (id) => seal(id, owner))];
      if (name === "referenceTaskIds") return [name, mapList(value, (id) => seal(id, owner))];
      return [name, sealValue(value, owner)];
    }),
  );
}

function sealValue(value: Json, owner: HandleOwner): Json {
  if (Array.isArray(value)) return value.map((item: Json) => sealValue(item, owner));
  return isJsonObject(value) ? sealResult(value, owner) : value;
}

/**
 * The parameters of a call with ids as the other agent knows them.
 *
 * @throws TrustWardenError `a2a_task_unknown` for an id that this agent was not given.
 */
export function openParams(params: JsonObject, owner: HandleOwner): JsonObject {
  const { id, message } = params;
  return {
    ...params,
    ...(id !== undefined && { id: mapText(id, (text) => open(text, owner)) }),
    ...(isJsonObject(message) && { message: openMessage(message, owner) }),
  };
}

function openMessage(message: JsonObject, owner: HandleOwner): JsonObject {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]): readonly [string, Json] => {
      if (isHandle(name)) return [name, mapText(value, (id) => open(id, owner))];
      if (name === "referenceTaskIds") return [name, mapList(value, (id) => open(id, owner))];
      return [name, value];
    }),
  );
}

function isHandle(name: string): boolean {
  return name === "taskId" || name === "contextId";
}

/** An empty text is no id: the protocol's schema writes what is absent so. */
function mapText(value: Json, map: (text: string) => string): Json {
  if (value === "" || value === null) return value;
  if (typeof value !== "string" || value.length > MAX_ID_CHARS)
    throw new TrustWardenError("a2a_task_unknown");
  return map(value);
}

function mapList(value: Json, map: (text: string) => string): Json {
  if (!Array.isArray(value)) throw new TrustWardenError("a2a_task_unknown");
  return value.map((item: Json) => mapText(item, map));
}

function seal(id: string, owner: HandleOwner): string {
  return `${id}.${macOf(id, owner)}`;
}

function open(handle: string, owner: HandleOwner): string {
  const { id = "", mac = "" } = MAC.exec(handle)?.groups ?? {};
  if (!isEqualSecret(encodeUtf8(mac), encodeUtf8(macOf(id, owner))))
    throw new TrustWardenError("a2a_task_unknown");
  return id;
}

/** Neither an upstream's name nor an agent's id has a line end. */
function macOf(id: string, { upstream, agentId, key }: HandleOwner): string {
  return encodeBase64url(hmacSha256(key, encodeUtf8(`${upstream}\n${agentId}\n${id}`)));
}
